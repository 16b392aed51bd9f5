"""`${NAME}` in string values: expanded after parsing, remembered as secrets, and never shown expanded."""

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
_WHOLE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\}")
_SECRET_LENGTH: Final = 4  # shorter values would blot out half of every log line


class Expansion:
    """Expands strings against one environment and remembers what it took from there.

    With ``keep_unset`` a reference to a variable that is not set stays as it is: another place has the variable.
    """

    def __init__(self, environ: Mapping[str, str], *, keep_unset: bool = False) -> None:
        self._environ = environ
        self.keep_unset = keep_unset
        self._kept: set[str] = set()
        self._taken: dict[str, str] = {}  # value to the reference it came from

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any output, longest first, so that none is left half redacted."""
        return tuple(sorted(self._taken, key=len, reverse=True))

    def expand(self, text: str) -> str:
        """``text`` with its references replaced. Raises ValueError that names what is wrong and the remedy."""
        if "${" not in text:
            return text
        return _REFERENCE.sub(self._replacement, text)

    def unexpanded(self, text: str) -> str:
        """``text`` with every expanded value turned back into its reference."""
        for value in self.secrets:
            text = text.replace(value, self._taken[value])
        return text

    def keeps(self, text: str) -> bool:
        """Whether ``text`` holds a reference that was kept: nobody here can tell what is wrong with it."""
        return any(reference in text for reference in self._kept)

    def took(self, value: str, reference: str) -> None:
        """Remember that ``value`` came from the environment: where it shows, ``reference`` stands for it."""
        if len(value) >= _SECRET_LENGTH:
            self._taken.setdefault(value, reference)

    def _replacement(self, found: re.Match[str]) -> str:
        whole, name, default = found[0], found[1], found[2]
        if whole == "$${":
            return "${"
        if name is None:
            raise ValueError("`${` must be followed by NAME} or NAME:-default}; write `$${` for a literal `${`")
        value = self._environ.get(name)
        if not value and default is not None:
            return default
        if value is None and self.keep_unset:
            self._kept.add(whole)
            return whole
        if value is None:
            raise ValueError(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
        self.took(value, f"${{{name}}}")
        return value


def is_reference(text: str) -> bool:
    """Whether ``text`` is one reference and nothing else."""
    return _WHOLE.fullmatch(text) is not None
