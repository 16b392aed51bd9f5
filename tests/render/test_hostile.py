"""Documents with anything anywhere: rendered, or refused in words; never a traceback, and never half of a result."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ConfigError
from agent.render import RenderError, Target
from tests.render.support import COMPOSE, DEPLOYMENT, NATIVE, SERVICE, rendered

DOCUMENTS: dict[str, Any] = {
    "native": yaml.safe_load(NATIVE),
    "eas": SERVICE,
    "kubernetes": yaml.safe_load(DEPLOYMENT),
    "compose": yaml.safe_load(COMPOSE),
}
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70_000) | st.sampled_from(["", "x", "${X}", "8000", "health-agent"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "env", "x"]), inner, max_size=2)
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below the top."""
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(child, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return document


@pytest.mark.parametrize("target", ["kubernetes", "compose", "eas"])
@pytest.mark.parametrize("kind", DOCUMENTS)
@given(data=st.data())
def test_anything_anywhere_is_rendered_or_refused_in_words(kind: str, target: Target, data: st.DataObject) -> None:
    document = DOCUMENTS[kind]
    path = data.draw(st.sampled_from(list(places(document))))
    try:
        made = rendered(target, json.dumps(changed(document, path, data.draw(odd))))
    except (ConfigError, RenderError):
        return
    assert rendered(target, made.text).text == made.text  # whatever it was, it is stable
