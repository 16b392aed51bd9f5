"""What an answer must hold beyond its status: the `expect` block of an HTTP check."""

import re
import sys
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from agent.probes.parts.http1 import MAX_BODY
from agent.runtimes.command import run

_RANGE: Final = re.compile(r"([1-9]\d\d)(?:-([1-9]\d\d))?")
_STEP: Final = re.compile(r"\.([A-Za-z_][\w\-]*)|\[(\d{1,9})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
# Python's regular expressions can take for ever on an unlucky text, and keep the GIL meanwhile: no thread would free
# the event loop. A process of its own costs some 15 ms of CPU and can be killed at the deadline.
_SEARCH: Final = (
    "import re, sys\n"
    "pattern, _, text = sys.stdin.buffer.read().partition(b'\\0')\n"
    "sys.exit(10 if re.search(pattern.decode(), text.decode('utf-8', 'replace')) else 11)\n"
)
_FOUND: Final = 10
_NOT_FOUND: Final = 11

Status = Annotated[int, Meta(ge=100, le=999)]


class Expect(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What the answer must look like; all that is given must hold. Bodies are judged by their first 10 KiB, as sent."""

    status: Annotated[
        tuple[Status | str, ...] | None, Meta(description='statuses and ranges, e.g. ["200-399", 503]; null: 200-399')
    ] = None
    body_contains: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="text that the body must contain")
    ] = None
    body_regex: Annotated[
        Annotated[str, Meta(min_length=1, max_length=4096)] | None,
        Meta(description="Python regular expression that must be found in the body; costs some 15 ms of CPU a probe"),
    ] = None
    json: Annotated[
        dict[str, Any] | None,
        Meta(description='values that the JSON body must hold, by path: {"$.models[0].state": READY}'),
    ] = None

    def check_options(self) -> list[tuple[str, str]]:
        problems = []
        for index, item in enumerate(self.status or ()):
            if isinstance(item, str) and _bounds(item) is None:
                problems.append((f"status[{index}]", f"{item!r} is not a status or a range like '200-399'"))
        if self.status == ():
            problems.append(("status", "an empty list accepts nothing; leave it out for 200-399"))
        try:
            re.compile(self.body_regex or "")
        except (re.error, RecursionError, OverflowError) as problem:
            problems.append(("body_regex", f"not a regular expression: {problem}"))
        if "\0" in (self.body_regex or ""):
            problems.append(("body_regex", "a NUL character cannot be looked for; write \\x00"))
        problems += [
            (f"json.{path}", "not a path: write $.name, $['name'] or $.list[0]")
            for path in self.json or ()
            if _steps(path) is None
        ]
        return problems

    @cached_property
    def _ranges(self) -> tuple[tuple[int, int], ...]:
        ranges = ((item, item) if isinstance(item, int) else _bounds(item) for item in self.status or ())
        return tuple(pair for pair in ranges if pair is not None)

    @cached_property
    def _paths(self) -> tuple[tuple[str, tuple[str | int, ...], Any], ...]:
        return tuple((path, _steps(path) or (), value) for path, value in (self.json or {}).items())

    def accepts(self, status: int) -> bool | None:
        """Whether the status is one of those listed; None where none are."""
        return None if self.status is None else any(low <= status <= high for low, high in self._ranges)

    async def unmet(self, body: bytes, limit: int = MAX_BODY) -> str | None:
        """Which expectation of the body fails, without a word of the body itself; None when all hold.

        ``limit`` is how much of a body was read at most. Raises OSError where a regular expression could not be tried.
        """
        if self.body_contains is not None and self.body_contains.encode() not in body:
            return "body_contains: the text is not in the body"
        if self.json is not None and (unmet := self._unmet_json(body, limit)) is not None:
            return unmet
        if self.body_regex is not None and not await _found(self.body_regex, body):
            return "body_regex: not found in the body"
        return None

    def _unmet_json(self, body: bytes, limit: int) -> str | None:
        if len(body) >= limit:
            return f"json: the body is longer than the {limit} bytes that are read"
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "json: the body is not JSON"
        for path, steps, value in self._paths:
            found = _at(document, steps)
            if found is _MISSING:
                return f"json: nothing at {path}"
            if not _same(found, value):
                return f"json: another value at {path}"
        return None


def _bounds(text: str) -> tuple[int, int] | None:
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    low, high = int(found[1]), int(found[2] or found[1])
    return (low, high) if low <= high else None


def _steps(path: str) -> tuple[str | int, ...] | None:
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            return None
        steps.append(int(found[2]) if found[2] is not None else found[found.lastindex or 0])
        position = found.end()
    return tuple(steps)


_MISSING: Final = object()


def _at(document: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, str):
            document = document.get(step, _MISSING) if isinstance(document, dict) else _MISSING
        else:
            document = document[step] if isinstance(document, list) and step < len(document) else _MISSING
    return document


def _same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but true is not 1."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[key], wanted[key]) for key in found)
    if isinstance(found, list) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    return bool(found == wanted)


async def _found(pattern: str, body: bytes) -> bool:
    ended = await run([sys.executable, "-I", "-S", "-c", _SEARCH], stdin=pattern.encode() + b"\0" + body)
    if ended.returncode not in (_FOUND, _NOT_FOUND):
        raise OSError(f"body_regex could not be tried: {ended.tail(200) or ended.returncode}")
    return ended.returncode == _FOUND
