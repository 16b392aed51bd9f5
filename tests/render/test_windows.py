"""The numbers of the probes that point at the agent: exact, since a server's life hangs on them."""

import pytest

from agent.core.model import CheckType
from agent.render.windows import Window, windows
from tests.config.support import config, model

LIVENESS, READINESS, STARTUP = CheckType.LIVENESS, CheckType.READINESS, CheckType.STARTUP
HTTP = "http_get: {path: /health}"


def found(checks: str) -> dict[CheckType, Window]:
    return windows(config(model(checks)).containers[0])


def test_all_three_are_as_containers_in_production_need_them() -> None:
    """startup ceil((budget + 60) / 5), readiness 2, liveness 90 s."""
    checks = f"""
        startup_check: {{{HTTP}, period_seconds: 5, failure_threshold: 120}}
        liveness_check: {{{HTTP}}}
        readiness_check: {{{HTTP}}}"""
    assert found(checks.replace("        ", "")) == {
        STARTUP: Window("/startupz/model", 5, 2, 131),
        READINESS: Window("/ready/model", 5, 2, 2),
        LIVENESS: Window("/healthz/model", 10, 3, 9),
    }


@pytest.mark.parametrize(
    ("numbers", "failures"),
    [
        ("period_seconds: 10, failure_threshold: 3", 16),  # 20 s and a minute
        ("period_seconds: 10, failure_threshold: 3, initial_delay_seconds: 1", 18),  # the first probe is at 10 s
        ("period_seconds: 7, failure_threshold: 10", 25),  # 63 + 60 = 123 s
        ("period_seconds: 0.3, failure_threshold: 1", 12),
        ("period_seconds: 60, failure_threshold: 60", 720),
    ],
)
def test_a_start_may_take_a_minute_longer_than_the_agent_allows(numbers: str, failures: int) -> None:
    assert found(f"startup_check: {{{HTTP}, {numbers}}}")[STARTUP].failures == failures


def test_of_several_startup_checks_the_longest_counts() -> None:
    """The server has started once all of them succeeded, and each may take its time."""
    several = f"[{{{HTTP}, failure_threshold: 2}}, {{{HTTP}, failure_threshold: 31}}, {{{HTTP}}}]"
    assert found(f"startup_check: {several}")[STARTUP].failures == 72


def test_without_a_startup_check_the_start_is_asked_for_as_long_as_liveness() -> None:
    """The question tells the agent of a new instance; and an agent that is not up yet is no reason to kill."""
    of = found(f"liveness_check: {{{HTTP}}}")
    assert of.keys() == {STARTUP, LIVENESS}
    assert of[STARTUP].period * of[STARTUP].failures == of[LIVENESS].period * of[LIVENESS].failures == 90


def test_what_is_not_checked_is_not_asked() -> None:
    assert found(f"readiness_check: {{{HTTP}}}").keys() == {READINESS}
    assert found(f"startup_check: {{{HTTP}}}").keys() == {STARTUP}


@pytest.mark.parametrize(
    ("restart", "failures"), [("", 9), ("grace_period_seconds: 120, ", 18), ("dry_run: true, ", 9)]
)
def test_a_signal_of_the_agents_own_is_given_its_grace(restart: str, failures: int) -> None:
    """The kubelet steps in where that was not enough, and no sooner."""
    checks = (
        f"liveness_check: {{{HTTP}}}\nruntime: {{process: {{port: 8000}}}}\n"
        f"restart: {{{restart}action: {{signal: {{}}}}}}"
    )
    assert found(checks)[LIVENESS].failures == failures


@pytest.mark.parametrize("action", ["exec: {command: [a]}", "webhook: {url: 'http://a/'}", "notify: {}"])
def test_a_restart_that_is_somebody_elses_is_not_asked_of_the_platform(action: str) -> None:
    """Two who restart the same server get in each other's way."""
    assert LIVENESS not in found(f"liveness_check: {{{HTTP}}}\nrestart: {{action: {{{action}}}}}")
