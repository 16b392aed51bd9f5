"""The rows of the fault matrix: what is done to a real server, and what ought to be thought of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.acceptance.model_servers import BENTOML, LITSERVE, MLSERVER_ALONE, MLSERVER_POOL, MOSEC, Kind
from tests.acceptance.processes import eventually
from tests.faults.scene import PLAIN, PRESET, Scene, Seen, Users

Wanted = Literal["quiet", "found"]

READY_SECONDS = 90.0
SERVERS = (MOSEC, LITSERVE, MLSERVER_POOL, BENTOML, MLSERVER_ALONE)


@dataclass(frozen=True)
class Pace:
    """Seconds that things take: ``busy`` and ``load`` of the healthy rows, ``patience`` for a fault to be found."""

    busy: float
    load: float
    patience: float


@dataclass(frozen=True)
class Fault:
    """One row. ``play`` does it to a scene that is ready, and returns once nothing more is to be done.

    ``heals``: servers that mend this by themselves, so that a restart is neither wanted nor wrong.
    ``unseen``: servers where nothing that can be asked tells, with the reason.
    """

    name: str
    title: str
    wanted: Wanted
    play: Callable[[Scene, Pace, ExitStack], None]
    server: dict[str, float] = field(default_factory=dict)
    through_proxy: bool = False
    starts_ready: bool = True
    heals: tuple[str, ...] = ()
    unseen: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """What came of one fault on one server, for the plain check and for the preset."""

    server: str
    fault: Fault
    plain: Seen
    preset: Seen

    def told(self, seen: Seen) -> str:
        """One cell of the table."""
        wanted = self.fault.wanted == "found" and self.server not in self.fault.heals
        if seen.killed is None:
            return "missed" if wanted else "quiet"
        return (
            f"found after {seen.killed:.0f} s ({seen.reason})"
            if wanted
            else f"FALSELY restarted after {seen.killed:.0f} s"
        )

    def problem(self, within: float) -> str:
        """What the preset got wrong; "" for nothing. A hang is to be found ``within`` seconds, unready before that."""
        seen = self.preset
        if self.server in self.fault.heals:
            return ""
        if self.fault.wanted == "quiet":
            return "" if seen.killed is None else f"restarted a server that is well ({seen.reason})"
        if seen.killed is None:
            return "" if self.server in self.fault.unseen else "missed"
        if seen.killed > within:
            return f"found after {seen.killed:.1f} s only, {within:.1f} s were due"
        if seen.unready is None or seen.unready > seen.killed:
            return "in rotation until it was killed"
        return ""


def _busy(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    users = stack.enter_context(Users(scene.kind, scene.server.port, 32))
    time.sleep(pace.busy)
    assert users.took, f"nobody was served: {scene.server.story()}"


def _load(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    _await_ready(scene, PRESET, pace.load + READY_SECONDS)


def _stopped(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    stack.enter_context(Users(scene.kind, scene.server.port, 4))
    scene.server.stop_worker()


def _deadlocked(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    stack.enter_context(Users(scene.kind, scene.server.port, 4))
    scene.server.deadlock()


def _deadlocked_idle(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    scene.server.deadlock()


def _worker_killed(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    scene.server.kill_worker()


def _server_killed(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    scene.server.kill()


def _overload(scene: Scene, pace: Pace, stack: ExitStack) -> None:
    """Far more than it can do, and then an end of it: every answer is late, and every answer comes."""
    users = stack.enter_context(Users(scene.kind, scene.server.port, 64))
    time.sleep(pace.busy)
    assert users.took, f"nobody was served: {scene.server.story()}"


def _breaks(path: Callable[[Kind], str], how: str) -> Callable[[Scene, Pace, ExitStack], None]:
    def play(scene: Scene, pace: Pace, stack: ExitStack) -> None:
        assert scene.proxy is not None
        stack.enter_context(Users(scene.kind, scene.server.port, 2))
        scene.proxy.broken[path(scene.kind)] = how
        time.sleep(pace.patience)

    return play


FAULTS = (
    Fault("busy", "32 users, slow predictions", "quiet", _busy, {"predict_seconds": 0.2}),
    Fault("loading", "a slow load", "quiet", _load, starts_ready=False),
    Fault("stopped", "worker stopped (SIGSTOP), with traffic", "found", _stopped),
    Fault("deadlocked", "prediction deadlocked, with traffic", "found", _deadlocked),
    Fault("deadlocked-idle", "prediction deadlocked, without traffic", "found", _deadlocked_idle),
    Fault("worker-killed", "worker killed", "found", _worker_killed, heals=("mlserver-pool", "bentoml")),
    Fault("server-killed", "server killed", "found", _server_killed),
    Fault("overload", "64 users: every answer late", "quiet", _overload, {"predict_seconds": 0.4}),
    Fault("metrics-break", "/metrics answers 500", "quiet", _breaks(lambda _: "/metrics", "500"), through_proxy=True),
    Fault("metrics-hang", "/metrics hangs", "quiet", _breaks(lambda _: "/metrics", "hangs"), through_proxy=True),
    Fault("canary-breaks", "the canary's path answers 500, users are served", "quiet",
          _breaks(lambda kind: kind.predict, "500"), through_proxy=True),
)  # fmt: skip


def play(fault: Fault, kind: Kind, home: Path, document: Callable[[Kind, int], dict[str, Any]], pace: Pace) -> Cell:
    """Do it, and look on until both have found it, or for as long as they are given."""
    given = dict(fault.server) | ({} if fault.starts_ready else {"load_seconds": pace.load})
    with ExitStack() as stack:
        scene = stack.enter_context(Scene(kind, home, document, **given))
        scene.look_on(through_proxy=fault.through_proxy)
        if fault.starts_ready:
            _await_ready(scene, PRESET, READY_SECONDS)
            scene.server.await_loaded()
        began = time.time()
        with _left_alone(stack) as during:
            fault.play(scene, pace, during)
            if fault.wanted == "found":
                _until_found(scene, began, pace.patience)
        return Cell(kind.name, fault, scene.seen(PLAIN, began), scene.seen(PRESET, began))


@contextmanager
def _left_alone(stack: ExitStack) -> Iterator[ExitStack]:
    """What a row begins (users) ends when the row does, before the server goes."""
    with ExitStack() as during:
        stack.callback(during.close)
        yield during


def _await_ready(scene: Scene, container: str, seconds: float) -> None:
    agent = scene.agent
    assert agent is not None
    eventually(
        lambda: agent.ask(f"/ready/{container}") == 200, within=seconds, what=f"{container} is ready",
        story=lambda: f"{agent.running.output()[-4000:]}\n{scene.server.story()}",
    )  # fmt: skip


def _until_found(scene: Scene, since: float, patience: float) -> None:
    deadline = time.time() + patience
    while time.time() < deadline:
        if all(scene.seen(name, since).killed is not None for name in (PLAIN, PRESET)):
            return
        time.sleep(0.5)
