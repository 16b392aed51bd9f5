"""What counts as the same transitions within one period."""

import pytest

from tests.acceptance.kube.comparison import Expected, Pair, Seen, Side, Since, after, disorder, pairs, run_before

KILLED = Expected("liveness", "killed")
PERIODS = {"startup": 2.0, "readiness": 3.0, "liveness": 4.0}


def side(*seen: Seen, name: str = "agent", served: float = 100.0, running: float = 99.0) -> Side:
    return Side(name, (served,), (running,), seen)


def at(moment: float, probe: str = "liveness", to: str = "killed", *, within: float = 0.0) -> Seen:
    return Seen(probe, to, moment, moment + within)  # type: ignore[arg-type]


def only(expected: Expected, kubelet: Side, agent: Side) -> Pair:
    found = pairs([expected], PERIODS, kubelet, agent)
    assert len(found) == 1
    return found[0]


def test_moments_are_compared_from_each_sides_own_beginning() -> None:
    kubelet = side(at(112), served=100)
    agent = side(at(1015), served=1000)
    assert only(KILLED, kubelet, agent).apart == 3


@pytest.mark.parametrize(("second", "apart"), [(112, 3.0), (115, 0.0), (115.5, 0.0), (117, 1.0)])
def test_a_moment_known_to_the_second_is_as_far_away_as_its_nearest_end(second: float, apart: float) -> None:
    ready = Expected("readiness", "ready")
    kubelet = side(at(second, "readiness", "ready", within=1))
    assert only(ready, kubelet, side(at(116, "readiness", "ready"))).apart == apart


@pytest.mark.parametrize(
    ("since", "instance", "expected"),
    [("served", 1, 30.0), ("served", 2, 10.0), ("running", 1, 12.0), ("started", 1, 5.0), ("killed", 1, 15.0)],
)
def test_a_moment_is_measured_from_what_it_follows_from(since: Since, instance: int, expected: float) -> None:
    ready = at(130, "readiness", "ready")
    seen = (at(105, "startup", "started"), at(115), at(125, "startup", "started"), ready, at(140))
    both = Side("agent", (100, 120), (99, 118, 150), seen)
    assert after(both, Expected("readiness", "ready", since, instance), ready) == (expected, expected)


def test_a_cause_known_to_the_second_widens_what_follows_from_it() -> None:
    started = Seen("startup", "started", 105, 106)
    ready = Seen("readiness", "ready", 107.5, 108)
    assert after(side(started, ready), Expected("readiness", "ready", "started"), ready) == (1.5, 3)


def test_each_probe_type_has_an_order_of_its_own() -> None:
    """Who of two types comes first may differ: their grids are independent."""
    expected = [Expected("readiness", "ready"), Expected("readiness", "unready"), KILLED]
    ready, unready = at(101, "readiness", "ready"), at(111, "readiness", "unready")
    assert disorder(expected, side(ready, unready, at(112)), side(ready, at(110), unready)) == []


@pytest.mark.parametrize("seen", [(), (at(1), at(2)), (at(1, "startup", "killed"),)])
def test_a_missing_an_additional_and_a_foreign_transition_are_told(seen: tuple[Seen, ...]) -> None:
    wrong = disorder([KILLED], side(at(1)), side(*seen, name="kubelet"))
    assert wrong
    assert all("the kubelet went" in line for line in wrong)


def test_a_run_ends_at_the_verdict_and_begins_after_the_last_other_answer() -> None:
    answers = [(1.0, "bad"), (2.0, "good"), (3.0, "bad"), (4.0, "bad"), (5.0, "bad")]
    assert [run_before(answers, moment) for moment in (0.5, 1, 2.5, 3, 4.9, 9)] == [0, 1, 1, 1, 2, 3]
