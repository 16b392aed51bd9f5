"""Keeps expanded values out of whatever leaves the agent: logs, details, pages, the command line's tables."""

from collections.abc import Callable, Iterable

REDACTED = "[redacted]"


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that blots ``secrets`` out of a text; the longest first, so that no half of one is left."""
    values = sorted(filter(None, secrets), key=len, reverse=True)

    def redact(text: str) -> str:
        for value in values:
            text = text.replace(value, REDACTED)
        return text

    return redact
