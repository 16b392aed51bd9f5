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
            self.asks = instance.of_new_instance(self.asks, asking=True)
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


def told(started: float, asked: float) -> Kubelet:
    """A kubelet that asked before the start and was told of it at ``asked``."""
    kubelet = Kubelet()
    assert kubelet.ask(started - 1) == 503
    kubelet.started = started
    assert kubelet.ask(asked) == 200
    return kubelet


def test_a_new_instance_that_is_asked_about_soon_after_the_last_answer_is_seen() -> None:
    """A crash right after the start: the gap says nothing, the answer does."""
    assert told(1.0, 3.0).ask(4.0) == 503


def test_an_answer_that_was_lost_heals() -> None:
    """The kubelet never got its 200 and asks again: taken for a new instance once, told 200 when that has started."""
    kubelet = told(1.0, 10.0)  # lost
    assert kubelet.ask(20.0) == 503
    kubelet.started = 21.0  # the startup check passes again at once
    assert kubelet.ask(30.0) == 200


@pytest.mark.parametrize("first", [0.0, 9.0, 500.0])
def test_the_first_question_ever_while_started_is_about_another_instance(first: float) -> None:
    """The agent's own restart, say: it believes at once that the container started, and a kubelet is still asking."""
    kubelet = Kubelet(started=0.0)
    assert kubelet.ask(first) == 503
    assert kubelet.asks.asking
    kubelet.started = first + 1
    assert kubelet.ask(first + 10) == 200
    assert (kubelet.asks.told, kubelet.asks.asking) == (True, False)


def test_who_asked_before_the_start_is_told_of_it_however_late() -> None:
    kubelet = Kubelet()
    assert kubelet.ask(0.0) == 503
    kubelet.started = 1.0
    assert kubelet.ask(1000.0) == 200, "it has been asking all along, if seldom"


@pytest.mark.parametrize(("started_for", "answer"), [(19.9, 200), (20.0, 503)])
def test_a_new_instance_that_the_kubelet_did_not_tell_of_is_asked_about_within_two_periods(
    started_for: float, answer: int
) -> None:
    """Its start was seen by the runtime: the kubelet asks about it soon, or it means yet another one."""
    kubelet = told(1.0, 10.0)
    kubelet.asks = instance.of_new_instance(Asks(kubelet.asks.last, 10.0, told=True), asking=False)
    kubelet.started = 100.0
    assert kubelet.ask(100.0 + started_for) == answer


def test_a_new_instance_begins_with_nobody_told() -> None:
    asks = Asks(7.0, 3.0, told=True)
    assert instance.of_new_instance(asks, asking=False) == Asks(7.0, 3.0)
    assert instance.of_new_instance(asks, asking=True) == Asks(7.0, 3.0, asking=True)


def test_who_was_told_and_asks_in_a_liveness_hold_asks_for_another_instance_at_once() -> None:
    """No silence is needed: whoever was told 200 asks about that instance never again."""
    asks, another = instance.asked(Asks(100.0, 10.0, told=True), 101.0, started_for=None, held=True)
    assert (another, asks.told, asks.asking) == (True, False, True)


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


@given(
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=8),
    st.builds(
        Asks, st.none() | st.floats(0, 100), st.none() | st.floats(0.1, 30), told=st.booleans(), asking=st.booleans()
    ),
    st.floats(0, 200),
    st.booleans(),
)
def test_no_kubelet_is_answered_503_twice_while_the_container_is_started(
    gaps: list[float], asks: Asks, first: float, at_once: bool
) -> None:
    """Whatever its intervals and whatever was before: a doubt costs it one question, never a loop of restarts.

    With ``at_once`` the new instance that the doubt begins is started by the next question, else it never stopped.
    """
    now, answers = 100.0 + first, []
    started = 100.0
    for gap in gaps:
        asks, another = instance.asked(asks, now, started_for=now - started, held=False)
        answers.append(503 if another else 200)
        if another:
            asks = instance.of_new_instance(asks, asking=True)
            started = now + gap if at_once else started
        else:
            break
        now += gap
    assert 503 not in answers[1:]
