"""An agent whose network namespace has died blames nobody, says so, and leaves when its container is up again."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from agent.engine.footing import Footing, interfaces
from agent.engine.pulse import Pulse
from tests.virtual import run_virtual, virtual_loop


class Network:
    """The interfaces that there are; None while they can't be listed."""

    def __init__(self, *names: str) -> None:
        self.names: tuple[str, ...] | None = names

    def __call__(self) -> tuple[str, ...]:
        if self.names is None:
            raise OSError("no descriptor left")
        return self.names


def test_what_is_there_now_is_not_lost() -> None:
    assert "lo" in interfaces()
    assert not Footing().lost()


def test_only_who_had_an_interface_can_lose_it() -> None:
    network = Network("lo", "eth0")
    footing = Footing(network)
    network.names = ("lo",)
    assert footing.lost()
    assert not Footing(network).lost(), "network_mode: none was never anything else"


def test_what_cannot_be_told_is_no_loss_and_what_comes_back_is_none_any_more() -> None:
    network = Network("lo", "eth0")
    footing = Footing(network)
    network.names = None
    assert not footing.lost()
    network.names = ("lo",)
    assert footing.lost()
    network.names = ("lo", "eth1")
    assert not footing.lost()


def test_without_its_network_the_agent_doubts_every_failure_and_restarts_nobody() -> None:
    network = Network("lo", "eth0")
    pulse = Pulse()
    pulse.footing = Footing(network)
    assert (pulse.doubt(0.0, 1.0, timed_out=False), pulse.impaired(0.0)) == ("", False)
    network.names = ("lo",)
    assert "network namespace" in pulse.doubt(0.0, 1.0, timed_out=False)
    assert pulse.impaired(0.0)


@pytest.mark.parametrize(
    ("up_again", "leaves_at"),
    [(lambda _: True, 11.0), (lambda now: now >= 40, 40.0), (lambda _: None, 26.0), (lambda _: False, None)],
    ids=["it is up already", "it comes up later", "nobody can say", "it stays down"],
)
def test_it_leaves_once_the_container_is_up_again(
    up_again: Callable[[float], bool | None], leaves_at: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost at 10.5 s, seen at 11 s; where nobody can say it is given 15 s more."""
    left: list[tuple[float, int]] = []

    async def live() -> None:
        loop = virtual_loop()
        network = Network("lo", "eth0")
        footing = Footing(network)

        async def asked() -> bool | None:
            return up_again(loop.time())

        loop.call_at(10.5, lambda: setattr(network, "names", ("lo",)))
        task = loop.create_task(footing.watch(asked, lambda code: left.append((loop.time(), code))))
        loop.call_at(100.0, task.cancel)
        await asyncio.wait([task])

    with caplog.at_level(logging.ERROR):
        run_virtual(live())
    assert left == ([] if leaves_at is None else [(leaves_at, 1)])
    assert [record.message for record in caplog.records] == ["agent.stranded"], "once, not every second"
