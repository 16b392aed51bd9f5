"""An event loop in virtual time: when nothing is ready, the clock jumps to the next timer; no time is patched.

Its connections go to a `Network` of its own, so that a test of hours of schedules needs no socket and no second.
Threads still work (`asyncio.to_thread`): while nothing is scheduled the loop waits for them in real time.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

THREADS_SECONDS = 10.0  # of real time: nothing scheduled, and no thread has answered: nothing will ever happen


class Network:
    """Which addresses accept a connection; what is not listed refuses, and what is in ``silent`` never answers."""

    def __init__(self) -> None:
        self.open: set[tuple[str, int]] = set()
        self.silent: set[tuple[str, int]] = set()
        self.dialled: list[tuple[float, bool]] = []  # when, and whether it was accepted
        self.problem: Exception | None = None  # instead of any answer


class Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type, unused-ignore]
    """Never waits for a timer: it moves the clock there."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(THREADS_SECONDS)
            if not ready:
                raise RuntimeError("nothing is scheduled and no thread is at work: this would wait for ever")
            return ready
        self.loop.jump()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock starts at ``start`` and runs only when the test lets it."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self.network = Network()
        selector = Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def jump(self) -> None:
        """To the next timer. What sums of floats put a hair beside a moment is at it: loops take timers that early."""
        due = self._scheduled[0].when()  # type: ignore[attr-defined]
        moment = round(due, 9)
        self.now = max(self.now, moment if moment > self.now else due)  # a wait of less than that is one still

    def block(self, seconds: float) -> None:
        """What blocking code does: the clock runs on and the loop does not."""
        self.now += seconds

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        address = (host, port)
        if self.network.problem is not None:
            raise self.network.problem
        if address in self.network.silent:
            await asyncio.Event().wait()
        accepted = address in self.network.open
        self.network.dialled.append((self.now, accepted))
        if not accepted:
            raise ConnectionRefusedError(111, f"Connect call failed {address!r}")
        return asyncio.Transport.__new__(Aborting), factory()


class Aborting(asyncio.Transport):
    """The end of a connection that is only looked at."""

    def abort(self) -> None:
        """Nothing was opened."""


def run_virtual(work: Coroutine[Any, Any, Any] | Callable[[], Coroutine[Any, Any, Any]], *, start: float = 0.0) -> Any:
    """Run the coroutine to its end in virtual time and return what it returns."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(work() if callable(work) else work)


def virtual_loop() -> VirtualLoop:
    """The running loop, which is a virtual one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
