"""The agent's own log: what a line holds, and that nobody who fails to read it can hold the agent up."""

import fcntl
import json
import logging
import os
import pty
from collections.abc import Iterator
from typing import Any

import pytest

from agent.core.redact import redactor
from agent.core.settings import Log
from agent.engine.events import Bus, Event
from agent.log import QUEUE_LINES, Output

SECRET = "hunter22"
EVENT = Event(
    kind="transition",
    name="liveness.failure",
    time=1_767_225_600.25,
    container="model",
    fields={"check": "answers", "to": "Failure", "reason": "timeout", "time": "mine"},
    detail=f"no answer from {SECRET}",
    level="warning",
)


class Pipe:
    """An output whose other end is ours, and a logger that leads to it and nowhere else."""

    def __init__(self, settings: Log) -> None:
        self.reading, self.writing = os.pipe()
        self.output = Output(settings, redactor([SECRET]), self.writing)
        self.logger = logging.Logger("agent.test")  # noqa: LOG001  (known to nobody else, so that nothing is left behind)
        self.logger.addHandler(self.output)

    def ended(self) -> str:
        """All that was written, once the output has stopped."""
        self.output.stop()
        os.close(self.writing)
        with os.fdopen(self.reading, encoding="utf-8") as reader:
            return reader.read()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe(Log())


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root, agent = logging.getLogger(), logging.getLogger("agent")
    levels = root.level, agent.level
    yield
    root.setLevel(levels[0])
    agent.setLevel(levels[1])


def told(pipe: Pipe, event: Event = EVENT) -> list[dict[str, Any]]:
    logging.getLogger("agent").addHandler(pipe.output)
    bus = Bus()
    bus.subscribe(pipe.output.tell)
    bus.tell(event)
    logging.getLogger("agent").removeHandler(pipe.output)
    return [json.loads(line) for line in pipe.ended().splitlines()]


def test_a_transition_is_one_line_with_its_fields_in_a_fixed_order(pipe: Pipe) -> None:
    (line,) = told(pipe)
    assert list(line) == ["time", "level", "event", "container", "check", "to", "reason", "detail"]
    assert line["time"] == "2026-01-01T00:00:00.250Z", "an event's own field never replaces what every line has"
    assert (line["level"], line["event"], line["container"]) == ("warning", "liveness.failure", "model")


def test_expanded_values_are_redacted_at_any_depth(pipe: Pipe) -> None:
    pipe.logger.warning("x", extra={"addresses": [f"a {SECRET}", {"b": SECRET}], "count": 3})
    text = pipe.ended()
    assert SECRET not in text
    assert json.loads(text)["addresses"] == ["a [redacted]", {"b": "[redacted]"}]


def test_what_modules_log_has_the_same_shape(pipe: Pipe) -> None:
    pipe.logger.error("runtime.error", extra={"container": "model", "detail": "gone", "nothing": ""})
    line = json.loads(pipe.ended())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "error", "event": "runtime.error", "container": "model", "detail": "gone"}


def test_a_traceback_stays_within_its_line(pipe: Pipe) -> None:
    try:
        int(SECRET)
    except ValueError:
        pipe.logger.exception("probe.error")
    line = json.loads(pipe.ended())
    assert line["traceback"].endswith("ValueError: invalid literal for int() with base 10: '[redacted]'")


def test_other_peoples_loggers_are_named(pipe: Pipe) -> None:
    pipe.output.handle(logging.makeLogRecord({"name": "asyncio", "msg": "slow %s", "args": ("thing",)}))
    line = json.loads(pipe.ended())
    assert (line["event"], line["logger"]) == ("slow thing", "asyncio")


def test_text_lines_quote_what_could_end_a_line_or_speak_to_the_terminal() -> None:
    pipe = Pipe(Log(format="text"))
    pipe.logger.warning(
        "hook.failed", extra={"container": "model", "detail": "a\n\x1b[31mb", "tries": 3, "names": ["a", "b"]}
    )
    text = pipe.ended()
    assert text.endswith('WARNING hook.failed model detail="a\\n\\u001b[31mb" tries=3 names=a,b\n')


def test_colours_are_for_terminals_only() -> None:
    terminal, other_end = pty.openpty()
    output = Output(Log(format="text"), redactor([]), other_end)
    output.handle(logging.makeLogRecord({"name": "agent", "msg": "x", "levelno": logging.ERROR, "levelname": "ERROR"}))
    output.stop()
    assert b"\x1b[31m" in os.read(terminal, 4096)
    os.close(terminal)
    os.close(other_end)
    plain = Pipe(Log(format="text"))
    plain.logger.error("x")
    assert "\x1b" not in plain.ended()


def test_when_nobody_reads_lines_are_dropped_and_counted_and_logging_never_waits() -> None:
    pipe = Pipe(Log())
    fcntl.fcntl(pipe.writing, fcntl.F_SETPIPE_SZ, 4096)
    sent = QUEUE_LINES + 500
    for number in range(sent):
        pipe.logger.warning("line", extra={"number": number, "padding": "x" * 100})
    assert pipe.output.dropped > 0
    pipe.output.stop(0.01)  # waits for nobody either
    lines = []
    with os.fdopen(pipe.reading, encoding="utf-8") as reader:
        while not lines or lines[-1]["event"] != "log.dropped":
            lines.append(json.loads(reader.readline()))
        assert len(lines) - 1 + lines[-1]["lines"] == sent
        pipe.output.stop()
    os.close(pipe.writing)


def test_a_stream_that_is_closed_or_was_never_there_costs_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for fd in (writing, -1):
        output = Output(Log(), redactor([]), fd)
        output.handle(logging.makeLogRecord({"name": "agent", "msg": "x"}))
        output.stop()
        assert output.dropped > 0
    os.close(writing)


def test_a_field_that_cannot_be_written_is_shown_as_text(pipe: Pipe) -> None:
    pipe.logger.warning("x", extra={"what": {1, 2}.__class__})
    assert json.loads(pipe.ended())["what"] == "<class 'set'>"


def test_a_reload_changes_format_and_level() -> None:
    pipe = Pipe(Log())
    pipe.output.configure(Log(level="error", format="text"), redactor([]))
    pipe.logger.warning("x")
    assert pipe.ended().endswith("WARNING x\n")
    assert logging.getLogger("agent").level == logging.ERROR
