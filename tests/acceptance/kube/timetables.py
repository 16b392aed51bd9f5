"""The timetables: which probes, what the server does when, and which transitions must follow on any prober.

Whatever the phase of the probes, they lead to one order of transitions (`test_timetables.py` shows it): a failing
window is longer than F periods, or shorter than F - 1, by at least a second. The agent's grid begins with the script:
a change comes about halfway between two of its beats, and the kubelet's beat, wherever it is, half a period from it.
"""

from dataclasses import dataclass
from typing import Any, Literal

from tests.acceptance.kube.comparison import Expected, Probe, Since, To

TCP_PORTS: dict[Probe, int] = {"startup": 8001, "readiness": 8002, "liveness": 8003}

BOOT_SECONDS = 1  # of a server that is started again: one that is back at once could not be seen to have been away

Method = Literal["http", "tcp", "exec"]


@dataclass(frozen=True)
class Check:
    """A probe in the kubelet's words."""

    method: Method
    period: int
    failures: int
    successes: int = 1
    delay: int = 0
    timeout: int = 3  # ample: a machine that is slow for a moment is not what is compared


@dataclass(frozen=True)
class Timetable:
    """One server and its probes. ``script`` has one entry an instance, the last one for all that follow.

    A state line reads ``good 10 bad 22 good``: from the start, from second 10, from second 22. Each instance of the
    script is to live, or to be watched, for ``seconds``.
    """

    name: str
    checks: dict[Probe, Check]
    script: tuple[dict[Probe, str], ...]
    expected: tuple[Expected, ...]
    seconds: int  # of the last instance
    shared_pids: bool = False  # the agent tells instances apart by their process: its port may close and open again
    asks_startup: bool = True  # beside the agent the kubelet asks /startupz: not where it is to kill who does not start

    @property
    def instances(self) -> int:
        return 1 + sum(one.to == "killed" for one in self.expected)

    def states(self, instance: int, probe: Probe) -> list[tuple[float, str]]:
        """What the server answers to this probe in this instance, from 1: since when, which state."""
        script = self.script[min(instance, len(self.script)) - 1]
        words = script.get(probe, "good").split()
        return [(0.0, words[0]), *zip(map(float, words[1::2]), words[2::2], strict=True)]

    def for_server(self) -> list[dict[str, Any]]:
        """The script as the server takes it."""
        return [
            {
                "probes": {
                    probe: {"method": check.method, "port": TCP_PORTS[probe], "changes": self.states(instance, probe)}
                    for probe, check in self.checks.items()
                },
                "loads_seconds": BOOT_SECONDS if instance > 1 else 0,
            }
            for instance in range(1, len(self.script) + 1)
        ]


def _readiness(*to: To, first: Since = "served") -> tuple[Expected, ...]:
    return tuple(Expected("readiness", one, "served" if index else first) for index, one in enumerate(to))


STARTS = Check("http", period=2, failures=60)
UP = "bad 5 good"  # a server is up in its own time, before which liveness is not asked
STARTED = Expected("startup", "started")
STARTED_AGAIN = Expected("startup", "started", instance=2)

TIMETABLES = (
    Timetable(
        "readiness-http-flaps",
        {"readiness": Check("http", period=3, failures=2)},
        ({"readiness": "bad 4 good 14 bad 23 good 34 bad 43 good"},),
        _readiness("ready", "unready", "ready", "unready", "ready"),
        seconds=50,
    ),
    Timetable(
        "readiness-tcp-opens-late-and-needs-two-successes",
        {"readiness": Check("tcp", period=2, failures=2, successes=2)},
        ({"readiness": "bad 9 good 20 bad 21 good 31 bad 37 good"},),
        _readiness("ready", "unready", "ready"),
        seconds=45,
        shared_pids=True,
    ),
    Timetable(
        "readiness-exec-delayed-and-needs-three-successes",
        {"readiness": Check("exec", period=3, failures=1, successes=3, delay=7)},
        ({"readiness": "good 25 bad 31 good"},),
        _readiness("ready", "unready", "ready", first="running"),
        seconds=45,
    ),
    Timetable(
        "liveness-http-kill-then-too-short-a-trouble",
        {"startup": STARTS, "liveness": Check("http", period=3, failures=3)},
        ({"startup": UP, "liveness": "good 13 bad"}, {"startup": UP, "liveness": "good 10 bad 15 good"}),
        (STARTED, Expected("liveness", "killed"), STARTED_AGAIN),
        seconds=24,
    ),
    Timetable(
        "liveness-exec-is-not-asked-before-its-delay",
        {"liveness": Check("exec", period=4, failures=1, delay=14)},
        ({"liveness": "good 6 bad"}, {"liveness": "bad 8 good"}),
        (Expected("liveness", "killed", "running"),),
        seconds=24,
    ),
    Timetable(
        "liveness-tcp-kill",
        {"liveness": Check("tcp", period=2, failures=2, delay=10)},
        ({"liveness": "good 17 bad"}, {}),
        (Expected("liveness", "killed"),),
        seconds=16,
    ),
    Timetable(
        "liveness-http-hangs",
        {"startup": STARTS, "liveness": Check("http", period=4, failures=2, timeout=2)},
        ({"startup": UP, "liveness": "good 10 hang"}, {"startup": UP}),
        (STARTED, Expected("liveness", "killed"), STARTED_AGAIN),
        seconds=18,
    ),
    Timetable(
        "liveness-http-killed-twice",
        {"startup": STARTS, "liveness": Check("http", period=2, failures=2)},
        (
            {"startup": UP, "liveness": "good 11 bad"},
            {"startup": UP, "liveness": "good 11 bad"},
            {"startup": UP},
        ),
        (
            STARTED,
            Expected("liveness", "killed"),
            STARTED_AGAIN,
            Expected("liveness", "killed", instance=2),
            Expected("startup", "started", instance=3),
        ),
        seconds=12,
    ),
    Timetable(
        "liveness-spared-while-readiness-follows-a-longer-trouble",
        {
            "liveness": Check("http", period=2, failures=3, delay=10),
            "readiness": Check("http", period=2, failures=1),
        },
        ({"liveness": "good 14 bad 17 good 24 bad 27 good 36 bad 39 good", "readiness": "bad 5 good 17 bad 29 good"},),
        _readiness("ready", "unready", "ready"),
        seconds=42,
    ),
    Timetable(
        "startup-http-holds-a-failing-liveness-back",
        {"startup": STARTS, "liveness": Check("http", period=4, failures=3)},
        ({"startup": "bad 9 good", "liveness": "bad"}, {"startup": UP}),
        (STARTED, Expected("liveness", "killed", "started"), STARTED_AGAIN),
        seconds=18,
    ),
    Timetable(
        "startup-http-never-comes-up",
        {"startup": Check("http", period=3, failures=3, delay=8)},
        ({"startup": "bad"}, {"startup": "bad 5 good"}),
        (Expected("startup", "killed", "running"), Expected("startup", "started", "running", instance=2)),
        seconds=18,
        asks_startup=False,
    ),
    Timetable(
        "startup-exec-gates-readiness",
        {
            "startup": Check("exec", period=2, failures=20),
            "readiness": Check("http", period=4, failures=2, successes=2),
        },
        ({"startup": "bad 11 good", "readiness": "good 30 bad 42 good"},),
        (STARTED, *_readiness("ready", "unready", "ready", first="started")),
        seconds=54,
    ),
    Timetable(
        "startup-tcp-gates-readiness-that-survives-a-short-trouble",
        {"startup": Check("tcp", period=3, failures=20), "readiness": Check("tcp", period=3, failures=3)},
        ({"startup": "bad 10 good", "readiness": "good 22 bad 27 good 34 bad 46 good"},),
        (STARTED, *_readiness("ready", "unready", "ready", first="started")),
        seconds=52,
        shared_pids=True,
    ),
    Timetable(
        "all-three-and-a-second-instance",
        {
            "startup": Check("exec", period=2, failures=15),
            "readiness": Check("tcp", period=3, failures=2),
            "liveness": Check("http", period=4, failures=2),
        },
        ({"startup": "bad 7 good", "liveness": "good 22 bad"}, {"startup": UP}),
        (
            STARTED,
            Expected("readiness", "ready", "started"),
            Expected("liveness", "killed"),
            Expected("readiness", "unready", "killed"),
            STARTED_AGAIN,
            Expected("readiness", "ready", "started", instance=2),
        ),
        seconds=18,
    ),
)
