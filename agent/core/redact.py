"""Keeps expanded values out of whatever leaves the agent: logs, details, pages, the command line's tables."""

import re
from collections.abc import Callable, Iterable

REDACTED = "[redacted]"


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that blots ``secrets`` out of a text; the longest first, so that no half of one is left.

    In one pass: a secret of one letter would else be found in the blots themselves, over and over.
    """
    values = sorted(filter(None, secrets), key=len, reverse=True)
    if not values:
        return str
    pattern = re.compile("|".join(map(re.escape, values)))
    return lambda text: pattern.sub(REDACTED, text)
