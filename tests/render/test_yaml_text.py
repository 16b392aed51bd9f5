"""The YAML that is written: read back it is the same, for every reader, and people can read it too."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.config.parse import parse
from agent.config.tree import plain
from agent.render.yaml_text import Plain, to_flow, to_yaml

ODD = [
    "no", "NULL", "~", "0x1F", "0400", "1:30", "1e3", "1_000", ".5", "+1", "2024-01-01", "12e03", "-", "--", "---",
    "- a", "a: b", "a:", "a #b", "#", "a\nb", "a\n", "\n", "a\n\n", " a\nb", "a \n b", "a\n \nb", "\ta\nb", "a\tb",
    "a\r\nb", "", " ", "'", '"', "\\", "[", "]a", "{}", "a]", "a, b", "%a", "@a", "`", "!a", "&a", "*a", "|", ">",
    "?", "? a", ":", ":a", "=", "<<", "${NAME}", "$$", "\u2028", "\x85", "\ufeff", "\U0001f600", "y", "N", "on",
    "a:b", "http://host:80/x?y=z", "--port",
]  # fmt: skip
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(ODD)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda key: key != "<<")
scalars = text | st.integers(-(10**9), 10**9) | st.booleans() | st.none()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))
documents = st.dictionaries(keys, values, min_size=1, max_size=4) | st.lists(values, min_size=1, max_size=4)


@given(documents)
def test_a_document_is_read_back_as_it_was_by_pyyaml(document: Any) -> None:
    """PyYAML speaks YAML 1.1, in which most words are something else."""
    assert yaml.safe_load(to_yaml(document)) == document
    assert yaml.safe_load(to_flow(document)) == document


@given(documents)
def test_a_document_is_read_back_as_it_was_by_the_agent(document: Any) -> None:
    for written in (to_yaml(document), to_flow(document)):
        parsed = parse(written, "config.yaml")
        assert not parsed.problems
        assert plain(parsed.documents[0]) == document


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"image": "vllm/vllm-openai:v0.11.0"}, "image: vllm/vllm-openai:v0.11.0"),
        ({"value": "9809"}, 'value: "9809"'),
        ({"value": "no"}, 'value: "no"'),
        ({"host": "127.0.0.1"}, "host: 127.0.0.1"),
        ({"since": "2024-01-01 10:00:00.5"}, 'since: "2024-01-01 10:00:00.5"'),
        ({"mode": Plain("0400")}, "mode: 0400"),
        ({"port": Plain("${PORT}")}, "port: ${PORT}"),
        ({"args": ["--model", "-x"]}, "args:\n  - --model\n  - -x"),
        ({"a": [{"b": 1, "c": [2]}]}, "a:\n  - b: 1\n    c:\n      - 2"),
        ({"a": {}, "b": [], "c": None}, "a: {}\nb: []\nc:"),
        ({"a": "x\n\n  y\n"}, "a: |\n  x\n\n    y"),
        ({"a": "x\ny"}, "a: |-\n  x\n  y"),
        ([None, "a"], "- null\n- a"),
    ],
)
def test_what_is_written_looks_as_people_write_it(value: Any, line: str) -> None:
    assert to_yaml(value) == f"{line}\n"


def test_comments_stand_above_what_they_are_about() -> None:
    document = {"a": 1, "b": [{"c": 1}, {"d": 2, "e": 3}]}
    comments = {("b",): ("one",), ("b", 1): ("two", "lines"), ("b", 1, "e"): ("three",)}
    expected = "a: 1\n# one\nb:\n  - c: 1\n  # two\n  # lines\n  - d: 2\n    # three\n    e: 3\n"
    assert to_yaml(document, comments) == expected
    assert yaml.safe_load(expected) == document


def test_one_line_has_no_double_quotes() -> None:
    """It stands in a string of JSON, where each would be escaped."""
    document = {"a": ["x, y", "${NAME}", "it's", "'"], "b": None}
    assert to_flow(document) == "{a: ['x, y', '${NAME}', it's, ''''], b: null}"
