"""One coroutine per check: its grid, its deadline, its tries; the target is judged elsewhere."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from agent.core.model import EXHAUSTED, Check, Outcome, Result, Target, error, failure
from agent.core.state import Seen
from agent.core.timing import Grid
from agent.engine.container import Slot
from agent.engine.pulse import Pulse
from agent.engine.stats import Histogram

TRIES: Final = 3  # of a round whose attempts return errors, back to back (probe-semantics 0.6)

log = logging.getLogger(__name__)


async def look(check: Check, target: Target) -> Result:
    """One round's probe: at most three tries, the next only after an error; ``duration`` is of all of them."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    for _ in range(getattr(check.options, "tries", TRIES)):
        result = await _attempt(check, target)
        if result.outcome is not Outcome.ERROR:
            break
    return result.took(clock() - begun)


async def _attempt(check: Check, target: Target) -> Result:
    target.reached_body = target.in_runtime = target.impaired = False
    target.so_far = None
    deadline = asyncio.timeout(check.timeout_seconds)
    result: Result | None = None
    problem: BaseException | None = None
    try:
        async with deadline:
            if hasattr(check.options, "deadline"):
                deadline.reschedule(asyncio.get_running_loop().time() + check.options.deadline(target))
            result = await check.options.probe(target)
    except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - whatever a method raises is the prober's error
        problem = raised
    if told_to_leave():  # it may have kept that to itself
        raise asyncio.CancelledError
    if deadline.expired():  # and whatever came of it came too late
        if hasattr(check.options, "late"):
            return _late(check, target)
        if target.reached_body:
            return error("stalled", f"no end of the body within {check.timeout_seconds:g} s")
        if target.in_runtime:
            return error("runtime", f"the runtime did not answer within {check.timeout_seconds:g} s")
        return failure("timeout", f"no answer within {check.timeout_seconds:g} s")
    return (
        result
        if result is not None
        else _internal(check, target, problem or TypeError("the method returned no Result"))
    )


def _late(check: Check, target: Target) -> Result:
    """The method's own word for a look that took too long."""
    try:
        found: Result = check.options.late(target)
    except Exception as problem:  # noqa: BLE001 - whatever a method raises is the prober's error
        return _internal(check, target, problem)
    return found


def told_to_leave() -> bool:
    """Whether this task is being cancelled, rather than something that its method waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _internal(check: Check, target: Target, problem: BaseException) -> Result:
    """The prober's own trouble. A bug is logged with its traceback once per instance; a lack of resources is plain."""
    text = f"{type(problem).__name__}: {problem}"
    target.impaired = isinstance(problem, OSError) and problem.errno in EXHAUSTED
    if not isinstance(problem, OSError) and target.seen.get(f"logged {check.name}") != text:
        target.seen[f"logged {check.name}"] = text
        log.error(
            "probe.error", exc_info=problem, extra={"container": target.container, "check": check.name, "detail": text}
        )
    return error("internal", text)


class Judge(Protocol):
    """Who says whether a round is to probe, and what comes of its outcome: a container, for its checks."""

    @property
    def seen(self) -> dict[str, Any]:
        """What its checks remember (agent.core.remembered)."""
        ...

    def view(self, now: float) -> Seen: ...
    def enter(self, slot: Slot, seen: Seen, now: float) -> bool: ...
    def remember(self, slot: Slot, seen: Seen, result: Result, now: float) -> None: ...
    def finish(self, slot: Slot, seen: Seen, outcome: Outcome, now: float) -> None: ...


class Worker:
    """Runs one check's rounds. They never overlap, and wait for nobody else's."""

    def __init__(
        self,
        slot: Slot,
        judge: Judge,
        target: Target,
        *,
        pulse: Pulse,
        lateness: Histogram,
        on_result: Callable[[Slot, Result], None],
    ) -> None:
        self.slot = slot
        self.judge = judge
        self.target = target
        self.pulse = pulse
        self.lateness = lateness
        self.on_result = on_result
        self._triggered = False
        self._wake: asyncio.Future[None] | None = None

    def trigger(self) -> None:
        """Run a round at once; a second trigger while one waits is dropped."""
        self._triggered = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self, delay: float) -> None:
        """Rounds for ever, the first ``delay`` seconds from now, until cancelled."""
        loop = asyncio.get_running_loop()
        grid = Grid(loop.time() + delay, self.slot.check.period_seconds)
        self._tell_method("engage")
        try:
            while True:
                moment = await self._next_round(grid, loop)
                try:
                    await self._round(moment)
                except Exception:
                    # A bug of ours must not end the check for ever: it is counted, told, and the next beat tries again.
                    log.exception("worker.error", extra=self._who)
                    self.slot.record(error("internal", "a bug in the agent, see its log"), time.time())
        finally:
            self._tell_method("disengage")

    def _tell_method(self, hook: str) -> None:
        """What some methods want to know of a worker's life."""
        try:
            getattr(self.slot.check.options, hook, lambda: None)()
        except Exception:
            log.exception("worker.error", extra=self._who)

    @property
    def _who(self) -> dict[str, str]:
        """For the log."""
        return {"container": self.target.container, "check": self.slot.path}

    async def _next_round(self, grid: Grid, loop: asyncio.AbstractEventLoop) -> float:
        """Wait for the trigger or the beat; returns the round's moment on the loop's clock."""
        if not self._triggered and grid.due > loop.time():
            self._wake = wake = loop.create_future()
            timer = loop.call_at(grid.due, _set, wake)
            try:
                await wake
            finally:
                timer.cancel()
                self._wake = None
        if self._triggered:
            self._triggered = False
            moment = loop.time()
            grid.restart(moment)
            return moment
        # Timers may fire a hair early; the beat itself is then the moment, so that a delay is over when it says so.
        due = grid.due
        moment = max(loop.time(), due)
        self.lateness.observe(moment - due)
        grid.take(moment)
        return moment

    async def _round(self, moment: float) -> None:
        judge, slot = self.judge, self.slot
        seen = judge.view(moment)
        if not judge.enter(slot, seen, moment):
            return
        self.target.seen, self.target.started = judge.seen, seen.started
        result = await look(slot.check, self.target)
        now = asyncio.get_running_loop().time()
        bad = result.outcome in (Outcome.FAILURE, Outcome.ERROR)
        timed_out = result.reason in ("timeout", "stalled")
        ours = self.target.impaired and result.outcome is Outcome.ERROR
        if ours:
            self.pulse.exhausted(now)
        doubtful = bad and not ours
        doubt = self.pulse.doubt(moment, slot.check.timeout_seconds, timed_out=timed_out) if doubtful else ""
        if doubt:
            result = error("internal", doubt).took(result.duration)
        slot.record(result, time.time())
        judge.remember(slot, seen, result, now)
        self.on_result(slot, result)
        # An impaired agent, or a look that was left out, says nothing of the target, also where errors are failures.
        left_out = result.outcome is Outcome.ERROR and result.reason == "skipped_busy"
        if not (doubt or ours or left_out):
            judge.finish(slot, seen, result.outcome, now)


def _set(future: "asyncio.Future[None]") -> None:
    with suppress(asyncio.InvalidStateError):
        future.set_result(None)
