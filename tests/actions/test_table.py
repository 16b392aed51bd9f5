"""Every action of the table keeps the promises that configuration and the remedy rely on."""

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.actions import ACTIONS, ActionError, ExitRequested, Order
from tests.actions.third_party import Touch

ORDER = Order(type="action", container="model", reason="timeout", check="answers", instance="pid 7 started 5")


def kind_of(name: str) -> type[Any]:
    module, _, attribute = ACTIONS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    assert isinstance(kind, type)
    return kind


def trait(kind: type[Any], name: str, default: object) -> object:
    return getattr(kind, name, default)


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_a_frozen_struct_whose_options_have_a_schema(name: str) -> None:
    kind = kind_of(name)
    assert issubclass(kind, msgspec.Struct)
    assert kind.__struct_config__.frozen
    assert kind.__doc__
    assert msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"].keys() == set(kind.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "interrupts", "holds", "runtime", "state_file"),
    [
        ("none", True, False, "", False),
        ("notify", False, False, "", False),
        ("signal", True, True, "process", False),
        ("exec", True, True, "", False),
        ("webhook", True, True, "", False),
        ("exit", True, True, "", True),
        ("kubernetes", True, True, "kubernetes", False),
    ],
)
def test_an_action_tells_what_it_is_like(
    name: str, interrupts: bool, holds: bool, runtime: str, state_file: bool
) -> None:
    kind = kind_of(name)
    assert trait(kind, "interrupts", default=True) is interrupts
    assert trait(kind, "holds", default=True) is holds
    assert trait(kind, "needs_runtime", default="") == runtime
    assert trait(kind, "needs_state_file", default=False) is state_file


def test_docker_needs_its_runtime_and_a_state_file_only_where_it_ends_the_agent() -> None:
    """These tests run in nobody else's process namespace."""
    action = kind_of("docker")()
    assert action.needs_runtime == "docker"
    assert (action.needs_state_file, action.caution) == (False, "")


@pytest.mark.parametrize("name", ["none", "notify"])
async def test_none_and_notify_do_nothing(name: str) -> None:
    await kind_of(name)().act(ORDER)


@pytest.mark.parametrize(("options", "code"), [({}, 1), ({"code": 70}, 70)])
async def test_exit_asks_for_the_agents_own_end(options: dict[str, int], code: int) -> None:
    action = msgspec.convert(options, kind_of("exit"))
    with pytest.raises(ExitRequested) as asked:
        await action.act(ORDER)
    assert asked.value.code == code


@pytest.mark.parametrize("code", [0, 256, -1, "1", True])
def test_exit_takes_no_other_code(code: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"code": code}, kind_of("exit"))


async def test_a_third_partys_action_needs_a_struct_and_act_alone(tmp_path: Path) -> None:
    await msgspec.convert({"folder": str(tmp_path)}, Touch).act(ORDER)
    assert (tmp_path / "model").read_text() == "timeout"
    with pytest.raises(ActionError):
        await Touch(str(tmp_path / "none")).act(ORDER)
