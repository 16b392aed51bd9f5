"""What delays, periods, timeouts and thresholds come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.core.explain import detect_best, detect_worst, figures, first_probe, startup_budget
from agent.core.model import Check, CheckType
from agent.core.settings import Container, Restart
from agent.core.timing import Grid, reached


def check(kind: CheckType = CheckType.LIVENESS, **numbers: float) -> Check:
    return Check(name="answers", type=kind, method="http_get", options=None, **numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("delay", "period", "first"),
    [
        (0, 10, 0),
        (5, 10, 10),
        (10, 10, 10),
        (11, 10, 20),
        (1.1, 0.1, 1.1),
        (0.3, 0.1, 0.3),
        (0.25, 10, 10),
        (7, 2.5, 7.5),
        (2.1, 0.7, 2.1),
    ],
)
def test_the_first_probe_is_the_first_multiple_of_the_period_at_or_after_the_delay(
    delay: float, period: float, first: float
) -> None:
    assert first_probe(check(initial_delay_seconds=delay, period_seconds=period)) == pytest.approx(first)


def test_at_best_a_fault_takes_all_periods_but_one() -> None:
    """It comes just before a probe, which is refused at once."""
    assert detect_best(check(period_seconds=10, failure_threshold=3)) == 20
    assert detect_best(check(period_seconds=10, failure_threshold=1)) == 0


@pytest.mark.parametrize(
    ("period", "timeout", "threshold", "worst"), [(10, 1, 3, 31), (10, 15, 3, 55), (5, 5, 1, 10), (10, 5, 9, 95)]
)
def test_at_worst_every_probe_runs_into_its_timeout(
    period: float, timeout: float, threshold: int, worst: float
) -> None:
    numbers = check(period_seconds=period, timeout_seconds=timeout, failure_threshold=threshold)
    assert detect_worst(numbers) == worst


class Canary:
    """An inference check's options."""

    def alone_after(self, timeout: float) -> float:
        return 4 * timeout


def test_a_canary_takes_longer_where_no_progress_check_tells_busy_from_hung() -> None:
    numbers = {"period_seconds": 60.0, "timeout_seconds": 30.0, "failure_threshold": 2}
    canary = replace(check(**numbers), method="inference", options=Canary())
    progress = replace(check(), method="progress", options=object())
    (alone,) = figures(Container(name="model", liveness=(canary,)))
    assert alone.detect_worst_seconds == 60 + 120 + 120
    watched, _ = figures(Container(name="model", liveness=(canary, progress)))
    assert watched.detect_worst_seconds == 60 + 60 + 30


def test_the_startup_budget_begins_with_the_first_probe() -> None:
    numbers = check(CheckType.STARTUP, initial_delay_seconds=7, period_seconds=5, failure_threshold=120)
    assert startup_budget(numbers) == 10 + 119 * 5


def container(action: str) -> Container:
    return Container(
        name="model",
        startup=(check(CheckType.STARTUP, failure_threshold=30),),
        liveness=(check(period_seconds=0.7),),
        restart=Restart(action_name=action),
    )


def test_only_startup_checks_have_a_startup_budget() -> None:
    startup, liveness = figures(container("signal"))
    assert startup.startup_budget_seconds == 290
    assert liveness.startup_budget_seconds is None


def test_where_a_platform_acts_its_own_window_comes_on_top() -> None:
    (_, waiting), (_, acting) = figures(container("none")), figures(container("signal"))
    assert waiting.platform_detect_worst_seconds == waiting.detect_worst_seconds + 90
    assert acting.platform_detect_worst_seconds is None


def test_probes_per_hour_are_told_in_plain_numbers() -> None:
    assert figures(container("none"))[1].probes_per_hour == 5142.857


@given(delay=st.floats(0, 3600), period=st.floats(0.1, 600))
def test_the_first_probe_falls_on_the_beat_the_worker_would_take(delay: float, period: float) -> None:
    """The worker walks its grid and skips what is before the delay; arithmetic and walk must not differ by a beat."""
    grid = Grid(0.0, period)
    if delay / period < 2000:
        while not reached(grid.due, delay):
            grid.take(grid.due)
        assert first_probe(check(initial_delay_seconds=delay, period_seconds=period)) == grid.due
