"""A cgroup's cpu.stat, where the process finds its own, and when it says that the agent is impaired."""

import pytest

from agent.core import throttling
from agent.core.throttling import Look

V2 = "usage_usec 50\nuser_usec 20\nsystem_usec 30\nnr_periods 38\nnr_throttled 37\nthrottled_usec 3460799\n"
V1 = "nr_periods 38\nnr_throttled 37\nthrottled_time 3460799820\nnr_bursts 0\nburst_time 0\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (V2, 3.460799),
        (V1, 3.46079982),
        ("usage_usec 50\nuser_usec 20\nsystem_usec 30\n", None),  # no limit, or the root
        ("", None),
        ("throttled_usec\n", None),
        ("throttled_usec -1\n", None),
        ("throttled_usec soon\n", None),
    ],
)
def test_both_versions_tell_how_long_they_held_their_processes_back(text: str, seconds: float | None) -> None:
    assert throttling.throttled_seconds(text) == (None if seconds is None else pytest.approx(seconds))


HYBRID_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
HYBRID_HOST = ("9:name=systemd:/\n3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n", HYBRID_MOUNTS)
V1_MOUNTS = """\
163 162 0:29 /docker/2a41 /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
166 162 0:32 /docker/2a41 /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory
"""
V1_CONTAINER = ("4:memory:/docker/2a41\n1:cpu,cpuacct:/docker/2a41\n", V1_MOUNTS)
V2_CONTAINER = ("0::/\n", "600 599 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n")
V2_HOST = (
    "0::/system.slice/health-agent.service\n",
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (HYBRID_HOST, ["/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/unified/cpu.stat"]),
        (V1_CONTAINER, ["/sys/fs/cgroup/cpu,cpuacct/cpu.stat"]),
        (V2_CONTAINER, ["/sys/fs/cgroup/cpu.stat"]),
        (
            V2_HOST,
            ["/sys/fs/cgroup/system.slice/health-agent.service/cpu.stat", "/sys/fs/cgroup/cpu.stat"],
        ),
        (("", ""), []),
        (("nonsense\n", "nonsense\n\n - \n"), []),
        (
            (V2_CONTAINER[0], "600 599 0:26 /../../x /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
            ["/sys/fs/cgroup/cpu.stat"],
        ),
    ],
)
def test_a_process_finds_its_own_cpu_stat(own: tuple[str, str], files: list[str]) -> None:
    assert throttling.where(*own) == files


@pytest.mark.parametrize(
    ("throttled", "late", "impaired"),
    [
        (2.5, 0.09, True),
        (2.4, 0.09, False),  # less than half of the time
        (40.0, 0.04, False),  # the server's threads in the same cgroup: the agent's loop was not late
        (0.0, 0.5, False),
    ],
)
def test_the_agent_is_impaired_where_it_was_held_back_and_late_for_it(
    throttled: float, late: float, impaired: bool
) -> None:
    assert throttling.is_throttled(Look(100.0, 7.0), Look(105.0, 7.0 + throttled), late) is impaired


def test_two_looks_at_one_moment_say_nothing() -> None:
    assert not throttling.is_throttled(Look(100.0, 7.0), Look(100.0, 9.0), 1.0)
