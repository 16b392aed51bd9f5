"""What the kernel tells of the agent's own container, from files as real kernels and engines write them."""

import pytest

from agent.runtimes import own
from agent.runtimes.engine_api.answers import Inspected, Layers, State
from agent.runtimes.engine_api.itself import narrowed
from agent.runtimes.own import Evidence, cgroup_of, layer_of, network_of

ID, OTHER = "ed1e7c804d10397d6745cfc217e0849b8d96e62ec98be676249d07ae0dac096c", "f" * 64


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (f"9:name=systemd:/docker/{ID}\n8:pids:/docker/{ID}\n", ID),  # version 1
        (f"0::/system.slice/docker-{ID}.scope\n", ID),  # version 2 with --cgroupns=host
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope\n", ID),  # rootless
        ("0::/\n", ""),  # version 2: private, the default
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),  # no container
        (f"0::/docker/{OTHER}/docker/{ID}\n", ID),  # an engine in a container
        (f"0::/kubepods/pod1/cri-containerd-{ID}.scope\n", ID),  # not this engine's: it will not know it
        ("", ""),
        (f"0::/docker/{ID}ab\n", ""),
    ],
)
def test_the_container_is_read_from_the_cgroup(text: str, container: str) -> None:
    assert cgroup_of(text) == container


ROOT = (
    "194 140 0:70 / / rw,relatime master:8 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/"
    "overlay2/l/B,upperdir=/var/lib/docker/overlay2/0edb/diff,workdir=/var/lib/docker/overlay2/0edb/work\n"
)
GIVEN = (
    f"211 194 254:0 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw\n"
    f"212 194 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw\n"
)
PODMAN = f"9 8 0:25 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"
HOST = "26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"


@pytest.mark.parametrize(
    ("mounts", "layer", "network"),
    [
        (ROOT + GIVEN, "/var/lib/docker/overlay2/0edb/diff", ID),
        (HOST + GIVEN, "", ID),  # another storage driver
        (ROOT + PODMAN, "/var/lib/docker/overlay2/0edb/diff", ID),
        (HOST, "", ""),
        ("", "", ""),
        ("garbage\n\n1 2 3 4 /\n1 2 3 / /etc/hosts\n", "", ""),
    ],
)
def test_the_layer_and_the_networks_container_are_read_from_the_mounts(mounts: str, layer: str, network: str) -> None:
    assert layer_of(mounts) == layer
    assert network_of(mounts) == network


def container(name: str, *command: str, layer: str = "") -> Inspected:
    graph = Layers({"UpperDir": layer}) if layer else None
    return Inspected(name, State(), f"/{name}", command[0], command[1:], graph_driver=graph)


SERVER = container("server", "python", "-m", "vllm", "serve")
AGENT = container("agent", "health-agent", "run")
COMMAND = ("/opt/health-agent/bin/python", "/opt/health-agent/bin/health-agent", "run")


@pytest.mark.parametrize(
    ("group", "evidence", "own_names"),
    [
        ([AGENT], Evidence(command=("sh",)), ["agent"]),  # alone on its network
        ([SERVER, AGENT], Evidence(command=COMMAND), ["agent"]),  # told by what it was started with
        ([SERVER, AGENT], Evidence(command=("/sbin/docker-init", "--", "health-agent", "run")), ["agent"]),
        ([SERVER, AGENT], Evidence(command=("bash",)), ["server", "agent"]),  # it can't be told
        ([AGENT, container("twin", "health-agent", "run")], Evidence(command=COMMAND), ["agent", "twin"]),
        (
            [container("server", "python", layer="/1"), container("agent", "python", layer="/2")],
            Evidence(command=("python",), layer="/2"),
            ["agent"],
        ),
        ([container("server", "python", layer="/1")], Evidence(command=("python",), layer="/2"), []),
        ([container("server", "python", layer="/1"), AGENT], Evidence(command=("python",), layer="/2"), ["agent"]),
        ([], Evidence(), []),
    ],
)
def test_on_a_shared_network_the_layer_tells_and_else_the_command(
    group: list[Inspected], evidence: Evidence, own_names: list[str]
) -> None:
    assert [one.called for one in narrowed(group, evidence)] == own_names


def test_these_tests_do_not_die_with_another_container() -> None:
    assert own.ends_with_another() is False


async def test_the_evidence_is_gathered_once() -> None:
    assert await own.evidence() is await own.evidence()
