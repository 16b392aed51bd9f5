"""What the running agent remembers while it starts, and of containers that a reload takes away and brings back."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.app.agent import Agent
from agent.app.orders import Orders
from agent.core.model import Result, Target, failure
from agent.core.settings import Config, Container, Server
from agent.server import Refused
from tests.engine.scripted import Acts, Letters, check, container, eventually


class Fails:
    async def probe(self, _: Target) -> Result:
        return failure("status")


class Slow:
    """A runtime that does not answer."""

    async def instance(self) -> None:
        await asyncio.Event().wait()


def configured(state: Path, *specs: Container) -> Config:
    return Config(containers=specs, server=Server(host="127.0.0.1", port=0), state_file=str(state))


def on_disk(state: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(state.read_text())["containers"].get(name, {})
    return found


def left_behind(state: Path, name: str) -> None:
    """An earlier process has given up on this container, in maintenance."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    memory = {"instance": 7, "spent": [now - 5, now - 4], "given_up_at": now - 3, "maintenance_until": now + 600}
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    document = {"version": 1, "boot_id": boot, "boottime": now, "unix": time.time(), "containers": {name: memory}}
    state.write_text(json.dumps(document))


async def test_what_one_container_saves_while_another_one_starts_does_not_cost_that_its_memory(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    left_behind(state, "slow")
    quick = replace(container(check("liveness", Letters("s"), period_seconds=0.1), action=Acts()), name="quick")
    slow = replace(container(check("liveness", Letters("s")), action=Acts(), runtime=Slow()), name="slow")
    agent = Agent(configured(state, quick, slow))
    starting = asyncio.create_task(agent.start())
    await eventually(lambda: on_disk(state, "quick"), within=20)
    assert not starting.done()
    kept = on_disk(state, "slow")
    assert (kept["instance"], len(kept["spent"]), kept["given_up_at"] is None) == (7, 2, False)
    with pytest.raises(Refused, match="starting"):
        await Orders(agent, None).maintain("slow", 0, "keep")  # type: ignore[arg-type]  # no reload here
    listener = await starting
    kept = on_disk(state, "slow")
    assert (kept["instance"], len(kept["spent"]), kept["maintenance_until"] is None) == (7, 2, False)
    agent.leave()
    await agent.stop(listener, asyncio.Event())


async def test_a_container_that_comes_back_finds_its_action_its_budget_and_its_records(tmp_path: Path) -> None:
    """Two reloads, as a ConfigMap that is put back makes them, are no way around any of it."""
    state, action = tmp_path / "state.json", Acts(takes=1.0)
    model = container(check("liveness", Fails(), period_seconds=0.1), action=action, grace_period_seconds=0)
    other = replace(container(check("readiness", Letters("s")), action=Acts()), name="other")
    both = configured(state, model, other)
    agent = Agent(both)
    listener = await agent.start()
    await eventually(lambda: action.running == 1)
    await agent.reload(replace(both, containers=(other,)))
    assert (action.running, len(on_disk(state, "model")["spent"])) == (1, 1)
    await agent.reload(both)
    assert (action.running, action.most_at_once, len(action.begun)) == (0, 1, 1)
    view = agent.view("model")
    assert view is not None
    assert (view.budget_remaining, len(view.restarts)) == (4, 1)
    agent.leave()
    await agent.stop(listener, asyncio.Event())
