"""Where configuration documents come from, and how their bytes are read without trusting what is there."""

import codecs
import errno
import os
import select
import stat
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from agent.config.problems import ConfigError, Problem
from agent.config.tree import Node

DEFAULT_PATH: Final = "/etc/health-agent/config.yaml"
CONFIG_VARIABLE: Final = "HEALTH_AGENT_CONFIG"
STDIN: Final = "<stdin>"
MAX_BYTES: Final = 1 << 20
_PIPE_SECONDS: Final = 0.5  # a FIFO or device that says nothing more must not hold the start up
_STDIN_SECONDS: Final = 60.0  # whatever feeds standard input may be at work still


class SourceRef(msgspec.Struct):
    """One document: a file by ``path``, standard input, ``content`` at hand, or the ``roots`` of one parsed already.

    ``name`` is what errors call it. Standard input is read once and kept in ``content``, so that a reload sees what the
    start saw.
    """

    name: str
    path: str | None = None
    content: bytes | None = None
    roots: list[Node] | None = None


def find_sources(
    config_args: Sequence[str], environ: Mapping[str, str], default: str = DEFAULT_PATH
) -> list[SourceRef]:
    """The documents to read, in the order in which they are laid over each other; none: the environment alone."""
    if config_args:
        names = [arg for at, arg in enumerate(config_args) if arg != "-" or "-" not in config_args[:at]]
        return [SourceRef(STDIN) if name == "-" else SourceRef(name, name) for name in names]
    given = environ.get(CONFIG_VARIABLE, "")
    if given.lstrip().startswith("{") or "\n" in given:
        return [SourceRef(CONFIG_VARIABLE, content=given.encode(errors="surrogateescape"))]
    if given:
        return [SourceRef(given, given)]
    return [SourceRef(default, default)] if os.path.exists(default) else []  # noqa: PTH110  (pathlib costs its import)


def read_text(source: SourceRef) -> str:
    """The document's text. Raises ConfigError with one line where it can't be had."""
    if source.path is not None:
        return _decoded(source, _read(source, source.path))
    if source.content is None:
        source.content = b""  # whatever goes wrong, it is not waited for a second time
        source.content = _read(source, None)
    return _decoded(source, source.content)


def _refused(source: SourceRef, message: str, line: int = 0) -> ConfigError:
    return ConfigError([Problem(source.name, line, "", message)])


def _too_large(source: SourceRef) -> ConfigError:
    return _refused(source, f"larger than {MAX_BYTES >> 20} MiB: not a configuration")


def _read(source: SourceRef, path: str | None) -> bytes:
    try:
        if path is None:
            return _until_end(source, 0, _STDIN_SECONDS)
        # Without O_NONBLOCK, opening a FIFO that nobody writes to waits for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return _from_descriptor(source, fd)
        finally:
            os.close(fd)
    except OSError as problem:
        raise _refused(source, f"cannot be read: {problem.strerror or problem}") from problem
    except ValueError as problem:
        raise _refused(source, "cannot be read: its path holds a NUL character") from problem


def _from_descriptor(source: SourceRef, fd: int) -> bytes:
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "it is a directory, give a file in it")
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_BYTES:
        raise _too_large(source)
    return _until_end(source, fd, _PIPE_SECONDS)


def _until_end(source: SourceRef, fd: int, seconds: float) -> bytes:
    end = time.monotonic() + seconds
    parts: list[bytes] = []
    size = 0
    while size <= MAX_BYTES:
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise _refused(source, f"did not end within {seconds:g} s: give a file, or pipe it to `--config -`")
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:  # somebody else read it first
            continue
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _decoded(source: SourceRef, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _too_large(source)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or data[:2] in {b"\0{", b"{\0"}:
        raise _refused(source, "encoded in UTF-16 or UTF-32: save it as UTF-8", 1)
    nul = data.find(b"\0")
    if nul >= 0:
        raise _refused(source, "binary data (it holds a NUL byte), not a YAML or JSON document", _line_at(data, nul))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        byte = data[wrong.start]
        message = f"not UTF-8 (byte 0x{byte:02x}): save it as UTF-8"
        raise _refused(source, message, _line_at(data, wrong.start)) from wrong


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1
