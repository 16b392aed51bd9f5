"""What the progress rule never does, whatever it is shown: properties over random runs of good and bad scrapes."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.engines import Engine, Key, Reading
from agent.core.progress import Rule, State, Verdict, missed, scraped
from agent.core.remembered import Canary

RULE = Rule(warn_after=30, hung_after=120, blind_after=180)
ENGINES: tuple[Key, ...] = tuple((("engine", str(n)),) for n in range(3))


class Good(msgspec.Struct, frozen=True):
    """What each engine shows: (busy, waiting, by how much its counter has risen), or None where it is not shown."""

    after: float
    shown: tuple[tuple[float, float, float] | None, ...]
    process: float | None
    canary: Canary | None


class Bad(msgspec.Struct, frozen=True):
    after: float
    refused: bool
    health: bool | None


Step = Good | Bad

seconds = st.sampled_from([1.0, 5.0, 10.0, 10.0, 10.0, 40.0, 500.0])
gauge = st.sampled_from([0.0, 0.0, 1.0, 1.0, 2.0, 7.0])
rise = st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0, 50.0, -3.0])
one_engine = st.one_of(st.tuples(gauge, gauge, rise), st.none())
moments = st.integers(0, 8000).map(lambda quarters: quarters / 4)  # exact wherever the clock stands
canaries = st.one_of(
    st.none(),
    st.builds(
        Canary,
        sent_at=moments,
        failed_at=st.one_of(st.none(), moments),
        overdue=st.one_of(st.none(), moments),
        in_flight=st.booleans(),
    ),
)
goods = st.builds(
    Good,
    after=seconds,
    shown=st.tuples(one_engine, one_engine, one_engine),
    process=st.sampled_from([None, None, 1.0, 1.0, 1.0, 2.0]),
    canary=canaries,
)
bads = st.builds(Bad, after=seconds, refused=st.booleans(), health=st.sampled_from([None, True, False]))
runs = st.lists(st.one_of(goods, goods, goods, bads), max_size=40)


class Run:
    """The rule over a run; counters go on where they stood."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self.start = start
        self.counts = [100.0, 100.0, 100.0]
        self.state = State()

    def step(self, step: Step) -> tuple[State, Verdict]:
        """The state before, and the verdict after."""
        before = self.state
        self.now += step.after
        if isinstance(step, Bad):
            self.state = missed(RULE, before, self.now, refused=step.refused, health=step.health, started=True, why="")
            return before, self.state.verdict
        engines: dict[Key, Engine] = {}
        for index, shown in enumerate(step.shown):
            if shown is not None:
                busy, waiting, risen = shown
                self.counts[index] += risen
                engines[ENGINES[index]] = Engine(busy + waiting, waiting, {"steps": self.counts[index]})
        canary = step.canary and moved(step.canary, self.start)
        self.state = scraped(RULE, before, Reading(engines, step.process), self.now, canary=canary, started=True)
        return before, self.state.verdict


def moved(canary: Canary, by: float) -> Canary:
    fields: dict[str, Any] = msgspec.structs.asdict(canary)
    shifted = {
        name: None if fields[name] is None else fields[name] + by for name in ("sent_at", "failed_at", "overdue")
    }
    return Canary(**{**fields, **shifted})


@given(runs)
@settings(max_examples=400)
def test_never_hung_at_a_scrape_at_which_every_engine_with_work_has_risen(run: list[Step]) -> None:
    play = Run()
    for step in run:
        _, verdict = play.step(step)
        if isinstance(step, Good) and any(step.shown):
            here = [shown for shown in step.shown if shown is not None]
            if any(risen > 0 for _, _, risen in here) and all(
                risen > 0 or busy + waiting <= 0 for busy, waiting, risen in here
            ):
                assert verdict.condition in {"working", "idle", "stalling"}
                assert verdict.condition != "stalling" or verdict.stalled == 0


@given(runs)
@settings(max_examples=400)
def test_never_hung_while_idle(run: list[Step]) -> None:
    """Nothing in flight, and no canary that waits."""
    play = Run()
    for step in run:
        _, verdict = play.step(step)
        if isinstance(step, Good) and any(step.shown):
            idle = all(shown is None or shown[0] + shown[1] <= 0 for shown in step.shown)
            waits = step.canary is not None and step.canary.overdue is not None
            if idle and not waits:
                assert verdict == Verdict("idle")


@given(runs)
@settings(max_examples=400)
def test_a_bad_scrape_never_shortens_or_clears_or_lengthens_a_stall_nor_makes_a_hang(run: list[Step]) -> None:
    play = Run()
    for step in run:
        before, verdict = play.step(step)
        if isinstance(step, Bad):
            assert play.state.engines == before.engines
            assert (verdict.stalled, verdict.unready) == (before.verdict.stalled, before.verdict.unready)
            assert verdict.condition != "hung" or before.verdict.condition == "hung"


@given(runs, st.integers(1, 6))
@settings(max_examples=400)
def test_bad_scrapes_in_between_never_make_a_hang_come_sooner(run: list[Step], every: int) -> None:
    """Time in which nothing could be read is no time of standing still."""
    plain, broken = Run(), Run()
    for number, step in enumerate(run):
        if isinstance(step, Bad) or step.canary is not None:
            continue
        _, verdict = plain.step(step)
        half = step.after / 2
        if number % every == 0:
            broken.step(Bad(half, refused=False, health=None))
        left = half if number % every == 0 else step.after
        _, other = broken.step(Good(left, step.shown, step.process, None))
        if plain.state.engines.keys() == broken.state.engines.keys():
            assert other.stalled <= verdict.stalled + 1e-6


@given(runs, st.sampled_from([-(2.0**20), 2.0**20, 2.0**30]))
@settings(max_examples=200)
def test_where_the_clock_stands_does_not_matter(run: list[Step], start: float) -> None:
    here, there = Run(), Run(start)
    for step in run:
        assert here.step(step)[1] == there.step(step)[1]


@given(runs, goods)
@settings(max_examples=400)
def test_a_counter_reset_is_never_hung_and_begins_anew(run: list[Step], last: Good) -> None:
    play = Run()
    for step in run:
        play.step(step)
    play.counts = [0.0, 0.0, 0.0]
    shown = tuple(None if one is None else (one[0], one[1], 0.0) for one in last.shown)
    reset = Good(last.after, shown, last.process, last.canary)
    _, verdict = play.step(reset)
    if any(shown):
        assert verdict.condition in {"idle", "working"}
        assert verdict.stalled == 0


@given(runs, st.integers(0, 2), st.sampled_from([1.0, 10.0, 30.0]))
@settings(max_examples=200)
def test_a_hung_engine_is_found_whatever_came_before_and_whatever_the_others_do(
    run: list[Step], hung: int, period: float
) -> None:
    """Within the threshold, which its own past may have moved, and two periods."""
    play = Run()
    for step in run:
        play.step(step)
    waited = 0.0
    verdict = play.state.verdict
    while waited < 1800 + 3 * period:
        shown = tuple((3.0, 2.0, 0.0 if n == hung else 1.0) for n in range(3))
        _, verdict = play.step(Good(period, shown, None, None))
        waited += period
        if verdict.condition == "hung":
            break
    assert verdict.condition == "hung"
    was = play.state.engines[ENGINES[hung]]
    if not was.gaps.long:
        assert waited <= 120 + 3 * period, "the first scrape may have been its first one"


@given(runs)
@settings(max_examples=200)
def test_the_state_stays_small(run: list[Step]) -> None:
    play = Run()
    for step in run * 3:
        play.step(step)
    assert len(play.state.engines) <= 3
    assert len(msgspec.json.encode(msgspec.to_builtins(list(play.state.engines.values())))) < 20_000
