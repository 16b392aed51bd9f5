"""What the endpoints say: tables of verdicts, the order of states, and properties of every answer."""

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import verdict
from agent.core.model import REASONS, CheckType, Outcome, Published, Result
from agent.core.remembered import Saying
from agent.core.verdict import EVERYDAY, STATES, CheckView, ContainerView, Endpoint, Phase

ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)
NOTHING = Saying()
SUCCESS, FAILURE, UNKNOWN = Published.SUCCESS, Published.FAILURE, Published.UNKNOWN


def _check(
    kind: str, name: str, published: Published = SUCCESS, reason: str | None = None, said: Saying = NOTHING
) -> CheckView:
    last = None if reason is None else Result(Outcome.FAILURE, reason)  # type: ignore[arg-type]
    return CheckView(name=name, type=CheckType(kind), method="http_get", published=published, last=last, said=said)


GOOD = (_check("startup", "s"), _check("readiness", "r"), _check("liveness", "l"))


def _view(*checks: CheckView, **more: Any) -> ContainerView:
    given = {"instance": 1, "identity": "pid 1", "running": True, "started": True, "ready": True, **more}
    return ContainerView(name="m", checks=checks or GOOD, **given)


LOADING = _view(_check("startup", "s", UNKNOWN), *GOOD[1:], started=False, ready=False)
UNREADY = _view(GOOD[0], _check("readiness", "r", FAILURE), GOOD[2], ready=False)
DEAD = _view(*GOOD[:2], _check("liveness", "l", FAILURE))


@pytest.mark.parametrize(
    ("what", "view", "healthz", "ready", "startupz"),
    [
        ("all is well", _view(), 200, 200, 200),
        ("at the agent's start, with startup checks", LOADING, 200, 503, 503),
        ("not ready", UNREADY, 200, 503, 200),
        ("dead, but no restart is asked for: the verdict is not the request", DEAD, 200, 200, 200),
        ("a restart is asked for", _view(requested=True, cause="liveness/l"), 503, 503, 200),
        ("a restart is suppressed: readiness is untouched", _view(suppressed="backoff"), 200, 200, 200),
        ("maintenance that keeps readiness", _view(maintenance=True), 200, 200, 200),
        ("maintenance that takes it", _view(maintenance=True, ready=False), 200, 503, 200),
        ("draining", _view(phase="draining", ready=False), 200, 503, 200),
        ("held, whatever the engine says of readiness", _view(phase="holding"), 200, 503, 200),
        ("given up", _view(phase="given_up", suppressed="budget", cause="liveness/l"), 200, 503, 200),
        ("notify acts and leaves readiness alone", _view(phase="restarting"), 200, 200, 200),
        ("an action that ends the container", _view(phase="restarting", ready=False), 200, 503, 200),
        ("ready without being started can't be", _view(started=False), 200, 503, 503),
        ("no checks at all", ContainerView(
            name="m", instance=1, identity="", running=True, started=True, ready=True, checks=()
        ), 200, 200, 200),
    ],
)  # fmt: skip
def test_verdicts(what: str, view: ContainerView, healthz: int, ready: int, startupz: int) -> None:
    answers = {endpoint: 200 if verdict.passes(endpoint, [view]) else 503 for endpoint in ENDPOINTS}
    assert answers == {"healthz": healthz, "livez": healthz, "ready": ready, "readyz": ready, "startupz": startupz}, (
        what
    )


@pytest.mark.parametrize(
    ("what", "endpoint", "view", "lines"),
    [
        ("each liveness check has a line", "healthz", _view(_check("liveness", "a"), _check("liveness", "b")),
         ["[+]m/liveness/a ok", "[+]m/liveness/b ok"]),
        ("without one the type has", "healthz", _view(GOOD[1]), ["[+]m/liveness ok"]),
        ("the check that caused a kill fails", "healthz", _view(requested=True, cause="liveness/l"),
         ["[-]m/liveness/l failed: reason withheld"]),
        ("a startup check can be the cause", "healthz", _view(requested=True, cause="startup/s"),
         ["[+]m/liveness/l ok", "[-]m/startup/s failed: reason withheld"]),
        ("an operator can be, too", "healthz", _view(requested=True),
         ["[+]m/liveness/l ok", "[-]m/liveness failed: reason withheld"]),
        ("a suppressed kill stands in its check's place", "healthz", _view(suppressed="budget", cause="liveness/l"),
         ["[+]m/liveness suppressed: budget"]),
        ("of a startup check as well", "healthz", _view(suppressed="dry_run", cause="startup/s"),
         ["[+]m/liveness/l ok", "[+]m/startup suppressed: dry_run"]),
        ("each readiness check has a line", "ready", UNREADY, ["[-]m/readiness/r failed: reason withheld"]),
        ("not being started is a line", "ready", LOADING,
         ["[-]m/started failed: reason withheld", "[+]m/readiness/r ok"]),
        ("a phase is a line", "ready", _view(phase="draining", ready=False),
         ["[+]m/readiness/r ok", "[-]m/draining failed: reason withheld"]),
        ("a request is a line", "ready", _view(requested=True),
         ["[+]m/readiness/r ok", "[-]m/restart failed: reason withheld"]),
        ("a check that takes readiness away is a line, whatever its type", "ready",
         _view(GOOD[1], _check("liveness", "p", said=Saying("stalling", unready=True)), ready=False),
         ["[+]m/readiness/r ok", "[-]m/liveness/p failed: reason withheld"]),
        ("and whatever its result", "ready",
         _view(_check("readiness", "p", said=Saying("hung", unready=True)), ready=False),
         ["[-]m/readiness/p failed: reason withheld"]),
        ("a check that only says something is none", "ready",
         _view(GOOD[1], _check("liveness", "p", said=Saying("idle"))), ["[+]m/readiness/r ok"]),
        ("what nothing explains is told all the same", "ready", _view(ready=False),
         ["[+]m/readiness/r ok", "[-]m/readiness failed: reason withheld"]),
        ("startup checks", "startupz", LOADING, ["[-]m/startup/s failed: reason withheld"]),
        ("started at once without startup checks", "startupz", _view(GOOD[2]), ["[+]m/startup ok"]),
    ],
)  # fmt: skip
def test_lines(what: str, endpoint: Endpoint, view: ContainerView, lines: list[str]) -> None:
    assert [str(item) for item in verdict.answer(endpoint, [view]).items] == lines, what


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (_view(maintenance=True, phase="given_up"), "maintenance"),
        (_view(phase="given_up", started=False), "given_up"),
        (_view(phase="draining", started=False), "draining"),
        (_view(phase="restarting", running=False), "restarting"),
        (_view(phase="holding", running=False, started=False), "holding"),
        (_view(requested=True, started=False), "restarting"),
        (_view(started=False, running=False), "down"),  # nobody is expected to start it
        (_view(started=False), "starting"),
        (_view(running=False), "down"),
        (_view(_check("liveness", "l", FAILURE, "refused")), "down"),
        (_view(_check("liveness", "l", FAILURE, "hung"), _check("readiness", "r", FAILURE, "refused")), "down"),
        (_view(_check("liveness", "l", FAILURE, "stopped")), "hung"),
        (_view(_check("readiness", "r", FAILURE, "blind"), ready=False), "blind"),
        (_view(_check("liveness", "l", SUCCESS, "refused")), "ready"),  # below its threshold
        (_view(_check("liveness", "l", FAILURE, "status")), "ready"),  # dead, but readiness is untouched
        (UNREADY, "unready"),
        (_view(), "ready"),
    ],
)
def test_the_state_is_the_first_that_applies(view: ContainerView, state: str) -> None:
    assert verdict.state(view) == state


def _says(state: str, **more: Any) -> CheckView:
    return _check("liveness", "progress", said=Saying(state, **more))  # type: ignore[arg-type]


LATE = _check("liveness", "l", SUCCESS, "timeout")
STALLED = _check("readiness", "r", SUCCESS, "stalled")


@pytest.mark.parametrize(
    ("what", "view", "state"),
    [
        ("idle and ready", _view(*GOOD, _says("idle")), "idle"),
        ("working and ready", _view(*GOOD, _says("working")), "working"),
        ("working is worth more than idle", _view(_says("idle"), _says("working")), "working"),
        ("one that stalls is worth more than one that works", _view(_says("working"), _says("stalling")), "stalling"),
        ("a check was late while progress is made", _view(LATE, _says("working")), "busy"),
        ("late with its body", _view(STALLED, _says("working")), "busy"),
        ("late, and nothing says why", _view(LATE), "ready"),
        ("late while idle is not busy", _view(LATE, _says("idle")), "idle"),
        ("late while it stalls is not busy", _view(LATE, _says("stalling")), "stalling"),
        ("late for another reason", _view(_check("liveness", "l", SUCCESS, "reset"), _says("working")), "working"),
        ("stalling comes before unready", _view(_says("stalling", unready=True), ready=False), "stalling"),
        ("busy comes before unready", _view(LATE, _says("working"), ready=False), "busy"),
        ("unready comes before working", _view(UNREADY.checks[1], _says("working"), ready=False), "unready"),
        ("unready comes before idle", _view(_says("idle"), ready=False), "unready"),
        ("hung, though nothing is published yet", _view(_says("hung")), "hung"),
        ("blind, and ready all the same", _view(*GOOD, _says("blind")), "blind"),
        ("hung comes before blind", _view(_says("blind"), _check("liveness", "l", FAILURE, "stopped")), "hung"),
        ("down comes before hung", _view(_says("hung"), _check("readiness", "r", FAILURE, "refused")), "down"),
        ("down by its word", _view(_says("down"), _says("stalling")), "down"),
        ("nothing to offer while it starts", _view(*GOOD, _says("")), "ready"),
        ("starting comes before whatever is said", _view(_says("hung"), started=False, ready=False), "starting"),
        ("a restart under way as well", _view(_says("hung"), requested=True), "restarting"),
        ("and maintenance", _view(_says("hung"), maintenance=True), "maintenance"),
    ],
)
def test_the_state_is_that_of_all_checks_the_worst_word_first(what: str, view: ContainerView, state: str) -> None:
    assert verdict.state(view) == state, what


def test_what_the_state_is_told_with_is_what_its_check_says() -> None:
    view = _view(_says("working", detail="3 in flight"), _says("stalling", detail="for 40 s"))
    assert verdict.why(view, "stalling") == "for 40 s"
    assert verdict.why(view, "unready") == ""


def test_the_everyday_states_are_those_in_which_nobody_is_needed() -> None:
    assert {word for word in STATES if word not in EVERYDAY} == {
        "maintenance", "given_up", "draining", "restarting", "holding", "starting", "down", "hung", "blind", "unready",
    }  # fmt: skip


def test_live_is_the_verdict_of_the_liveness_checks_alone() -> None:
    assert _view().live
    assert UNREADY.live
    assert not DEAD.live


@pytest.mark.parametrize("name", ["m", "r", "readiness/r", "m/readiness/r"])
def test_what_is_excluded_does_not_count_and_says_so(name: str) -> None:
    found = verdict.answer("ready", [UNREADY], [name])
    assert found.passed
    assert [str(item) for item in found.items] == ["[+]m/readiness/r excluded: ok"]
    assert found.unmatched == ()


def test_what_is_excluded_in_vain_is_returned_once_and_in_order() -> None:
    found = verdict.answer("ready", [UNREADY], ["z", "a", "z", "l", "r"])
    assert found.unmatched == ("a", "l", "z")  # `l` is a check, but none of this endpoint


def test_excluding_one_container_leaves_the_other_to_judge() -> None:
    other = ContainerView(
        name="other",
        instance=1,
        identity="",
        running=True,
        started=True,
        ready=False,
        checks=(_check("readiness", "x"),),
    )
    assert not verdict.answer("ready", [UNREADY, other], ["m"]).passed
    assert not verdict.answer("ready", [UNREADY, other], ["other"]).passed
    assert verdict.answer("ready", [UNREADY, other], ["m", "other"]).passed


NAMES = st.sampled_from(["a", "b", "ready", "liveness"])
RESULTS = st.builds(Result, st.sampled_from(Outcome), st.sampled_from(REASONS))
CHECKS = st.builds(
    CheckView,
    name=NAMES,
    type=st.sampled_from(CheckType),
    method=st.just("http_get"),
    published=st.sampled_from(Published),
    last=st.none() | RESULTS,
)
VIEWS = st.builds(
    ContainerView,
    name=NAMES,
    instance=st.just(1),
    identity=st.just(""),
    running=st.booleans(),
    started=st.booleans(),
    ready=st.booleans(),
    checks=st.lists(CHECKS, max_size=4).map(tuple),
    phase=st.sampled_from(get_args(Phase)),
    requested=st.booleans(),
    cause=st.sampled_from(["", "liveness/a", "startup/b", "liveness/gone"]),
    suppressed=st.sampled_from(["", "budget"]),
    maintenance=st.booleans(),
)
MANY = st.lists(VIEWS, max_size=3)
EXCLUDED = st.lists(NAMES | st.sampled_from(["liveness/a", "a/liveness/a", "nobody"]), max_size=3)
EACH_ENDPOINT = st.sampled_from(ENDPOINTS)


@given(VIEWS)
def test_healthz_fails_if_and_only_if_a_restart_is_asked_for(view: ContainerView) -> None:
    assert verdict.passes("healthz", [view]) is not view.requested


@given(VIEWS)
def test_ready_implies_started_and_no_restart_asked_for(view: ContainerView) -> None:
    if verdict.passes("ready", [view]):
        assert verdict.passes("startupz", [view])
        assert verdict.passes("healthz", [view])
        assert view.phase not in {"given_up", "draining", "holding"}


@given(VIEWS)
def test_the_state_is_always_of_the_closed_set_and_never_better_than_readiness(view: ContainerView) -> None:
    assert verdict.state(view) in STATES
    if verdict.state(view) == "ready":
        assert verdict.passes("ready", [view])


@given(EACH_ENDPOINT, MANY)
def test_the_lines_say_what_the_verdict_says(endpoint: Endpoint, views: list[ContainerView]) -> None:
    found = verdict.answer(endpoint, views)
    assert found.passed is verdict.passes(endpoint, views) is all(item.ok for item in found.items)
    assert {item.container for item in found.items} == {view.name for view in views}
    assert all(item.ok or item.note == verdict.WITHHELD for item in found.items)


@given(EACH_ENDPOINT, MANY, EXCLUDED)
def test_excluding_never_makes_an_answer_worse_and_everything_excluded_passes(
    endpoint: Endpoint, views: list[ContainerView], names: list[str]
) -> None:
    whole, less = verdict.answer(endpoint, views), verdict.answer(endpoint, views, names)
    assert len(whole.items) == len(less.items)
    assert all(after.ok or not before.ok for before, after in zip(whole.items, less.items, strict=True))
    assert verdict.answer(endpoint, views, [view.name for view in views]).passed


@given(EACH_ENDPOINT, st.permutations([UNREADY, LOADING, DEAD, _view(requested=True), _view()]))
def test_the_whole_passes_if_and_only_if_every_container_does(endpoint: Endpoint, views: list[ContainerView]) -> None:
    for some in itertools.accumulate(([view] for view in views), list.__add__):
        assert verdict.passes(endpoint, some) is all(verdict.passes(endpoint, [view]) for view in some)


@pytest.mark.parametrize(
    ("step", "more", "phase"),
    [
        ("", {}, ""),
        ("post_restart", {}, ""),
        ("drain", {"drains": True}, "draining"),
        ("evidence", {"drains": True}, "draining"),  # the drain lasts until the action
        ("pre_restart", {"drains": True}, "draining"),
        ("pre_restart", {}, "restarting"),
        ("action", {"drains": True}, "restarting"),
        ("retry", {}, "holding"),
        ("gone", {}, "holding"),
        ("hold", {}, "holding"),
        ("", {"drained": True}, "draining"),
        ("action", {"drained": True}, "draining"),  # the first that applies, in the order of the closed set
        ("hold", {"drained": True}, "draining"),
        ("", {"given_up": True, "drained": True}, "given_up"),
    ],
)
def test_a_phase_follows_from_the_step_and_from_what_an_operator_said(
    step: verdict.Step, more: dict[str, bool], phase: str
) -> None:
    assert verdict.phase_of(step, **{"drains": False, "given_up": False, "drained": False, **more}) == phase
