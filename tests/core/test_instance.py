"""The signs of a new instance that are judged over time: the connection edge and what the kubelet asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import instance
from agent.core.instance import Asks, Edge


@pytest.mark.parametrize(
    ("history", "edges"),
    [
        ("a", 0), ("aaaa", 0), ("ra", 0), ("rara", 0), ("rra", 1), ("rrrrra", 1), ("rrarra", 2), ("rraa", 1),
        ("rarra", 1), ("rr", 0),
    ],
)  # fmt: skip
def test_two_refusals_in_a_row_and_then_a_connection_are_a_new_instance(history: str, edges: int) -> None:
    edge, seen = Edge(), 0
    for letter in history:
        if letter == "r":
            edge = instance.refused(edge)
        else:
            edge, found = instance.accepted(edge)
            seen += found
    assert seen == edges


class Kubelet:
    """Asks /startupz/NAME of an agent that believes its container started at ``started`` (None: not yet)."""

    def __init__(self, started: float | None = None, *, held: bool = False) -> None:
        self.asks = Asks()
        self.started = started
        self.held = held

    def ask(self, now: float) -> int:
        """The status that this very request is answered with; a sign starts the new instance, as the guard does."""
        started_for = None if self.started is None else now - self.started
        self.asks, another = instance.asked(self.asks, now, started_for=started_for, held=self.held)
        if another:
            self.asks = Asks(self.asks.last, self.asks.shortest)
            self.started, self.held = None, False
        return 200 if started_for is not None and not another and not self.held else 503


def test_a_kubelet_that_asks_until_it_is_told_is_no_sign() -> None:
    kubelet = Kubelet()
    assert [kubelet.ask(t) for t in (0.0, 10.0, 20.0)] == [503, 503, 503]
    kubelet.started = 25.0
    assert kubelet.ask(30.0) == 200


def test_who_was_told_200_and_asks_again_asks_for_another_instance() -> None:
    kubelet = Kubelet()
    kubelet.ask(0.0)
    kubelet.started = 5.0
    assert kubelet.ask(10.0) == 200
    assert kubelet.ask(500.0) == 503, "that same request is answered 503"
    assert kubelet.ask(510.0) == 503, "and so are the next, until the new instance has started"
    kubelet.started = 515.0
    assert kubelet.ask(520.0) == 200


def test_a_new_instance_that_is_asked_about_soon_after_the_last_answer_is_seen() -> None:
    """A crash right after the start: the gap says nothing, the answer does."""
    kubelet = Kubelet(started=0.0)
    assert kubelet.ask(3.0) == 200
    assert kubelet.ask(4.0) == 503


def test_an_answer_that_was_lost_heals() -> None:
    """The kubelet never got its 200 and asks again: taken for a new instance once, told 200 when that has started."""
    kubelet = Kubelet(started=0.0)
    assert kubelet.ask(10.0) == 200  # lost
    assert kubelet.ask(20.0) == 503
    kubelet.started = 21.0  # the startup check passes again at once
    assert kubelet.ask(30.0) == 200


def test_the_first_question_of_an_agent_that_has_just_started_is_answered() -> None:
    """The agent's own restart: it believes at once that the container started, and the kubelet is still asking."""
    assert Kubelet(started=0.0).ask(9.0) == 200


def test_a_question_long_after_the_start_without_any_before_is_a_sign() -> None:
    """The agent restarted and does not remember telling; nobody asked for two periods, so somebody else does now."""
    assert Kubelet(started=0.0).ask(20.0) == 503


def test_the_shortest_interval_is_the_kubelets_period() -> None:
    kubelet = Kubelet()
    assert [kubelet.ask(t) for t in (0.0, 7.0, 9.0, 19.0)] == [503] * 4
    assert kubelet.asks.shortest == 2.0


@pytest.mark.parametrize(
    ("gap", "period", "another"), [(19.9, 10.0, False), (20.0, 10.0, True), (3.9, 2.0, False), (4.0, 2.0, True)]
)
def test_in_a_liveness_hold_it_takes_two_periods_of_silence(gap: float, period: float, another: bool) -> None:
    assert instance.asked(Asks(100.0, period), 100.0 + gap, started_for=None, held=True)[1] is another


def test_in_a_liveness_hold_the_period_is_ten_seconds_where_none_was_seen() -> None:
    assert not instance.asked(Asks(100.0), 119.9, started_for=None, held=True)[1]
    assert instance.asked(Asks(100.0), 120.0, started_for=None, held=True)[1]
    assert instance.asked(Asks(), 5.0, started_for=None, held=True)[1], "who never asked before asks for a new one"


def test_a_kubelet_that_goes_on_asking_through_a_hold_is_no_sign() -> None:
    """It has not restarted anything: the old startup probe of a container that never started for it."""
    kubelet = Kubelet(held=True)
    kubelet.asks = Asks(90.0, 10.0)
    assert [kubelet.ask(100.0 + t) for t in range(0, 300, 10)] == [503] * 30
    assert kubelet.held


def test_before_the_start_no_question_is_a_sign() -> None:
    asks = Asks(0.0, 1.0)
    for now in (5.0, 500.0):
        asks, another = instance.asked(asks, now, started_for=None, held=False)
        assert not another


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20), st.floats(0, 300))
def test_a_kubelet_that_keeps_to_its_protocol_is_told_200_exactly_once(gaps: list[float], starts: float) -> None:
    """Whatever its rhythm: it asks until 200. At most the agent doubts once whether it told somebody else."""
    kubelet, now, told = Kubelet(), 0.0, 0
    doubts = 0
    for gap in [*gaps, *[10.0] * 40]:
        if kubelet.started is None and now >= starts:
            kubelet.started = now
        answer = kubelet.ask(now)
        told += answer == 200
        if answer == 200:
            break
        doubts += now > starts + gap and kubelet.started is None
        now += gap
    assert told == 1
