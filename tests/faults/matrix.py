"""The rows of the fault matrix: what is done to a real server, and what ought to be thought of it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.acceptance.model_servers import BENTOML, LITSERVE, MLSERVER_ALONE, MLSERVER_POOL, MOSEC, Kind
from tests.faults.cells import Cell, Wanted
from tests.faults.documents import PLAIN, PRESET, has_metrics, periods, threshold
from tests.faults.scene import Scene, Users

READY_SECONDS: Final = 90.0
PLAIN_SECONDS: Final = 10.0
"""How long the plain check is given, which takes 6 s at most for what it can see."""
PATIENCE: Final = 2.0
"""How many times as long as is due a fault is waited for, to tell late from never."""

PATIENT_MOSEC: Final = replace(MOSEC, arguments=lambda port: [*MOSEC.arguments(port), "--timeout", "60000"])
"""Its own time-out for a request is 3 s, and no answer would come late."""

SERVERS: Final = (PATIENT_MOSEC, LITSERVE, MLSERVER_POOL, BENTOML, MLSERVER_ALONE)


@dataclass(frozen=True)
class Pace:
    """Seconds that the healthy rows take: ``busy`` with users, and a ``load``."""

    busy: float
    load: float


FULL: Final = Pace(busy=120.0, load=20.0)
SHORT: Final = Pace(busy=15.0, load=6.0)

Play = Callable[[Scene, Pace, ExitStack], str]
"""Does it to a scene that is ready, and returns once nothing more is to be done, with a note for the table."""


@dataclass(frozen=True)
class Fault:
    """One row. ``heals``: servers that mend this by themselves within seconds, so that a restart is not wanted."""

    name: str
    title: str
    wanted: Wanted
    play: Play
    server: dict[str, float] = field(default_factory=dict)
    through_proxy: bool = False
    loads: bool = False
    heals: tuple[str, ...] = ()
    of_metrics: bool = False

    def applies(self, kind: Kind) -> bool:
        return has_metrics(kind) or not self.of_metrics

    def wanted_of(self, kind: Kind) -> Wanted:
        return "quiet" if kind.name in self.heals else self.wanted

    def due(self, kind: Kind) -> float:
        return threshold(kind, self.name) + periods(kind)


def _crowd(count: int, part: float = 1.0) -> Play:
    """So many users at once, each with its next request as soon as the last is answered, for part of the busy time."""

    def play(scene: Scene, pace: Pace, stack: ExitStack) -> str:
        users = stack.enter_context(Users(scene.kind, scene.server.port, count))
        time.sleep(max(part * pace.busy, _hang_due(scene.kind)))
        scene.await_served(users, 1)
        return users.told()

    return play


def _load(scene: Scene, pace: Pace, stack: ExitStack) -> str:
    since = scene.fault_at
    scene.await_ready(PRESET, pace.load + READY_SECONDS)
    took = scene.ready_at - since
    scene.ready_at = scene.fault_at = since  # all of it counts
    return f"ready after {took:.0f} s"


def _with_traffic(do: Callable[[Scene], Callable[[], None]]) -> Play:
    def play(scene: Scene, pace: Pace, stack: ExitStack) -> str:
        users = stack.enter_context(Users(scene.kind, scene.server.port, 4))
        scene.await_served(users, 8)
        scene.mark(do(scene))
        return ""

    return play


def _idle(do: Callable[[Scene], Callable[[], None]]) -> Play:
    def play(scene: Scene, pace: Pace, stack: ExitStack) -> str:
        scene.mark(do(scene))
        return ""

    return play


def _breaks(path: Callable[[Kind], str], how: str) -> Play:
    """A path breaks for the agent alone; users reach the server past the proxy, and are served."""

    def play(scene: Scene, pace: Pace, stack: ExitStack) -> str:
        assert scene.proxy is not None
        broken = path(scene.kind)
        users = stack.enter_context(Users(scene.kind, scene.server.port, 2))
        scene.await_served(users, 4)
        scene.mark(lambda: scene.proxy and scene.proxy.broken.update({broken: how}))
        time.sleep(_hang_due(scene.kind))
        asked = len(scene.proxy.asked)
        return f"{users.told()}; the broken path was asked {asked} times"

    return play


def _hang_due(kind: Kind) -> float:
    """For how long a hang would have had to be found for certain."""
    return threshold(kind, "deadlocked") + periods(kind)


SERVED: Final = {"predict_seconds": 0.05}

FAULTS: Final = (
    Fault("busy", "32 users, slow predictions", "quiet", _crowd(32), {"predict_seconds": 0.1}),
    Fault("loading", "a slow load", "quiet", _load, loads=True),
    Fault("stopped", "worker stopped (SIGSTOP), traffic", "found", _with_traffic(lambda on: on.server.stop_worker)),
    Fault("deadlocked", "prediction deadlocked, with traffic", "found", _with_traffic(lambda on: on.server.deadlock)),
    Fault("deadlocked-idle", "prediction deadlocked, without traffic", "found", _idle(lambda on: on.server.deadlock)),
    Fault("worker-killed", "worker killed (SIGKILL)", "found", _idle(lambda on: on.server.kill_worker),
          heals=("mlserver-pool", "bentoml")),
    Fault("server-killed", "server killed (SIGKILL)", "found", _idle(lambda on: on.server.kill)),
    Fault("overload", "64 users: every answer comes, and late", "quiet", _crowd(64, 0.25), {"predict_seconds": 0.1}),
    Fault("metrics-break", "/metrics answers 500", "quiet", _breaks(lambda _: "/metrics", "500"), server=SERVED,
          through_proxy=True, of_metrics=True),
    Fault("metrics-hang", "/metrics hangs", "quiet", _breaks(lambda _: "/metrics", "hangs"), server=SERVED,
          through_proxy=True, of_metrics=True),
    Fault("canary-breaks", "the canary is answered 500, users are served", "quiet",
          _breaks(lambda kind: kind.predict, "500"), server=SERVED, through_proxy=True),
)  # fmt: skip

ALONE_BLIND: Final = "MLServer without a pool answers nothing while it predicts: busy and hung look the same"
QUICK: Final = (PATIENT_MOSEC, LITSERVE)
"""Those that CI plays: they are installed and started in seconds."""

KNOWN: Final = {
    (MLSERVER_ALONE.name, "busy"): ALONE_BLIND,
    (MLSERVER_ALONE.name, "overload"): ALONE_BLIND,
    (LITSERVE.name, "canary-breaks"): "LitServe has no metrics: what its canary is answered is all there is to go by",
}
"""The cells in which a preset is not held to its promise, with the reason; docs/faults.md gives each."""


def play(fault: Fault, kind: Kind, home: Path, pace: Pace) -> Cell:
    """Do it, and look on until both have found it, or for as long as they are given."""
    given = dict(fault.server) | ({"load_seconds": pace.load} if fault.loads else {})
    with ExitStack() as stack:
        scene = stack.enter_context(Scene(kind, home, **given))
        scene.look_on(through_proxy=fault.through_proxy)
        if not fault.loads:
            scene.await_ready(PRESET, READY_SECONDS)
            scene.server.await_loaded()
        with ExitStack() as during:  # users leave before the server does
            note = fault.play(scene, pace, during)
            if fault.wanted == "found":
                _until_found(scene, PATIENCE * fault.due(kind) if fault.wanted_of(kind) == "found" else PLAIN_SECONDS)
        plain, preset = scene.seen(PLAIN), scene.seen(PRESET)
    return Cell(
        server=kind.name, fault=fault.name, wanted=fault.wanted_of(kind), due=fault.due(kind), plain=plain,
        preset=preset, note=note,
    )  # fmt: skip


def _until_found(scene: Scene, patience: float) -> None:
    """The plain check has had its time, and the preset has found it, or is late beyond hope."""
    while (gone := time.time() - scene.fault_at) < patience:
        found = scene.seen(PRESET).killed is not None
        if found and (gone > PLAIN_SECONDS or scene.seen(PLAIN).killed is not None):
            return
        time.sleep(0.5)
