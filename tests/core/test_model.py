"""The vocabulary's few rules: ports by name, results that carry their time, and what is assumed by default."""

import pytest

from agent.core.model import REASONS, Check, CheckType, Outcome, Result, Target, error, failure, success, warning
from agent.core.settings import Container, Restart


def test_a_port_is_a_number_a_name_or_the_containers_own() -> None:
    target = Target("model", "127.0.0.1", 8000, {"grpc": 8001})
    assert [target.port_of(port) for port in (76, "grpc", None)] == [76, 8001, 8000]


def test_a_port_that_nobody_names_is_an_error_that_says_so() -> None:
    with pytest.raises(LookupError, match="no port named 'http'"):
        Target("model", "127.0.0.1", 8000).port_of("http")
    with pytest.raises(LookupError, match="neither the check nor its container"):
        Target("model", "127.0.0.1").port_of(None)


def test_a_result_keeps_what_it_found_when_it_is_timed() -> None:
    found = failure("refused", "connect to 127.0.0.1:8000").took(0.25)
    assert found == Result(Outcome.FAILURE, "refused", "connect to 127.0.0.1:8000", 0.25)
    assert [r.outcome for r in (success(), warning("redirect"), error("spawn"))] == ["success", "warning", "error"]


def test_the_reasons_are_a_closed_set_without_repetition() -> None:
    assert len(set(REASONS)) == len(REASONS) == 27


def test_a_restart_is_assumed_after_two_minutes_or_fifteen_for_a_webhook_unless_said() -> None:
    assert Restart(action_name="signal").assumed_after == 120
    assert Restart(action_name="webhook").assumed_after == 900
    assert Restart(action_name="webhook", assume_restarted_seconds=7).assumed_after == 7


def test_checks_come_in_the_order_in_which_the_rounds_of_one_instant_run() -> None:
    def one(kind: CheckType) -> tuple[Check, ...]:
        return (Check(name="it", type=kind, method="exec", options=None),)

    container = Container(
        name="m", liveness=one(CheckType.LIVENESS), readiness=one(CheckType.READINESS), startup=one(CheckType.STARTUP)
    )
    assert [check.type for check in container.checks()] == ["startup", "readiness", "liveness"]
    assert all(container.of_type(kind)[0].type is kind for kind in CheckType)
