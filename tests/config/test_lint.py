"""Configurations that are valid and will hurt, and the ones that are left alone."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from agent.actions.kubernetes import KubernetesAction
from agent.config.lint import RULES, lint
from agent.core.model import Check, CheckType
from agent.core.settings import Budget, Config, Container, Drain, Restart, Server
from agent.probes.progress import Progress


class Ask(msgspec.Struct, frozen=True):
    """What lint looks at in a method's options."""

    path: str = "/health"
    host: str | None = None
    method: str | None = None


class Port(msgspec.Struct, frozen=True):
    """Of a check that connects."""

    port: int | None = None


class Gauges(msgspec.Struct, frozen=True):
    """Of a check that can tell what is in flight."""

    async def in_flight(self, target: Any) -> float | None:
        return 0.0


class Canary(msgspec.Struct, frozen=True):
    """An inference check's options: how long it waits where nothing else tells."""

    def alone_after(self, timeout: float) -> float:
        return 4 * timeout


def check(kind: CheckType, method: str = "http_get", options: Any = None, **numbers: Any) -> Check:
    return Check(name=numbers.pop("name", method), type=kind, method=method, options=options or Ask(), **numbers)


def startup(**numbers: Any) -> Check:
    return check(CheckType.STARTUP, **{"period_seconds": 5, "failure_threshold": 120, **numbers})


def readiness(**numbers: Any) -> Check:
    return check(CheckType.READINESS, **{"options": Ask("/v1/models"), "failure_threshold": 2, **numbers})


def liveness(**numbers: Any) -> Check:
    return check(CheckType.LIVENESS, **{"timeout_seconds": 5, "failure_threshold": 6, **numbers})


def container(*checks: Check, **fields: Any) -> Container:
    by_type = {str(kind): tuple(c for c in checks if c.type is kind) for kind in CheckType}
    return Container(name="model", **by_type, **fields)


def acting(**fields: Any) -> Restart:
    return Restart(action_name="signal", **fields)


def progress(period_seconds: float = 10, **options: Any) -> Check:
    found = Progress(**{"server": "vllm", **options})
    return check(
        CheckType.LIVENESS, "progress", found, period_seconds=period_seconds, timeout_seconds=5, failure_threshold=1
    )


GOOD = (startup(), readiness(), liveness())

BAD = {
    "W-LIVENESS-TIMEOUT": container(startup(), readiness(), liveness(timeout_seconds=1)),
    "W-LIVENESS-EAGER": container(startup(), readiness(failure_threshold=3), liveness(failure_threshold=3)),
    "W-NO-STARTUP": container(readiness(), liveness()),
    "W-STARTUP-BUDGET": container(startup(failure_threshold=6), readiness(), liveness()),
    "W-LIVENESS-TCP": container(startup(), readiness(), liveness(method="tcp_socket")),
    "W-SAME-REQUEST": container(startup(), readiness(options=Ask()), liveness()),
    "W-EXEC-OFTEN": container(startup(), readiness(method="exec", period_seconds=2), liveness()),
    "W-DRAIN-SHORT": container(*GOOD, restart=acting(drain=Drain(max_seconds=5))),
    "W-DRAIN-BLIND": container(*GOOD, restart=acting(drain=Drain(max_seconds=60, until_idle=True))),
    "W-DEPENDS-ON-SELF": container(*GOOD, port=8000, restart=acting(depends_on=(readiness(options=Port()),))),
    "W-THRESHOLD-ONE": container(startup(), readiness(failure_threshold=1), liveness(failure_threshold=1)),
    "W-NO-READINESS": container(startup(), liveness()),
    "W-NO-CHECKS": container(),
    "W-ACTION-UNUSED": container(readiness(), restart=acting()),
    "W-TIMEOUT-OVER-PERIOD": container(startup(), readiness(), liveness(timeout_seconds=15)),
    "W-PERIOD-SHORT": container(startup(period_seconds=0.5, failure_threshold=600), readiness(), liveness()),
    "W-LIVENESS-WORK": container(startup(), readiness(), liveness(options=Ask("/v1/completions"))),
    "W-CANARY-ALONE": container(
        startup(), readiness(), liveness(method="inference", options=Canary(), period_seconds=60, timeout_seconds=30)
    ),
    "W-LIVENESS-ELSEWHERE": container(startup(), readiness(), liveness(options=Ask(host="redis"))),
    "W-ERRORS-KILL": container(startup(), readiness(), liveness(errors_are_failures=True)),
    "W-READINESS-SLOW": container(startup(), readiness(period_seconds=60), liveness(failure_threshold=30)),
    "W-STARTUP-DELAY": container(startup(initial_delay_seconds=60), readiness(), liveness()),
    "W-BUDGET-NONE": container(*GOOD, restart=acting(budget=Budget(restarts=0))),
    "W-GRACE-SHORT": container(*GOOD, restart=acting(grace_period_seconds=1)),
    "W-EVICTION-YOUNG": container(*GOOD, restart=acting(action=KubernetesAction())),
    "W-PROGRESS-ALONE": container(progress()),
    "W-PROGRESS-PERIOD": container(*GOOD, progress(60)),
    "W-PROGRESS-WARN": container(*GOOD, progress(warn_after_seconds=120)),
    "W-PROGRESS-STEP": container(*GOOD, progress(server="mosec")),
    "W-PROGRESS-EAGER": container(*GOOD, progress(hung_after_seconds=50)),
    "W-PROGRESS-GAUGES": container(*GOOD, progress(server="kserve", max_step_seconds=20)),
}


def codes(*containers: Container, **fields: Any) -> Sequence[str]:
    return [finding.code for finding in lint(Config(containers=containers, **fields))]


def test_every_rule_has_an_example_here() -> None:
    assert BAD.keys() == RULES.keys()


@pytest.mark.parametrize("code", BAD)
def test_each_rule_warns_of_what_it_is_for(code: str) -> None:
    assert code in codes(BAD[code])


def test_a_host_that_stands_in_a_variable_is_not_told() -> None:
    config = Config(containers=(BAD["W-LIVENESS-ELSEWHERE"],), secrets=("redis",))
    (message,) = [finding.message for finding in lint(config) if finding.code == "W-LIVENESS-ELSEWHERE"]
    assert message.startswith("it asks [redacted], not 127.0.0.1")


def test_a_careful_configuration_gets_no_warning() -> None:
    assert codes(container(*GOOD), container(*GOOD, restart=acting(drain=Drain(max_seconds=30)))) == []


def test_a_careful_progress_check_gets_none() -> None:
    assert codes(container(*GOOD, progress())) == []
    assert codes(container(*GOOD, progress(server="mosec", max_step_seconds=60, warn_after_seconds=60))) == []


def test_a_step_that_is_declared_is_no_reason_to_lose_readiness() -> None:
    assert codes(container(*GOOD, progress(max_step_seconds=200))) == ["W-PROGRESS-WARN"]
    assert codes(container(*GOOD, progress(max_step_seconds=200, warn_after_seconds=220))) == []


def test_a_canary_shows_what_no_gauge_does() -> None:
    canary = check(CheckType.READINESS, "inference", timeout_seconds=5)
    assert "W-PROGRESS-GAUGES" not in codes(container(*GOOD, canary, progress(server="kserve")))


def test_an_accepted_connection_is_no_health_answer() -> None:
    reached = check(CheckType.READINESS, "tcp_socket")
    assert "W-PROGRESS-ALONE" in codes(container(reached, progress()))
    assert "W-PROGRESS-ALONE" not in codes(container(check(CheckType.READINESS, "exec"), progress()))


def test_a_long_delay_may_stand_for_a_startup_check() -> None:
    assert "W-NO-STARTUP" not in codes(container(readiness(), liveness(initial_delay_seconds=300)))


def test_a_drain_that_ends_when_nothing_is_in_flight_may_be_short() -> None:
    drain = Drain(max_seconds=5, until_idle=True)
    assert codes(container(*GOOD, progress(), restart=acting(drain=drain))) == []


def test_something_else_at_another_port_is_what_depends_on_is_for() -> None:
    other = readiness(options=Port(6379))
    assert codes(container(*GOOD, port=8000, restart=acting(depends_on=(other,)))) == []


def test_an_eviction_that_is_not_tried_before_the_pod_is_old_enough_is_not_warned_of() -> None:
    armed = acting(action=KubernetesAction(min_pod_age_seconds=300), arm_after_seconds=300)
    assert codes(container(*GOOD, restart=armed)) == []


def test_a_canary_beside_a_progress_check_may_decide_and_a_patient_readiness_canary_may_be() -> None:
    canary = {"method": "inference", "options": Canary(), "period_seconds": 60, "timeout_seconds": 30}
    progress = check(CheckType.LIVENESS, "progress", Progress(server="vllm"), timeout_seconds=5, failure_threshold=1)
    watched = container(startup(), readiness(), liveness(**canary), liveness(), progress)
    assert codes(watched) == []
    assert codes(container(startup(), readiness(**canary, failure_threshold=1), liveness())) == []


def test_how_long_a_canary_waits_alone_is_told() -> None:
    (found,) = lint(Config(containers=(BAD["W-CANARY-ALONE"],)))
    assert "after 120 s" in found.message
    assert found.path == "containers[0].liveness_check.inference"


def test_another_loopback_name_is_not_elsewhere() -> None:
    assert codes(container(startup(), readiness(), liveness(options=Ask(host="localhost")))) == []


def test_detail_texts_for_everybody_are_warned_of_and_on_loopback_are_not() -> None:
    assert codes(container(*GOOD), server=Server(details="full")) == ["W-DETAILS-PUBLIC"]
    assert codes(container(*GOOD), server=Server(details="full", host="127.0.0.1")) == []


def test_a_finding_names_its_place_as_the_document_would() -> None:
    two = container(startup(), readiness(), liveness(name="a"), liveness(name="b", timeout_seconds=1))
    (found,) = lint(Config(containers=(container(*GOOD), two)))
    assert found.path == "containers[1].liveness_check[1].timeout_seconds"
    assert found.container == "model"
    (found,) = lint(Config(containers=(BAD["W-BUDGET-NONE"],)))
    assert found.path == "containers[0].restart.budget.restarts"
