"""What methods say of the whole container, in its state, its events and its log; what they read of each other."""

from agent.core.model import Result, Target, failure, success, warning
from agent.core.remembered import Answer, Saying, say
from agent.core.verdict import state
from tests.engine.scripted import ADDRESS, Acts, Letters, Look, Server, Ward, at, check, container, guarded
from tests.virtual import run_virtual, virtual_loop


class Says:
    """A method that says what the test wants said."""

    def __init__(self, saying: Saying, result: Result | None = None) -> None:
        self.saying = saying
        self.result = result or success()
        self.port = ADDRESS[1]

    async def probe(self, target: Target) -> Result:
        say(target, self.saying)
        return self.result


def states(ward: Ward) -> list[tuple[float, str, str, str]]:
    """When the state changed, to what, at which level, and what was told with it."""
    return [(t, e.fields["to"], e.level, e.detail) for t, e in ward.said if e.name == "state"]


def test_the_state_follows_what_is_said_and_everyday_changes_are_quiet() -> None:
    """Between idle, working and stalling a server moves all day: such lines are for whoever debugs."""

    async def work() -> None:
        method = Says(Saying("idle"))
        spec = container(check("liveness", method, period_seconds=1), check("readiness", Letters("s")))
        async with guarded(spec) as ward:
            await at(1)
            for moment, saying in (
                (11, Saying("working", detail="3 in flight")),
                (21, Saying("stalling", detail="for 10 s of hunter2")),
                (31, Saying("stalling", unready=True, detail="for 40 s")),
                (41, Saying("hung", unready=True, detail="for 120 s")),
                (51, Saying("working")),
                (61, Saying("blind", detail="no metrics")),
            ):
                method.saying = saying
                await at(moment)
            told = [(word, level, detail) for _, word, level, detail in states(ward)]
            assert told[-6:] == [
                ("idle", "debug", ""),
                ("working", "debug", "3 in flight"),
                ("stalling", "debug", "for 10 s of [redacted]"),
                ("hung", "info", "for 120 s"),
                ("working", "info", ""),
                ("blind", "info", "no metrics"),
            ]
            readiness = [(t, e.fields["to"]) for t, e in ward.said if e.fields.get("type") == "ready"]
            assert readiness[-2:] == [(22.0, False), (42.0, True)]

    run_virtual(work)


def test_a_check_that_was_late_while_progress_is_made_is_busy() -> None:
    async def work() -> None:
        spec = container(
            check("liveness", Says(Saying("working")), name="progress"),
            check("liveness", Letters("sh"), timeout_seconds=2, failure_threshold=9),
        )
        async with guarded(spec) as ward:
            await at(9)
            assert state(ward.view) == "working"
            await at(19)
            assert state(ward.view) == "busy"

    run_virtual(work)


def test_every_check_may_read_the_last_answers_of_the_others() -> None:
    class Reads:
        async def probe(self, target: Target) -> Result:
            found.append({path: answer.at for path, answer in target.seen.get("answers", {}).items()})
            return success()

    found: list[dict[str, float]] = []

    async def work() -> None:
        spec = container(
            check("liveness", Letters("sf"), name="a", period_seconds=4, failure_threshold=9),
            check("liveness", Reads(), name="b", period_seconds=10),
        )
        async with guarded(spec) as ward:
            await at(11)
            answers: dict[str, Answer] = ward.container.seen["answers"]
            assert answers["liveness/a"] == Answer("scripted", failure("status", "500"), 8.0)
        assert found[1] == {"liveness/a": 8.0, "liveness/b": 0.0}

    run_virtual(work)


def test_a_blind_scrape_while_a_restart_is_asked_for_is_no_accepted_connection() -> None:
    """Its warning counts as a success, and must not be taken for the port that accepts again."""

    async def work() -> None:
        server = Server()
        blind = Says(Saying("blind"), warning("blind"))
        spec = container(
            check("liveness", Look(server), period_seconds=1),
            check("liveness", blind, name="progress", period_seconds=1),
            action=Acts(holds=False), action_name="none", port=ADDRESS[1],
        )  # fmt: skip
        virtual_loop().network.open.add(ADDRESS)
        async with guarded(spec) as ward:
            await at(3)
            server.stop()
            await at(20)
            assert ward.view.requested
            assert ward.view.instance == 1
            server.start()
            await at(22)
            assert ward.view.instance == 2

    run_virtual(work)
