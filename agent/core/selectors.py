"""Names of series as configuration writes them: an exact sample name, and what its labels must be."""

import re
from typing import Final

import msgspec

from agent.core.samples import Sample

_SELECTOR: Final = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*(?:\{(.*)\}\s*)?", re.DOTALL)
_CONDITION: Final = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(!?=)\s*"([^"\\]*)"\s*(?:,|\Z)')


class Selector(msgspec.Struct, frozen=True):
    """Samples of one name; ``conditions`` are (label, whether it must be equal, value), an absent label being ""."""

    name: str
    conditions: tuple[tuple[str, bool, str], ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """The name, and what an exporter that allows no colons makes of it: `vllm:x` may come as `vllm_x`."""
        return tuple(dict.fromkeys((self.name, self.name.replace(":", "_"))))

    def takes(self, sample: Sample) -> bool:
        """Whether the labels fit; the name is known to."""
        labels = dict(sample.labels)
        return all((labels.get(label, "") == value) is equal for label, equal, value in self.conditions)


def selector(text: str) -> Selector:
    """`name`, `name{label="value"}` or `name{label!="value", ...}`; a ValueError says what is wrong with it."""
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not the name of a series, as name or name{{label="value"}}')
    conditions = []
    rest, at = found[2] or "", 0
    while rest[at:].strip():
        condition = _CONDITION.match(rest, at)
        if condition is None:
            raise ValueError(f'{text!r}: between the braces write label="value" or label!="value", with commas')
        conditions.append((condition[1], condition[2] == "=", condition[3]))
        at = condition.end()
    return Selector(found[1], tuple(conditions))
