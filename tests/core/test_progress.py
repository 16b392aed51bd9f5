"""The progress rule's table, row by row: which scrapes are idle, working, stalling, hung, blind and down."""

import pytest

from agent.core.engines import Engine
from agent.core.progress import LOOKS, Verdict
from agent.core.remembered import Canary
from tests.core.scrapes import ONE, Play, engine


def conditions(*verdicts: Verdict) -> list[str]:
    return [verdict.condition for verdict in verdicts]


def working(play: Play, count: float = 0.0, busy: float = 4.0, looks: int = 3) -> float:
    """A server that gets on with its work; returns where its counter stands."""
    for _ in range(looks):
        count += 10
        play.see(busy, count)
    assert play.state.verdict.condition == "working"
    return count


# -- the states --------------------------------------------------------------------------------------------------------


def test_nothing_in_flight_is_idle_however_long_nothing_happens() -> None:
    play = Play()
    assert conditions(*(play.see(0, 5) for _ in range(1000))) == ["idle"] * 1000


def test_work_and_progress_is_working_whatever_waits() -> None:
    play = Play()
    assert conditions(*(play.see(200, count, waiting=160) for count in range(1000))) == ["working"] * 1000


def test_a_first_scrape_with_work_is_given_the_benefit_of_the_doubt() -> None:
    assert Play().see(5, 100, waiting=3).condition == "working"


def test_work_without_progress_stalls_then_takes_readiness_then_is_hung() -> None:
    play = Play()
    count = working(play)
    told = [play.see(4, count, waiting=2) for _ in range(12)]
    assert conditions(*told) == ["stalling"] * 11 + ["hung"]
    assert [verdict.stalled for verdict in told] == [10.0 * n for n in range(1, 13)]
    assert [verdict.unready for verdict in told] == [False] * 2 + [True] * 10
    assert told[-1].detail == "no progress for 120 of 120 s with 4 in flight, 2 waiting"


def test_progress_ends_a_stall_and_a_hang_at_once() -> None:
    play = Play()
    count = working(play)
    play.until_hung({ONE: engine(4, count, waiting=2)}, within=140)
    assert play.see(4, count + 1, waiting=2) == Verdict("working", detail="4 in flight")


def test_a_hung_container_is_not_ready_whatever_the_warning_would_wait_for() -> None:
    play = Play(warn_after=1000)
    count = working(play)
    play.until_hung({ONE: engine(4, count, waiting=2)}, within=140)
    assert play.state.verdict.unready
    play = Play(warn_after=1000)
    silence(play, 2)
    waiting_canary(play)
    silence(play, 12)
    assert (play.state.verdict.condition, play.state.verdict.unready) == ("hung", True)


def test_before_the_first_startup_success_nothing_is_hung_blind_or_down() -> None:
    play = Play()
    play.started = False
    told = [play.see(4, 7, waiting=2) for _ in range(30)] + [play.miss(refused=True, health=False) for _ in range(30)]
    assert {verdict.condition for verdict in told} == {"starting"}
    assert not any(verdict.unready for verdict in told)


# -- evidence of arrival -----------------------------------------------------------------------------------------------


def test_one_long_step_of_work_that_was_there_is_no_hang() -> None:
    """Nothing came since, so nothing says that anybody waits in vain: not ready, and not restarted."""
    play = Play()
    count = working(play, busy=1)
    told = [play.see(1, count) for _ in range(200)]
    assert {verdict.condition for verdict in told} == {"stalling"}
    assert told[-1].unready
    assert told[-1].detail.endswith("none of it newer")


def test_a_burst_onto_an_idle_server_is_no_evidence_by_itself() -> None:
    play = Play()
    play.see(0, 10)
    told = [play.see(32, 10) for _ in range(100)]
    assert {verdict.condition for verdict in told} == {"stalling"}
    assert told[0].stalled == 0, "it may have come this very moment"


def test_work_that_comes_during_the_stall_is_evidence() -> None:
    play = Play()
    count = working(play, busy=1)
    play.see(1, count)
    assert play.until_hung({ONE: engine(2, count)}, within=140) == 110


def test_clients_that_give_up_and_come_back_are_evidence() -> None:
    """Fewer in flight is no progress; what comes after that is newer."""
    play = Play()
    count = working(play, busy=5)
    told = [play.see(busy, count) for busy in (5, 3) * 15]
    assert "hung" in conditions(*told)
    assert conditions(*told).index("hung") * 10 <= 250


def test_a_counter_of_arrivals_is_evidence_where_nothing_waits() -> None:
    play = Play()
    count = working(play)
    told = [play.see(4, count, arrivals=n) for n in range(1, 14)]
    assert conditions(*told).index("hung") == 11


def test_arrivals_of_the_moment_at_which_work_began_are_no_evidence() -> None:
    play = Play()
    play.see(0, 10, arrivals=1)
    assert {play.see(1, 10, arrivals=2).condition for _ in range(50)} == {"stalling"}


def test_a_gauge_stuck_above_zero_and_an_abandoned_request_now_and_then_are_no_hang() -> None:
    """MLServer keeps abandoned requests in its gauge; one that came a moment ago has not waited in vain yet."""
    play = Play()
    count = working(play, busy=1)
    told = [play.see(1, count) for _ in range(60)] + [play.see(2, count), play.see(2, count)]
    told += [play.see(1, count) for _ in range(60)]
    assert {verdict.condition for verdict in told} == {"stalling"}


def test_a_slow_request_beside_a_stuck_gauge_is_given_half_of_the_threshold() -> None:
    play = Play()
    count = working(play, busy=1)
    told = [play.see(1, count) for _ in range(60)] + [play.see(2, count, waiting=1) for _ in range(5)]
    assert {verdict.condition for verdict in told} == {"stalling"}
    assert play.see(1, count + 1).condition == "working"


def test_evidence_has_to_be_seen_three_times_too() -> None:
    play = Play(period=60)
    count = working(play, busy=1)
    for _ in range(10):
        play.see(1, count)
    told = [play.see(1, count, waiting=1) for _ in range(3)]
    assert conditions(*told) == ["stalling", "stalling", "hung"]


def test_a_canary_that_failed_since_is_evidence() -> None:
    play = Play()
    count = working(play)
    for _ in range(20):
        assert play.see(4, count).condition == "stalling"
    play.canary = Canary(play.now - 30, failed_at=play.now, overdue=play.now - 30)
    assert play.see(4, count).condition == "hung"


def test_a_canary_alone_does_not_make_up_for_too_few_looks() -> None:
    play = Play(period=120)
    count = working(play)
    play.canary = Canary(play.now, failed_at=play.now + 30, overdue=play.now)
    assert conditions(*(play.see(4, count) for _ in range(3))) == ["stalling", "stalling", "hung"]


def test_a_canary_that_was_sent_before_the_last_progress_and_is_late_is_none() -> None:
    """It waited while work was done: late alone is not hung."""
    play = Play()
    count = working(play)
    play.canary = Canary(play.now - 5, failed_at=play.now + 25, overdue=play.now - 5)
    told = [play.see(1, count) for _ in range(40)]
    assert {verdict.condition for verdict in told} == {"stalling"}


def test_a_canary_that_failed_before_the_last_progress_is_none() -> None:
    play = Play()
    play.canary = Canary(0.0, failed_at=1.0, overdue=0.0)
    count = working(play)
    assert {play.see(4, count).condition for _ in range(50)} == {"stalling"}


# -- gauges at zero, and the canary ------------------------------------------------------------------------------------


def test_gauges_at_zero_and_a_canary_that_waits_is_hung_once_it_is_overdue_and_as_old_as_the_threshold() -> None:
    play = Play()
    play.see(0, 10)
    play.see(0, 10)
    play.canary = Canary(play.now + 2, in_flight=True)
    sent = play.canary.sent_at
    assert conditions(play.see(0, 10), play.see(0, 10), play.see(0, 10)) == ["idle"] * 3
    play.canary = Canary(sent, failed_at=sent + 30, overdue=sent)
    told = [play.see(0, 10) for _ in range(10)]
    assert conditions(*told) == ["stalling"] * 9 + ["hung"]
    assert told[0].unready, "it has waited for longer than warn_after"
    assert 120 <= play.now - sent <= 130


def test_canaries_whose_own_requests_come_and_go_in_the_gauges_are_one_silence() -> None:
    """A server that drops a request with its connection: 30 s in flight, 60 s of cooldown, and another one."""
    play = Play()
    play.see(0, 10)
    sent = play.now
    told = []
    while "hung" not in conditions(*told):
        in_flight = (play.now - sent) % 90 < 30
        overdue = None if play.now - sent < 30 else play.now - (play.now - sent) % 90 - 90 * in_flight
        play.canary = Canary(play.now, failed_at=overdue and overdue + 30, overdue=overdue, in_flight=in_flight)
        told.append(play.see(1 if in_flight else 0, 10))
        assert play.now - sent <= 140, told
    assert play.now - sent >= 120


def test_a_canary_that_is_answered_leaves_an_idle_server_idle() -> None:
    play = Play()
    for _ in range(50):
        play.canary = Canary(play.now, in_flight=True)
        assert play.see(0, 10).condition == "idle"
        play.canary = Canary(play.now - 10, play.now)
        assert play.see(0, 10).condition == "idle"


def test_progress_since_the_canary_was_sent_asks_for_another_one() -> None:
    """It may have been late in a queue that has been worked off."""
    play = Play()
    play.see(0, 10)
    play.canary = Canary(5.0, failed_at=35.0, overdue=5.0)
    play.see(0, 20)
    assert {play.see(0, 20).condition for _ in range(50)} == {"stalling"}
    play.canary = Canary(play.now, failed_at=play.now + 30, overdue=play.now)
    assert play.see(0, 20).condition == "hung"


def test_a_canary_that_is_late_on_one_engine_says_nothing_of_the_idle_ones() -> None:
    play = Play()
    ranks = {(("engine", str(n)),): engine(0, 5) for n in range(8)}
    play.canary = Canary(0.0, failed_at=30.0, overdue=0.0)
    told = []
    for count in range(100):
        ranks[("engine", "3"),] = engine(20, count, waiting=9)
        told.append(play.engines(ranks))
    assert {verdict.condition for verdict in told} == {"working"}


def waiting_canary(play: Play) -> None:
    """One that was sent now and is overdue already."""
    play.canary = Canary(play.now, failed_at=play.now, overdue=play.now)


def silence(play: Play, looks: int, count: float = 10, process: float | None = None) -> list[str]:
    return conditions(*(play.see(0, count, process) for _ in range(looks)))


def test_a_silence_begins_anew_with_progress_and_with_another_process() -> None:
    for count, process in ((20, 1.0), (10, 2.0), (3, 1.0)):
        play = Play()
        silence(play, 2, process=1.0)
        waiting_canary(play)
        assert silence(play, 11, process=1.0) == ["stalling"] * 11
        play.see(0, count, process)
        waiting_canary(play)
        assert silence(play, 12, count, process) == ["stalling"] * 11 + ["hung"]


def test_a_silence_too_is_looked_at_three_times_and_an_agent_that_stood_still_has_not_heard_it() -> None:
    play = Play(period=120)
    silence(play, 2)
    waiting_canary(play)
    assert silence(play, 3) == ["stalling", "stalling", "hung"]
    play = Play()
    silence(play, 2)
    waiting_canary(play)
    silence(play, 2)
    play.now += 10_000
    assert silence(play, 5) == ["stalling"] * 4 + ["hung"]


def test_a_canary_from_before_the_first_scrape_says_nothing_of_what_came_since() -> None:
    play = Play(start=100)
    play.canary = Canary(50.0, failed_at=80.0, overdue=50.0)
    assert set(silence(play, 50)) == {"idle", "stalling"}


def test_without_any_counter_a_waiting_canary_is_its_own_checks_to_judge() -> None:
    play = Play()
    waiting_canary(play)
    assert {play.engines({ONE: Engine(0, 0)}).condition for _ in range(50)} == {"idle"}


def test_while_something_is_in_flight_silence_is_no_reason() -> None:
    play = Play()
    waiting_canary(play)
    engines = {(("model", "a"),): Engine(2, 0), (("model", "b"),): engine(0, 5)}
    assert {play.engines(engines).condition for _ in range(50)} == {"working"}


def test_one_request_of_a_user_beside_a_canary_that_waits_is_no_silence() -> None:
    """Two in flight are one more than the canary's own."""
    play = Play()
    waiting_canary(play)
    silence(play, 10)
    play.engines({ONE: engine(2, 10)})
    assert play.state.silence is None


# -- engines -----------------------------------------------------------------------------------------------------------


def test_one_hung_rank_of_eight_is_found_within_the_threshold_and_two_periods() -> None:
    """A sum over the ranks would go on rising."""
    play = Play()
    hung_at = 100.0
    while play.now < hung_at + 140:
        count = play.now + 10
        ranks = {(("engine", str(n)),): engine(3, count, waiting=1) for n in range(8)}
        ranks[("engine", "5"),] = engine(3, min(count, hung_at), waiting=1)
        verdict = play.engines(ranks)
        if verdict.condition == "hung":
            break
    assert verdict.condition == "hung"
    assert verdict.detail.startswith("engine=5: no progress for ")
    assert play.now - hung_at <= 140


def test_an_engine_that_vanishes_is_no_information_and_its_clock_stands_still_meanwhile() -> None:
    play = Play()
    here = {(("engine", "0"),): engine(4, 10, waiting=1), (("engine", "1"),): engine(0, 3)}
    gone = {(("engine", "1"),): engine(0, 3)}
    for _ in range(8):
        play.engines(here)
    assert play.state.verdict.stalled == 70
    assert conditions(*(play.engines(gone) for _ in range(30))) == ["idle"] * 30
    assert play.engines(here).stalled == 70
    assert play.engines(here).stalled == 80


def test_an_engine_that_is_gone_for_an_hour_is_forgotten() -> None:
    play = Play(period=600)
    play.engines({(("engine", "0"),): engine(4, 10), (("engine", "1"),): engine(0, 3)})
    for _ in range(5):
        play.engines({(("engine", "1"),): engine(0, 3)})
    assert len(play.state.engines) == 2
    play.engines({(("engine", "1"),): engine(0, 3)})
    assert len(play.state.engines) == 1


def test_an_engine_without_counters_is_no_information() -> None:
    play = Play()
    assert {play.engines({ONE: Engine(5, 3)}).condition for _ in range(100)} == {"working"}


def test_counters_that_are_missing_for_a_while_neither_clear_nor_lengthen_a_stall() -> None:
    play = Play()
    count = working(play)
    for _ in range(5):
        play.see(4, count, waiting=1)
    for _ in range(50):
        assert play.engines({ONE: Engine(4, 1)}).stalled == 50
    assert play.see(4, count, waiting=1).stalled == 50
    assert play.see(4, count, waiting=1).stalled == 60
    assert play.engines({ONE: Engine(0, 0)}).condition == "idle"


def test_a_counter_that_appears_has_risen() -> None:
    """mosec has no series for status 200 before the first one."""
    play = Play()
    play.engines({ONE: Engine(1, 0, {"other": 1.0})})
    play.engines({ONE: Engine(1, 0, {"other": 1.0})})
    assert play.engines({ONE: Engine(1, 0, {"other": 1.0, "ok": 1.0})}).condition == "working"


def test_without_any_series_nothing_is_learnt_and_nothing_judged() -> None:
    play = Play()
    told = [play.engines({}) for _ in range(100)]
    assert {verdict.condition for verdict in told} == {"blind"}
    assert "none of the series" in told[0].detail


# -- thresholds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [0.5, 5, 10, 30, 60, 120])
def test_a_hang_is_found_within_the_threshold_and_two_periods_whatever_the_period(period: float) -> None:
    """And never on fewer than three scrapes that saw it."""
    play = Play(period)
    count = working(play)
    took = play.until_hung({ONE: engine(4, count, waiting=2)}, within=1000)
    assert max(120.0, LOOKS * period) <= took <= 120 + 2 * period


def test_a_declared_longest_step_moves_the_threshold() -> None:
    play = Play(max_step=200)
    count = working(play)
    assert play.until_hung({ONE: engine(4, count, waiting=2)}, within=300) == 240


def test_pauses_that_were_usual_in_the_last_hour_move_it_too() -> None:
    """Ten times their 99th percentile: a server that works off a minute at a time is given ten minutes."""
    play = Play()
    count = 0.0
    for _ in range(20):
        count += 1
        for _ in range(7):
            assert play.see(4, count, waiting=2).condition != "hung"
    assert play.until_hung({ONE: engine(4, count, waiting=2)}, within=1000) + 60 == 600


def test_a_single_pause_among_hundreds_moves_nothing() -> None:
    play = Play()
    count = working(play, looks=300)
    for _ in range(9):
        play.see(4, count, waiting=2)
    count = working(play, count)
    assert play.until_hung({ONE: engine(4, count, waiting=2)}, within=200) == 120


def test_what_was_usual_is_never_taken_for_more_than_half_an_hour() -> None:
    play = Play(period=100)
    count = 0.0
    for _ in range(10):
        count += 1
        for _ in range(8):
            play.see(4, count)
    assert play.until_hung({ONE: engine(4, count, waiting=2)}, within=3000) + 700 <= 1800 + 200


def test_an_agent_that_stood_still_has_seen_nothing() -> None:
    """The first scrape after a long sleep counts for half of the threshold at most."""
    play = Play()
    count = working(play)
    play.see(4, count, waiting=2)
    play.now += 10_000
    assert play.see(4, count, waiting=2) == Verdict(
        "stalling", 70, True, "no progress for 70 of 120 s with 4 in flight, 2 waiting"
    )
    assert play.until_hung({ONE: engine(4, count, waiting=2)}, within=60) == 50


# -- bad scrapes -------------------------------------------------------------------------------------------------------


def test_a_bad_scrape_is_blind_and_never_a_failure_by_itself() -> None:
    play = Play()
    working(play)
    assert [play.miss().detail, play.miss().detail] == ["no metrics: why", "no metrics for 10 s: why"]
    for health in (None, True):
        assert {play.miss(health=health).condition for _ in range(100)} == {"blind"}


def test_long_blind_beside_a_failing_health_answer_is_unresponsive() -> None:
    play = Play()
    working(play)
    told = [play.miss(health=False) for _ in range(20)]
    assert conditions(*told) == ["blind"] * 18 + ["unresponsive"] * 2
    assert play.miss(health=True).condition == "blind"
    assert play.see(0, 1000).condition == "idle"
    assert play.miss(health=False).condition == "blind", "it begins anew"


def test_a_moment_of_failing_health_beside_metrics_that_were_never_there_is_nothing() -> None:
    play = Play()
    for _ in range(100):
        play.miss(health=True)
    told = [play.miss(health=False) for _ in range(19)]
    assert conditions(*told) == ["blind"] * 17 + ["unresponsive"] * 2, "180 s since the last good answer"
    assert play.miss(health=True).condition == "blind"
    assert play.miss(health=False).condition == "blind"


def test_a_page_without_the_series_is_an_answer_too() -> None:
    play = Play()
    working(play)
    for _ in range(100):
        assert play.engines({}).condition == "blind"
    assert conditions(*(play.miss(health=False) for _ in range(17))) == ["blind"] * 17


def test_an_exporter_that_died_beside_a_server_that_answers_is_blind_and_not_down() -> None:
    play = Play()
    working(play)
    assert {play.miss(refused=True, health=True).condition for _ in range(100)} == {"blind"}
    assert play.miss(refused=True, health=False).condition == "down"


def test_a_series_that_comes_and_goes_has_not_risen_by_coming_back() -> None:
    play = Play()
    both = Engine(4, 2, {"a": 50.0, "b": 70.0})
    one = Engine(4, 2, {"a": 50.0})
    play.engines({ONE: both})
    play.engines({ONE: both})
    told = [play.engines({ONE: engine}) for _ in range(6) for engine in (one, both)]
    assert [verdict.stalled for verdict in told] == [20.0 + 10.0 * n for n in range(12)]
    assert told[-1].condition == "hung"


def test_refused_three_times_in_a_row_is_down_once_it_has_been_up() -> None:
    play = Play()
    assert {play.miss(refused=True).condition for _ in range(10)} == {"blind"}, "perhaps it is the wrong port"
    working(play)
    assert conditions(*(play.miss(refused=True) for _ in range(4))) == ["blind", "blind", "down", "down"]
    assert play.miss().condition == "blind"
    assert conditions(play.miss(refused=True), play.miss(refused=True)) == ["blind", "blind"]


def test_bad_scrapes_stop_the_stall_clock_and_clear_nothing() -> None:
    play = Play()
    count = working(play)
    for _ in range(6):
        play.see(4, count, waiting=2)
    told = [play.miss() for _ in range(100)]
    assert {(verdict.condition, verdict.stalled, verdict.unready) for verdict in told} == {("blind", 60.0, True)}
    again = play.see(4, count, waiting=2)
    assert (again.condition, again.stalled) == ("stalling", 70.0), "up to the first bad one it was seen to stand still"
    assert play.until_hung({ONE: engine(4, count, waiting=2)}, within=60) == 50


def test_a_hang_that_was_found_stays_found_while_nothing_can_be_read() -> None:
    play = Play()
    count = working(play)
    play.until_hung({ONE: engine(4, count, waiting=2)}, within=140)
    assert {play.miss(health=True).condition for _ in range(50)} == {"hung"}


# -- restarts that nobody announced ------------------------------------------------------------------------------------


def test_a_counter_that_falls_is_a_new_baseline_only() -> None:
    play = Play()
    count = working(play)
    for _ in range(11):
        play.see(4, count, waiting=2)
    assert play.see(4, 3, waiting=2).condition == "working"
    assert play.see(4, 3, waiting=2).stalled == 10


def test_another_start_time_is_a_new_baseline_only() -> None:
    play = Play()
    for _ in range(12):
        play.see(4, 7, process=1.0, waiting=2)
    assert play.see(4, 7, process=2.0, waiting=2).condition == "working"
    assert play.see(4, 7, process=2.0, waiting=2).stalled == 10


def test_a_page_without_a_start_time_in_between_hides_no_restart() -> None:
    play = Play()
    for process in (1.0, 1.0, 1.0, None, None):
        play.see(4, 7, process=process, waiting=2)
    assert play.see(4, 7, process=2.0, waiting=2).condition == "working"


def test_workers_that_take_turns_behind_one_port_are_never_hung() -> None:
    """Each scrape is answered by another one of them: what one counts says nothing of the other."""
    play = Play()
    told = [play.see(4, 700 - 100 * (n % 2), process=float(n % 2), waiting=2) for n in range(100)]
    assert {verdict.condition for verdict in told} == {"working"}
