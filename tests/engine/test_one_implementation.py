"""The daemon and `simulate` share one implementation: a guard at work in virtual time tells the recorded traces too."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.model import CheckType, Published, Result, Target
from agent.core.settings import Backoff, Budget, Container, Restart
from agent.engine.container import Slot
from agent.engine.watch import Sign
from tests.engine.scripted import Acts, Ward, answer_of
from tests.engine.test_golden import CASES, configured
from tests.virtual import run_virtual, virtual_loop

HAIR = 1e-6  # seconds


class Letter:
    """A script of `simulate` as a method: one letter a round, an error taking three attempts; it takes no time.

    It yields once, so that the rounds of one instant have all seen the container before the first of them ends.
    """

    def __init__(self, letters: str) -> None:
        self.letters = letters or "s"
        self.rounds = 0
        self.attempts = 0

    async def probe(self, target: Target) -> Result:
        letter = self.letters[min(self.rounds, len(self.letters) - 1)]
        self.attempts = self.attempts + 1 if letter == "u" else 3
        if self.attempts == 3:
            self.rounds, self.attempts = self.rounds + 1, 0
            await asyncio.sleep(0)
        return answer_of(letter)


def scripted(case: dict[str, Any]) -> Container:
    """The case's container with its letters, and an action without brakes."""
    spec = configured(case["config"]).containers[0]
    letters = case["input"]["outcomes"].get(spec.name, {})
    checks = {
        str(kind): tuple(
            replace(each, options=Letter(said if isinstance(said, str) else said.get(each.name, "")))
            for each in spec.of_type(kind)
        )
        for kind in CheckType
        for said in [letters.get(kind, "")]
    }
    rule = Restart(
        action=Acts(), action_name="scripted", assume_restarted_seconds=1e6, budget=Budget(restarts=10_000),
        backoff=Backoff(initial_seconds=1e-9, max_seconds=1e-9),
    )  # fmt: skip
    return replace(spec, **checks, restart=rule)


class Witness(Ward):
    """A ward whose instances come `restart_delay` after each kill, and that writes the lines of `simulate`."""

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__(scripted(case))
        self.delay = case["input"]["restart_delay"]
        self.lines: list[tuple[float, str, str]] = []
        self.over = asyncio.Event()
        guard, witness = self.guard, self

        class Told:
            """The guard as its container's life, with a witness beside it."""

            def __getattr__(self, name: str) -> Any:
                return getattr(guard, name)

            def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, *, initial: bool) -> None:
                witness.write(str(kind), str(value))
                guard.on_published(kind, value, slot, now, initial=initial)

            def on_status(self, name: str, value: bool, now: float) -> None:
                witness.write(name, str(value))
                guard.on_status(name, value, now)

            def on_kill(self, slot: Slot, now: float) -> None:
                witness.write("kill", str(slot.check.type))
                guard.on_kill(slot, now)
                witness.killed()

        guard.container.life = Told()

    def write(self, what: str, said: str) -> None:
        if not self.over.is_set():
            self.lines.append((round(virtual_loop().time(), 3), what, said))

    def killed(self) -> None:
        loop = virtual_loop()
        if self.delay is None:
            loop.call_soon(loop.call_later, 1e-6, self.over.set)  # simulate ends after this instant
        else:
            # A hair early, or late where it follows the kill: a sign at the very moment of a beat would race with it.
            moment = loop.time() + self.delay
            loop.call_at(moment + (-HAIR if self.delay else HAIR), self.restart, moment)

    def restart(self, started_at: float) -> None:
        self.write("restart", str(self.container.instance + 1))
        self.guard.seen(Sign("test", started_at=min(started_at, virtual_loop().time())))


async def witnessed(case: dict[str, Any]) -> Counter[tuple[float, str, str]]:
    witness = Witness(case)
    await witness.guard.begin(None)
    witness.guard.work(lambda _: 0.0)

    async def ended() -> None:
        await asyncio.sleep(case["input"]["until"] + 1e-6)

    await asyncio.wait(
        [asyncio.create_task(ended()), waiting := asyncio.create_task(witness.over.wait())],
        return_when=asyncio.FIRST_COMPLETED,
    )
    waiting.cancel()
    witness.over.set()
    await witness.guard.close()
    return Counter(witness.lines)


def expected(case: dict[str, Any]) -> Counter[tuple[float, str, str]]:
    return Counter((e["t"], e["event"], str(e["value"])) for e in case["events"])


RACES = {13, 20, 42, 60, 76, 77, 130, 167, 312, 335, 384}
"""Traces in which a kill, or another readiness check's change, meets a readiness round at one instant.

There `simulate` runs the rounds one after the other in its documented order; in the daemon they run side by side, as in
the kubelet, and a stagger of 2 ms keeps such instants apart.
"""


@pytest.mark.parametrize("until", [60, 120, 300])
def test_a_guard_at_work_tells_the_recorded_history(until: int) -> None:
    cases = [(n, case) for n, case in enumerate(CASES) if case["input"]["until"] == until and n not in RACES]
    assert len(cases) > 75
    for number, case in cases:
        assert run_virtual(witnessed(case)) == expected(case), f"trace {number}: {json.dumps(case['config'])}"
