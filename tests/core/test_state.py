"""One check's state machine, round by round, against the kubelet's own test tables (probe-semantics 4.1)."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import state as rules
from agent.core.model import INITIAL, Check, CheckType, Outcome, Published
from agent.core.state import Finished, ProbeState, Seen

S, R, L = CheckType.STARTUP, CheckType.READINESS, CheckType.LIVENESS
SUCCESS, FAILURE, UNKNOWN = Published.SUCCESS, Published.FAILURE, Published.UNKNOWN
OUTCOMES = {"s": Outcome.SUCCESS, "w": Outcome.WARNING, "f": Outcome.FAILURE, "u": Outcome.ERROR}
LETTER = {SUCCESS: "S", FAILURE: "F", UNKNOWN: "U", None: "-"}


def a_check(
    kind: CheckType, *, st: int = 1, ft: int = 3, delay: float = 0.0, errors_are_failures: bool = False
) -> Check:
    return Check(
        name="it",
        type=kind,
        method="tcp_socket",
        options=None,
        success_threshold=st,
        failure_threshold=ft,
        initial_delay_seconds=delay,
        errors_are_failures=errors_are_failures,
    )


class Rounds:
    """One worker's rounds in a container whose status the test sets; ``probed`` counts the probes that ran."""

    def __init__(self, check: Check, *, started: bool | None = None, instance: int = 1) -> None:
        self.check = check
        self.state = ProbeState()
        self.instance = instance
        self.running = True
        self.started = check.type is not S if started is None else started
        self.elapsed = 1000.0
        self.probed = 0
        self.last = Finished(self.state)

    def round(self, letter: str) -> Published | None:
        seen = Seen(self.instance, self.running, self.started, self.elapsed)
        self.state, probe = rules.enter(self.check, rules.arrive(self.check, self.state, seen), seen)
        if probe:
            self.probed += 1
            self.last = rules.finish(self.check, self.state, OUTCOMES[letter])
            self.state = self.last.state
        return self.state.published

    def all(self, letters: str) -> str:
        return "".join(LETTER[self.round(letter)] for letter in letters)


# -- the kubelet's worker_test.go -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CheckType)
def test_w5_a_container_that_does_not_run_is_failure_without_a_probe(kind: CheckType) -> None:
    worker = Rounds(a_check(kind))
    worker.running = False
    assert worker.all("ss") == "FF"
    assert worker.probed == 0


@pytest.mark.parametrize("kind", CheckType)
def test_w7_a_passing_probe_publishes_success(kind: CheckType) -> None:
    assert Rounds(a_check(kind)).all("s") == "S"


@pytest.mark.parametrize("kind", CheckType)
def test_w9_before_the_initial_delay_the_initial_value_stands_and_nothing_is_probed(kind: CheckType) -> None:
    worker = Rounds(a_check(kind, delay=10))
    for worker.elapsed in (0.0, 9.999):
        assert worker.round("s") is INITIAL[kind]
    assert worker.probed == 0
    worker.elapsed = 10.0
    assert worker.round("s") is SUCCESS, "elapsed == delay runs"


def test_w10_readiness_fails_at_the_third_failure_and_recovers_at_the_first_success() -> None:
    assert Rounds(a_check(R, st=1, ft=3)).all("sssfffff" * 2) == "SSSSSFFF" * 2


def test_w11_readiness_succeeds_at_the_third_success_and_fails_at_the_first_failure() -> None:
    assert Rounds(a_check(R, st=3, ft=1)).all("sssssf" * 2) == "FFSSSF" * 2


def test_w12_a_startup_success_holds_and_is_not_probed_again() -> None:
    worker = Rounds(a_check(S))
    assert worker.all("sff") == "SSS"
    assert (worker.probed, worker.state.run, worker.state.on_hold) == (1, 0, True)


def test_w13_a_startup_check_is_unknown_until_its_threshold_then_failure_and_held() -> None:
    worker = Rounds(a_check(S, ft=3))
    seen = [(worker.round("f"), worker.state.run, worker.state.on_hold) for _ in range(3)]
    assert seen == [(UNKNOWN, 1, False), (UNKNOWN, 2, False), (FAILURE, 0, True)]


@pytest.mark.parametrize(("kind", "held_again"), [(L, False), (S, True)])
def test_w15_a_held_check_is_silent_until_the_next_instance(kind: CheckType, held_again: bool) -> None:
    worker = Rounds(a_check(kind, ft=1))
    assert worker.all("f") == "F"
    assert worker.state.on_hold
    assert worker.all("s") == "F"
    assert worker.probed == 1, "held: the probe is not even run"
    worker.instance = 2
    assert worker.all("s") == "S"
    assert (worker.probed, worker.state.on_hold) == (2, held_again)


def test_w16_liveness_counts_its_failures_and_starts_from_nothing_after_the_kill() -> None:
    worker = Rounds(a_check(L, ft=3))
    assert [(LETTER[worker.round(x)], worker.state.run) for x in "sfff"] == [("S", 1), ("S", 1), ("S", 2), ("F", 0)]
    assert worker.last.failing


@pytest.mark.parametrize("kind", [L, R])
def test_w17_liveness_and_readiness_wait_for_started(kind: CheckType) -> None:
    worker = Rounds(a_check(kind, ft=1), started=False)
    assert worker.round("f") is INITIAL[kind]
    assert worker.probed == 0
    worker.started = True
    assert worker.all("f") == "F"


def test_w18_a_startup_check_is_not_probed_once_started() -> None:
    worker = Rounds(a_check(S, ft=2))
    assert worker.all("fs") == "US"
    worker.started, worker.state = True, rules.again(worker.check, worker.state)
    worker.round("f")
    assert worker.probed == 2


def test_w20_errors_neither_count_nor_break_a_run() -> None:
    worker = Rounds(a_check(L, ft=3))
    assert worker.all("ffuuf") == "SSSSF"
    assert Rounds(a_check(L, ft=1)).all("u" * 50) == "S" * 50


def test_w20_errors_count_where_the_check_says_so() -> None:
    assert Rounds(a_check(L, ft=3, errors_are_failures=True)).all("fuf") == "SSF"


def test_w21_a_success_run_goes_on_across_a_restart() -> None:
    worker = Rounds(a_check(R, st=3))
    assert worker.all("sss") == "FFS"
    worker.instance = 2
    assert worker.all("s") == "S"


def test_w22_a_failure_run_goes_on_across_a_restart() -> None:
    worker = Rounds(a_check(L, ft=3))
    assert worker.all("ff") == "SS"
    worker.instance = 2
    assert worker.all("f") == "F"
    assert worker.last.failing


def test_a_kill_takes_the_run_and_leaves_what_it_was_a_run_of() -> None:
    worker = Rounds(a_check(L, ft=3))
    worker.all("ff")
    worker.state, worker.instance = rules.killed(worker.state), 2
    assert worker.all("fff") == "SSF"


def test_a_warning_is_a_success() -> None:
    assert Rounds(a_check(R, st=2)).all("sw") == "FS"


def test_the_hold_is_looked_at_before_whether_the_container_runs() -> None:
    """A held liveness worker stays silent while its victim is being killed (probe-semantics 0.9)."""
    held = ProbeState(1, SUCCESS, SUCCESS, 0, on_hold=True)
    assert rules.enter(a_check(S), held, Seen(1, False, False, 5.0)) == (held, False)


def test_not_running_leaves_the_counters_alone() -> None:
    state = ProbeState(1, SUCCESS, SUCCESS, 4)
    assert rules.enter(a_check(R), state, Seen(1, False, False, 5.0))[0] == ProbeState(1, FAILURE, SUCCESS, 4)


# -- after a kill that was not permitted ---------------------------------------------------------------------------


def test_a_spared_kill_goes_on_counting_above_the_threshold_and_decides_at_each_failure() -> None:
    worker = Rounds(a_check(L, ft=3))
    runs = []
    for _ in range(5):
        before = worker.state
        worker.round("f")
        if worker.last.failing:
            runs.append((before.run, worker.last.changed))
            before = before if before.published else ProbeState(1)
            worker.state = rules.spared(before, worker.state, keep_run=True)
    assert runs == [(2, True), (3, False), (4, False)], "wanted again at every later failure; published once"
    assert (worker.state.run, worker.state.published, worker.state.on_hold) == (5, FAILURE, False)
    assert worker.all("s") == "S"


def test_a_dry_run_needs_a_full_run_for_the_next_kill() -> None:
    worker = Rounds(a_check(L, ft=3))
    decided = []
    for number in range(1, 10):
        before = worker.state
        worker.round("f")
        if worker.last.failing:
            decided.append(number)
            worker.state = rules.spared(before, worker.state, keep_run=False)
        worker.last = Finished(worker.state)
    assert decided == [3, 6, 9]


def test_while_a_restart_is_asked_for_a_startup_check_begins_anew_and_a_liveness_check_goes_on() -> None:
    startup = Rounds(a_check(S))
    startup.all("s")
    assert rules.again(startup.check, startup.state) == ProbeState(1, UNKNOWN, SUCCESS, 0)
    liveness = Rounds(a_check(L, ft=1))
    liveness.all("f")
    assert rules.again(liveness.check, liveness.state) == ProbeState(1, FAILURE, FAILURE, 0)


# -- values and lists ----------------------------------------------------------------------------------------------


def test_a_published_result_belongs_to_the_instance_it_was_seen_in() -> None:
    state = ProbeState(1, FAILURE, FAILURE, 0, on_hold=True)
    assert rules.value_of(a_check(L), state, 1) is FAILURE
    assert rules.value_of(a_check(L), state, 2) is SUCCESS


@pytest.mark.parametrize(
    ("kind", "values", "aggregate"),
    [
        (L, [], SUCCESS), (L, [SUCCESS, SUCCESS], SUCCESS), (L, [SUCCESS, FAILURE], FAILURE),
        (S, [], SUCCESS), (S, [SUCCESS, SUCCESS], SUCCESS), (S, [SUCCESS, UNKNOWN], UNKNOWN),
        (S, [UNKNOWN, FAILURE], FAILURE), (S, [SUCCESS, FAILURE], FAILURE),
        (R, [], SUCCESS), (R, [SUCCESS, SUCCESS], SUCCESS), (R, [SUCCESS, FAILURE], FAILURE),
    ],
)  # fmt: skip
def test_what_a_list_of_checks_amounts_to(kind: CheckType, values: list[Published], aggregate: Published) -> None:
    assert rules.aggregate(kind, values) is aggregate


# -- for any history ------------------------------------------------------------------------------------------------

letters = st.text("swfu", max_size=40)
thresholds = st.integers(1, 5)


@given(letters=letters, success=thresholds, failure=thresholds)
def test_readiness_is_what_the_last_long_enough_run_says(letters: str, success: int, failure: int) -> None:
    """An oracle that knows no state: group what counts into runs and take the last that reached its threshold."""
    worker = Rounds(a_check(R, st=success, ft=failure))
    for end in range(1, len(letters) + 1):
        shown = worker.round(letters[end - 1])
        counted = ["f" if x == "f" else "s" for x in letters[:end] if x != "u"]
        runs = [(value, len(list(run))) for value, run in groupby(counted)]
        long_enough = [value for value, length in runs if length >= (failure if value == "f" else success)]
        assert shown is ({"s": SUCCESS, "f": FAILURE}[long_enough[-1]] if long_enough else FAILURE)


@given(letters=letters, failure=thresholds)
def test_liveness_fails_exactly_at_its_first_full_run_of_failures(letters: str, failure: int) -> None:
    worker = Rounds(a_check(L, ft=failure))
    counted = letters.replace("w", "s").replace("u", "")
    expected = "f" * failure in counted
    shown = [worker.round(x) for x in letters]
    assert (FAILURE in shown) is expected
    assert worker.state.on_hold is expected
    if expected:
        assert shown.index(FAILURE) == min(
            n for n in range(len(letters)) if letters[: n + 1].replace("u", "").endswith("f" * failure)
        )


@given(st.sampled_from(CheckType), letters, thresholds, thresholds)
def test_an_error_changes_nothing_whatever_came_before(
    kind: CheckType, letters: str, success: int, failure: int
) -> None:
    worker = Rounds(a_check(kind, st=success if kind is R else 1, ft=failure))
    worker.all(letters)
    assert rules.finish(worker.check, worker.state, Outcome.ERROR) == Finished(worker.state)


@given(st.sampled_from(CheckType), letters, thresholds, thresholds)
def test_a_change_is_published_only_at_its_threshold_and_below_it_nothing_changes(
    kind: CheckType, letters: str, success: int, failure: int
) -> None:
    check = a_check(kind, st=success if kind is R else 1, ft=failure)
    state = rules.arrive(check, ProbeState(), Seen(1, True, kind is not S, 0.0))
    for letter in letters:
        done = rules.finish(check, state, OUTCOMES[letter])
        counted = letter != "u"
        run = state.run + 1 if LETTER[state.last].lower() == letter.replace("w", "s") else 1
        threshold = failure if letter == "f" else check.success_threshold
        assert done.changed is (state.published is not done.state.published)
        if counted and run < threshold:
            assert (done.changed, done.failing, done.state.run) == (False, False, run)
            assert done.state.on_hold is state.on_hold
        elif counted:
            assert done.state.published is (FAILURE if letter == "f" else SUCCESS)
            assert done.failing is (letter == "f" and kind is not R)
        state = done.state
