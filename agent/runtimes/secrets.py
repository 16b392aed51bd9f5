"""What was read of secret files (`value_file`, `secret_file`): remembered, so that nothing shows it again."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from agent.core.redact import redactor

MOST: Final = 64  # they are rotated; an old one may still stand in a history
SHORTEST: Final = 4  # shorter values would blot out half of every log line

_seen: Final[OrderedDict[str, None]] = OrderedDict()
_blot: list[Callable[[str], str]] = [str]


def remember(text: str) -> str:
    """The same text, from now on to be blotted out."""
    if len(text) >= SHORTEST and text not in _seen:
        _seen[text] = None
        while len(_seen) > MOST:
            _seen.popitem(last=False)
        _blot[0] = redactor(_seen)
    return text


def blotted(text: str) -> str:
    """``text`` without any of them."""
    return _blot[0](text)
