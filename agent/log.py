"""The agent's own log: JSON or text lines on standard error, written by a thread so that no reader can stall a probe.

One line a transition, not one a probe. What the engine tells (`agent.engine.events`) and what modules log through the
standard library end in the same lines; every string is redacted first.
"""

import json
import logging
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agent.core.settings import Log
from agent.engine.events import Event

LOGGER: Final = logging.getLogger("agent")
QUEUE_LINES: Final = 2000  # kept while nobody reads standard error; what comes on top is dropped and counted
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
COLOURS: Final = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m"}

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; whatever else is on one was given with `extra=`."""

Redact = Callable[[str], str]


def document(record: logging.LogRecord, redact: Redact) -> dict[str, Any]:
    """One line's fields: time, level, event, container, then what else was given; nothing replaces the first ones."""
    given = {key: value for key, value in vars(record).items() if key not in STANDARD and value not in ("", None)}
    line: dict[str, Any] = {
        "time": rfc3339(given.pop("at", record.created)),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
    }
    if "container" in given:
        line["container"] = given.pop("container")
    fields: Mapping[str, Any] = given.pop("fields", {})
    line.update({key: value for key, value in {**fields, **given}.items() if key not in line})
    if record.exc_info:
        line["traceback"] = logging.Formatter().formatException(record.exc_info)
    if record.name.partition(".")[0] not in {"agent", "__main__"}:
        line["logger"] = record.name
    return {key: _redacted(value, redact) for key, value in line.items()}


def rfc3339(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":"))


def as_text(line: Mapping[str, Any], *, colour: bool = False) -> str:
    """`TIME LEVEL EVENT CONTAINER key=value ...`; a traceback follows on its own lines."""
    shown = dict(line)
    time, level, event = shown.pop("time"), shown.pop("level"), shown.pop("event")
    container, traceback = shown.pop("container", ""), shown.pop("traceback", "")
    words = [time, f"{level.upper():<7}", _word(event, spaces=True)]
    if container:
        words.append(_word(container))
    words += [f"{key}={_word(value)}" for key, value in shown.items()]
    text = " ".join(words)
    if colour and level in COLOURS:
        text = f"{COLOURS[level]}{text}\x1b[0m"
    return f"{text}\n{traceback}" if traceback else text


def _word(value: Any, *, spaces: bool = False) -> str:
    """As it is where that can be read back, else quoted: a value must not end a line or speak to the terminal."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ",".join(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    plain = text.isprintable() and '"' not in text and (spaces or (" " not in text and text))
    return text if plain else json.dumps(text)


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item, redact) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(item, redact) for item in value]
    return value


class Output(logging.Handler):
    """Hands lines to a thread of its own, which alone touches standard error."""

    def __init__(self, settings: Log, redact: Redact, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.dropped = 0  # lines, since the last one that was written
        self._colour = os.isatty(fd) if fd >= 0 else False
        self._lines: queue.Queue[str | None] = queue.Queue(QUEUE_LINES)
        self.configure(settings, redact)
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def configure(self, settings: Log, redact: Redact) -> None:
        """Take over what a reload may have changed."""
        self._settings = settings
        self._redact = redact
        LOGGER.setLevel(LEVELS[settings.level])

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self._text(document(record, self._redact)))
        except queue.Full:
            self.dropped += 1
        except Exception:  # noqa: BLE001 a line that can't be made must not end what wanted to log it
            self.dropped += 1

    def tell(self, event: Event) -> None:
        """A listener for `agent.engine.events.Bus`."""
        LOGGER.log(
            LEVELS[event.level],
            event.name,
            extra={"at": event.time, "container": event.container, "fields": event.fields, "detail": event.detail},
        )

    def stop(self, seconds: float = 1.0) -> None:
        """Write what is waiting, for at most so long: a reader that has stalled must not hold the agent's end up."""
        logging.getLogger().removeHandler(self)
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _text(self, line: Mapping[str, Any]) -> str:
        return as_text(line, colour=self._colour) if self._settings.format == "text" else as_json(line)

    def _write_all(self) -> None:
        while (text := self._lines.get()) is not None:
            self._write(text)
            if self._lines.empty():
                self._tell_dropped()
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        if self.dropped:
            lost, self.dropped = self.dropped, 0
            now = rfc3339(time.time())
            self._write(self._text({"time": now, "level": "warning", "event": "log.dropped", "lines": lost}))

    def _write(self, text: str) -> None:
        left = f"{text}\n".encode(errors="backslashreplace")
        try:
            while left:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:  # somebody who shares the stream has made it non-blocking
                    select.select([], [self._fd], [])
        except (OSError, ValueError):  # closed, full or gone: the agent goes on without a log
            self.dropped += 1


def start(settings: Log, redact: Redact) -> Output:
    """Send everything that is logged from now on to standard error; `Output.stop` ends it."""
    # Where the process began without standard error, number 2 may be anybody's by now: a socket, the state file.
    output = Output(settings, redact, fd=2 if sys.__stderr__ is not None else -1)
    root = logging.getLogger()
    root.addHandler(output)
    root.setLevel(logging.WARNING)  # other people's loggers; LOGGER has its own level
    logging.captureWarnings(capture=True)
    return output
