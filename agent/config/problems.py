"""How configuration says what is wrong with it: one line a problem, all of them at once."""

from collections.abc import Sequence
from typing import Literal

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One error, or one warning where ``code`` is set; ``line`` 0 and an empty ``path`` are unknown and not printed.

    Of an environment variable ``file`` is its name, and ``line`` the line within its value.
    """

    file: str
    line: int
    path: str
    message: str
    code: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = ": ".join(part for part in (place, self.path, self.code, self.message) if part)
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class ConfigError(Exception):
    """A configuration that can't be used; ``problems`` holds everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


class Options(msgspec.Struct, frozen=True):
    """What the command line says about reading documents; None: what the environment says, else the default.

    ``keep_unset``: the variables that are not set here are set where the document will be used.
    """

    exec_in: Literal["agent", "container"] | None = None
    threshold_semantics: Literal["kubernetes", "eas-page"] | None = None
    keep_unset: bool = False
