"""The agent's own pulse: how late its loop runs, what it stands on, and a watchdog for a loop that does not run."""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections import deque
from typing import Final

from agent.engine.footing import Footing

BEAT_SECONDS: Final = 0.1
STALL_SECONDS: Final = 0.5  # a beat later than this: whatever failed meanwhile says nothing of the target
BRAKE_SECONDS: Final = 2.0  # for so long after a stall nothing is restarted
WINDOW_BEATS: Final = 150  # the lag that is shown is the worst of the last 15 s
DUMP_AFTER_SECONDS: Final = 5.0
EXIT_AFTER_SECONDS: Final = 15.0
BLOCKED_EXIT_STATUS: Final = 70
EXHAUSTED_SECONDS: Final = 10.0  # for so long after the agent ran out of descriptors (or the like) nothing counts

log = logging.getLogger(__name__)


class Pulse:
    """Beats on the event loop ten times a second; a daemon thread watches that it does."""

    def __init__(self, dump_after: float = DUMP_AFTER_SECONDS, exit_after: float = EXIT_AFTER_SECONDS) -> None:
        """A loop blocked for ``dump_after`` seconds has all stacks dumped, for ``exit_after`` the process ended."""
        self.dump_after, self.exit_after = dump_after, exit_after
        self.footing = Footing()
        self._beats: deque[tuple[float, float]] = deque(maxlen=WINDOW_BEATS)  # (when on the loop's clock, how late)
        self.throttled = False  # its cgroup holds it back, see agent.engine.throttle
        self._exhausted_at = float("-inf")
        self._due = 0.0
        self._beat_at = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()

    @property
    def lag_seconds(self) -> float:
        """The worst lateness of the last 15 s."""
        return max((late for _, late in self._beats), default=0.0)

    def late_since(self, moment: float) -> float:
        """The worst lateness of the beats after ``moment`` on the loop's clock: about how long it stood still."""
        worst = 0.0
        for when, late in reversed(self._beats):
            if when < moment:
                break
            worst = max(worst, late)
        return worst

    def exhausted(self, now: float) -> None:
        """A probe could not be made for want of descriptors, memory, ports or the like: the others may be next."""
        if now - self._exhausted_at > EXHAUSTED_SECONDS:
            log.warning("agent.impaired", extra={"why": "exhausted", "detail": "out of descriptors, memory or ports"})
        self._exhausted_at = now

    def impaired(self, now: float) -> bool:
        """Whether the agent has just stood still, is held back or out of something: in no state to judge others."""
        stood_still = self.late_since(now - BRAKE_SECONDS) > STALL_SECONDS
        exhausted = now - self._exhausted_at < EXHAUSTED_SECONDS
        return stood_still or exhausted or self.throttled or self.footing.lost()

    def doubt(self, moment: float, timeout: float, *, timed_out: bool) -> str:
        """Why a failure of the round that began at ``moment`` may be the agent's own; "" where it is the target's.

        What ran into its deadline is in doubt after a standstill of a quarter of ``timeout`` (seconds) already.
        """
        tolerance = min(STALL_SECONDS, max(BEAT_SECONDS / 2, timeout / 4)) if timed_out else STALL_SECONDS
        if self.late_since(moment) > tolerance:
            return "the agent itself stood still during this round"
        if self.throttled:
            return "the agent itself gets too little CPU"
        if moment - self._exhausted_at < EXHAUSTED_SECONDS:
            return "the agent itself ran out of descriptors, memory or ports"
        return "the agent's own network namespace is gone" if self.footing.lost() else ""

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time()
        self._beat(loop)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        late = max(0.0, now - self._due)
        self._beats.append((now, late))
        self._beat_at = time.monotonic()
        self._due = now + BEAT_SECONDS
        self._timer = loop.call_at(self._due, self._beat, loop)

    def _watch(self) -> None:
        """Dump all stacks of a blockage, and leave when it lasts, so that the platform restarts the agent.

        Seconds in which this thread did not run either (SIGSTOP, a suspended machine) are not the loop's fault.
        """
        blocked, dumped = 0.0, False
        tick = self.dump_after / 5
        last = time.monotonic()
        while not self._stopped.wait(tick):
            now = time.monotonic()
            ran = min(now - last, 2 * tick)
            if self._beat_at >= last:
                blocked, dumped = min(now - self._beat_at, ran), False
            else:
                blocked += ran
            last = now
            if blocked >= self.dump_after and not dumped:
                dumped = True
                _say(f"the event loop has been blocked for {blocked:.0f} s; all stacks follow")
                faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)
            if blocked >= self.exit_after:
                _say(f"the event loop has been blocked for {blocked:.0f} s: exit {BLOCKED_EXIT_STATUS}")
                os._exit(BLOCKED_EXIT_STATUS)


def _say(text: str) -> None:
    """Straight to the descriptor: the log's own machinery may be what is blocked."""
    os.write(2, f'{{"level": "error", "event": "agent.blocked", "message": "{text}"}}\n'.encode())
