"""One container's life as its checks' results make it, round by round, without a clock or a loop."""

from typing import Any

import pytest

from agent.core.model import CheckType, Outcome, Published
from agent.core.settings import Container as Spec
from agent.engine.container import Container, Sentence, Slot
from tests.engine.scripted import check, container

OUTCOMES = {"s": Outcome.SUCCESS, "f": Outcome.FAILURE, "u": Outcome.ERROR}


class Court:
    """A life that gives the sentence the test says and notes everything."""

    def __init__(self, sentence: Sentence) -> None:
        self.says = sentence
        self.noted: list[str] = []
        self.asked = 0

    def on_published(self, kind: CheckType, value: Published, slot: Slot, now: float, *, initial: bool) -> None:
        if not initial:
            self.noted.append(f"{kind} {value}")

    def on_status(self, name: str, value: bool, now: float) -> None:
        self.noted.append(name if value else f"not {name}")

    def on_trigger(self, slot: Slot, now: float) -> None:
        self.noted.append(f"trigger {slot.check.name}")

    def sentence(self, slot: Slot, now: float) -> Sentence:
        self.asked += 1
        return self.says

    def on_kill(self, slot: Slot | None, now: float) -> None:
        self.noted.append(f"kill {slot.check.name}" if slot else "kill ordered")

    def on_also(self, slot: Slot, now: float) -> None:
        self.noted.append(f"also {slot.check.name}")

    def on_recovered(self, now: float) -> None:
        self.noted.append("recovered")


class Case:
    """A container in court; `rounds("live:ff ready:s")` runs rounds of its checks in that order, a second apart."""

    def __init__(self, sentence: Sentence, spec: Spec) -> None:
        self.court = Court(sentence)
        self.container = Container(spec, self.court)
        self.now = 0.0
        self.container.begin(0.0)
        self.court.noted.clear()

    def slot(self, name: str) -> Slot:
        return next(slot for slot in self.container.slots if slot.check.name == name)

    def rounds(self, script: str) -> list[str]:
        """What was noted meanwhile."""
        self.court.noted.clear()
        for part in script.split():
            name, letters = part.split(":")
            for letter in letters:
                self.now += 1
                self.probed = self.round(name, letter)
        return list(self.court.noted)

    def round(self, name: str, letter: str) -> bool:
        slot, seen = self.slot(name), self.container.view(self.now)
        if not self.container.enter(slot, seen, self.now):
            return False
        self.container.finish(slot, seen, OUTCOMES[letter], self.now)
        return True

    def published(self, name: str) -> str:
        return str(self.container.published(self.slot(name)))


def full(sentence: Sentence, **live: Any) -> Case:
    """Startup, readiness and liveness, started and ready."""
    case = Case(
        sentence,
        container(
            check("startup", None, name="start", failure_threshold=2),
            check("readiness", None, name="ready"),
            check("liveness", None, name="live", **{"failure_threshold": 2, **live}),
        ),
    )
    assert case.rounds("start:s ready:s") == [
        "startup Success",
        "started",
        "trigger ready",
        "readiness Success",
        "ready",
    ]
    return case


# -- a kill ----------------------------------------------------------------------------------------------------------


def test_a_kill_is_told_in_its_order_and_takes_effect_at_once() -> None:
    case = full(Sentence.KILL)
    assert case.rounds("live:ff") == ["liveness Failure", "kill live", "not started", "not ready"]
    assert not case.container.running


def test_until_the_new_instance_a_round_of_a_worker_not_on_hold_publishes_failure_and_nothing_is_probed() -> None:
    case = full(Sentence.KILL)
    case.rounds("live:ff")
    assert case.rounds("live:s start:s ready:ss") == ["readiness Failure"]
    assert not case.probed
    assert (case.published("live"), case.published("start")) == ("Failure", "Success"), "held: they stay silent"


def test_at_the_new_instance_every_value_is_initial_and_startup_comes_first() -> None:
    case = full(Sentence.KILL)
    case.rounds("live:ff")
    case.container.new_instance(case.now)
    assert [case.published(name) for name in ("start", "ready", "live")] == ["Unknown", "Failure", "Success"]
    assert case.rounds("live:f ready:s") == [], "neither is probed before the start"
    assert case.rounds("start:s ready:s") == [
        "startup Success",
        "started",
        "trigger ready",
        "readiness Success",
        "ready",
    ]
    assert case.container.instance == 2


def test_a_round_that_outlived_its_instance_says_nothing() -> None:
    case = full(Sentence.KILL, failure_threshold=1)
    slot, seen = case.slot("live"), case.container.view(1.0)
    assert case.container.enter(slot, seen, 1.0)
    case.container.new_instance(2.0)
    case.container.finish(slot, seen, Outcome.FAILURE, 3.0)
    assert (case.published("live"), case.court.asked) == ("Success", 0)


def test_a_round_that_outlived_the_kill_says_nothing() -> None:
    case = full(Sentence.KILL, failure_threshold=1)
    slot, seen = case.slot("ready"), case.container.view(case.now)
    assert case.container.enter(slot, seen, case.now)
    case.rounds("live:f")
    before = slot.state
    case.container.finish(slot, seen, Outcome.FAILURE, case.now + 5)
    assert slot.state == before
    assert not case.container.ready


def test_a_kill_resets_the_counters_of_startup_and_liveness_and_of_no_readiness_check() -> None:
    case = Case(
        Sentence.KILL,
        container(
            check("readiness", None, name="ready", success_threshold=3),
            check("liveness", None, name="a", failure_threshold=3),
            check("liveness", None, name="b"),
        ),
    )
    case.rounds("ready:ss a:ff b:f")
    case.container.new_instance(case.now)
    assert case.rounds("a:ff") == []
    assert case.rounds("a:f")[1:2] == ["kill a"], "a full run again"
    case.container.new_instance(case.now)
    assert "readiness Success" in case.rounds("ready:s"), "two successes before, one now"


def test_without_a_kill_a_run_goes_on_in_the_next_instance() -> None:
    """W22: two of three failures, a crash of its own, and the first failed probe kills."""
    case = full(Sentence.KILL, failure_threshold=3)
    case.rounds("live:ff")
    case.container.new_instance(case.now)
    assert "kill live" in case.rounds("start:s live:f")


# -- a kill that is not permitted ------------------------------------------------------------------------------------


def test_a_spared_container_stays_in_service_with_its_failure_published() -> None:
    case = full(Sentence.SPARE)
    assert case.rounds("live:ff") == ["liveness Failure"]
    assert (case.container.running, case.container.started, case.container.ready) == (True, True, True)
    assert case.published("live") == "Failure"


def test_each_later_failed_round_decides_again_and_a_success_withdraws() -> None:
    case = full(Sentence.SPARE)
    case.rounds("live:ff")
    assert case.court.asked == 1
    case.rounds("live:fuf")
    assert case.court.asked == 3, "an error decides nothing"
    assert case.rounds("live:s") == ["liveness Success", "recovered"]
    case.rounds("live:f")
    assert case.court.asked == 3, "below the threshold again"


def test_permitted_later_the_next_failed_round_kills() -> None:
    case = full(Sentence.SPARE)
    case.rounds("live:ffff")
    case.court.says = Sentence.KILL
    assert case.rounds("live:f") == ["kill live", "not started", "not ready"]


def test_a_dry_run_counts_from_nothing_after_each_would_be_kill() -> None:
    case = full(Sentence.SPARE_AND_RESET)
    case.rounds("live:fffffff")
    assert case.court.asked == 3


def test_a_would_be_kill_of_a_dry_run_has_every_startup_and_liveness_check_count_from_nothing() -> None:
    numbers = {"failure_threshold": 3}
    checks = [check("liveness", None, name="a", **numbers), check("liveness", None, name="b", **numbers)]
    case = Case(Sentence.SPARE_AND_RESET, container(*checks, check("readiness", None, name="ready", **numbers)))
    case.rounds("b:ff ready:ff a:fff")
    runs = {slot.check.name: slot.state.run for slot in case.container.slots}
    assert runs == {"a": 0, "b": 0, "ready": 2}


def test_a_spared_startup_check_goes_on_and_may_still_succeed() -> None:
    case = Case(Sentence.SPARE, container(check("startup", None, name="start", failure_threshold=2)))
    assert case.rounds("start:fff") == ["startup Failure"]
    assert case.rounds("start:s") == ["startup Success", "recovered", "started", "ready"]


# -- a restart that is asked for (action none) -----------------------------------------------------------------------


def test_while_a_restart_is_asked_for_the_container_is_probed_on_from_its_startup_checks() -> None:
    case = full(Sentence.ASK)
    assert case.rounds("live:ff") == ["liveness Failure", "startup Unknown", "kill live", "not started", "not ready"]
    assert case.container.running
    assert case.published("start") == "Unknown"
    assert case.rounds("live:s ready:s") == [], "startup first"
    assert "started" in case.rounds("start:s")


def test_the_request_is_withdrawn_when_its_check_publishes_success_again() -> None:
    case = full(Sentence.ASK)
    case.rounds("live:ff")
    case.rounds("start:s ready:s")
    assert not case.container.ready, "asked for: not ready, whatever readiness says"
    assert case.rounds("live:s") == ["liveness Success", "recovered", "ready"]
    assert case.container.asked is None


def test_while_asked_for_no_second_kill_is_decided() -> None:
    case = full(Sentence.ASK)
    case.rounds("live:ff start:s live:ffff")
    assert case.court.asked == 1
    case.rounds("start:s live:s live:ff")
    assert case.court.asked == 2, "withdrawn, and failed again"


def test_another_check_that_fails_meanwhile_decides_once_the_first_has_recovered() -> None:
    case = Case(Sentence.ASK, container(check("liveness", None, name="a"), check("liveness", None, name="b")))
    assert "kill a" in case.rounds("a:f b:f")
    assert "kill b" not in case.court.noted
    case.rounds("a:s")
    assert case.container.asked is None
    assert "kill b" in case.rounds("b:f")


def test_a_startup_check_that_asked_is_withdrawn_by_its_own_success() -> None:
    case = Case(Sentence.ASK, container(check("startup", None, name="start", failure_threshold=2)))
    assert "kill start" in case.rounds("start:ff")
    assert case.rounds("start:s") == ["startup Success", "recovered", "started", "ready"]


def test_a_new_instance_ends_the_request() -> None:
    case = full(Sentence.ASK)
    case.rounds("live:ff")
    case.container.new_instance(case.now)
    assert case.container.asked is None
    assert case.rounds("start:s ready:s live:s")[-1] == "ready"


def test_after_a_kill_was_given_up_the_same_instance_is_probed_from_its_startup_checks_on() -> None:
    case = full(Sentence.KILL)
    case.rounds("live:ff")
    case.container.resume(case.now)
    assert case.container.instance == 1
    assert "started" in case.rounds("start:s")
    assert case.rounds("live:s") == ["liveness Success"]


# -- a reload --------------------------------------------------------------------------------------------------------


def spec(*checks: Any) -> Spec:
    return container(*checks)


START = check("startup", None, name="start")
READY = check("readiness", None, name="ready", success_threshold=2)
LIVE = check("liveness", None, name="live", failure_threshold=3)
OTHER_LIVE = check("liveness", None, name="live", failure_threshold=2)


def test_an_unchanged_check_keeps_its_slot_with_its_counters_and_published_result() -> None:
    case = Case(Sentence.KILL, spec(START, READY, LIVE))
    case.rounds("start:s ready:ss live:ff")
    before = case.container.slots
    assert case.container.replace(spec(START, READY, LIVE), case.now) == []
    assert case.container.slots == before
    assert (case.container.started, case.container.ready) == (True, True)
    assert "kill live" in case.rounds("live:f")


def test_a_changed_check_counts_anew_and_keeps_its_published_result_until_its_first_publication() -> None:
    case = Case(Sentence.SPARE, spec(START, READY, LIVE))
    case.rounds("start:s ready:ss live:fff")
    fresh = case.container.replace(spec(START, READY, OTHER_LIVE), case.now)
    assert [slot.path for slot in fresh] == ["liveness/live"]
    assert case.published("live") == "Failure"
    case.rounds("live:f")
    assert case.court.asked == 1, "its run begins anew"
    assert case.rounds("live:s") == ["liveness Success", "recovered"]


def test_a_container_that_started_stays_started_when_a_startup_check_comes_or_changes() -> None:
    case = Case(Sentence.KILL, spec(READY))
    case.rounds("ready:ss")
    case.container.replace(spec(START, READY), case.now)
    assert (case.container.started, case.container.ready) == (True, True)
    case.container.replace(spec(check("startup", None, name="start", failure_threshold=9), READY), case.now)
    assert case.container.started
    case.container.new_instance(case.now)
    assert not case.container.started, "the next instance is held back by it"


def test_without_its_startup_check_a_container_is_started_and_ready_once_it_says_so() -> None:
    case = Case(Sentence.KILL, spec(START, READY))
    case.court.noted.clear()
    case.container.replace(spec(READY), case.now)
    assert case.container.started
    assert "ready" in case.rounds("ready:ss")


def test_a_readiness_check_that_comes_makes_a_ready_container_wait_for_it() -> None:
    case = Case(Sentence.KILL, spec(LIVE))
    assert case.container.ready
    case.container.replace(spec(LIVE, READY), case.now)
    assert not case.container.ready


def test_a_request_is_withdrawn_with_the_check_that_asked() -> None:
    case = Case(Sentence.ASK, spec(START, LIVE, check("liveness", None, name="b")))
    case.rounds("start:s b:f")
    assert case.container.asked is not None
    case.court.noted.clear()
    case.container.replace(spec(START, LIVE), case.now)
    assert case.container.asked is None
    assert "recovered" in case.court.noted


def test_a_hold_goes_on_through_a_reload() -> None:
    case = Case(Sentence.KILL, spec(START, LIVE))
    case.rounds("start:s live:fff")
    case.container.replace(spec(START, OTHER_LIVE), case.now)
    assert not case.container.running
    assert case.rounds("live:s start:s") == []


@pytest.mark.parametrize("sentence", Sentence)
def test_two_failures_of_one_instant_have_one_consequence(sentence: Sentence) -> None:
    case = Case(sentence, container(check("liveness", None, name="a"), check("liveness", None, name="b")))
    seen = case.container.view(1.0)
    for name in ("a", "b"):
        assert case.container.enter(case.slot(name), seen, 1.0)
    for name in ("a", "b"):
        case.container.finish(case.slot(name), seen, Outcome.FAILURE, 1.0)
    assert len([note for note in case.court.noted if note.startswith("kill")]) <= 1


# -- an operator's restart --------------------------------------------------------


def test_an_ordered_kill_takes_the_container_down_like_any_other() -> None:
    case = full(Sentence.SPARE)
    case.court.noted.clear()
    case.container.order(Sentence.KILL, case.now)
    assert case.court.noted == ["kill ordered", "not started", "not ready"]
    assert (case.container.running, case.container.is_asked) == (False, False)


def test_what_is_asked_for_an_operator_no_check_withdraws_and_none_is_to_blame() -> None:
    case = full(Sentence.SPARE)
    case.container.order(Sentence.ASK, case.now)
    assert (case.container.is_asked, case.container.asked, case.container.running) == (True, None, True)
    case.rounds("start:s")
    assert "recovered" not in case.rounds("live:s ready:s")
    assert not case.container.ready, "asked for is not ready"
    noted = case.rounds("live:ff")
    assert "also live" in noted
    assert case.container.wanted is None
    case.court.noted.clear()
    case.container.withdraw(case.now)
    assert case.court.noted[:1] == ["recovered"]
    assert not case.container.is_asked


def test_a_new_instance_ends_what_was_asked_for_an_operator() -> None:
    case = full(Sentence.SPARE)
    case.container.order(Sentence.ASK, case.now)
    case.container.new_instance(case.now)
    assert not case.container.is_asked


def test_a_failure_of_the_very_moment_of_a_kill_is_told() -> None:
    case = Case(Sentence.KILL, container(check("liveness", None, name="a"), check("liveness", None, name="b")))
    a, b = case.slot("a"), case.slot("b")
    seen = case.container.view(case.now)
    for slot in (a, b):
        assert case.container.enter(slot, seen, case.now)
    for slot in (a, b):
        case.container.finish(slot, seen, Outcome.FAILURE, case.now)
    assert [word for word in case.court.noted if word.startswith(("kill", "also"))] == ["kill a", "also b"]
