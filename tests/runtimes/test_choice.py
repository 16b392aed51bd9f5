"""Of all the processes whose command line fits, the server is chosen: the master of its workers, and no launcher."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtimes.choice import Candidate, alone, choose
from agent.runtimes.proc import Seen

SERVER = "python server.py --port 8000"


def fitting(*rows: tuple[int, int, str]) -> dict[int, Candidate]:
    """Candidates of (pid, parent, command); a command of several words in one argument is marked with quotes."""
    found = {}
    for pid, parent, command in rows:
        head, quoted, rest = command.partition(" '")
        words = (*head.split(), rest.rstrip("'")) if quoted else tuple(head.split())
        found[pid] = Candidate(Seen(pid=pid, parent=parent, started=pid), words)
    return found


def chosen(*rows: tuple[int, int, str], above: tuple[int, ...] = ()) -> int | None:
    found = choose(fitting(*rows), above)
    return None if found is None else found.seen.pid


def test_nothing_fits_nothing_is_chosen() -> None:
    assert chosen() is None


def test_the_oldest_of_several_is_chosen() -> None:
    assert chosen((20, 1, "python server.py"), (10, 1, "python server.py"), (30, 1, "tail -f server.py.log")) == 10


def test_the_master_of_a_pool_is_chosen_though_numbers_have_wrapped() -> None:
    assert chosen((90, 1, SERVER), (91, 90, SERVER), (92, 90, SERVER)) == 90
    rows = fitting((90, 1, SERVER), (5, 90, SERVER))
    rows[90] = Candidate(Seen(pid=90, parent=1, started=4), rows[90].command)
    found = choose(rows, ())
    assert found is not None
    assert found.seen.pid == 90


@pytest.mark.parametrize(
    "launcher",
    [
        f"/bin/sh -c '{SERVER}'",
        f"bash -c 'while true; do {SERVER}; sleep 1; done'",
        f"/sbin/docker-init -- {SERVER}",
        f"/usr/bin/tini -- {SERVER}",
        f"uv run {SERVER}",
        f"python supervise.py {SERVER}",
        f"conda run -n env {SERVER}",
    ],
)
def test_a_launcher_is_passed_over_for_the_server_that_it_runs(launcher: str) -> None:
    assert chosen((1, 0, launcher), (7, 1, SERVER)) == 7
    assert chosen((1, 0, launcher), (7, 1, SERVER), (8, 7, SERVER)) == 7


def test_a_script_that_its_interpreter_renames_is_found_below_its_init() -> None:
    assert chosen((1, 0, "tini -- vllm serve model"), (7, 1, "/usr/bin/python3 /usr/bin/vllm serve model")) == 7


def test_launchers_in_a_row_are_all_passed_over() -> None:
    assert chosen((1, 0, f"tini -- sh -c '{SERVER}'"), (6, 1, f"sh -c '{SERVER}'"), (7, 6, SERVER)) == 7


def test_a_subshell_beside_the_server_is_no_server() -> None:
    line = f"sh -c '{SERVER} | tee log'"
    assert chosen((5, 1, line), (6, 5, line), (7, 5, SERVER)) == 7


def test_a_launcher_is_no_server_where_what_it_runs_does_not_stand_right_below() -> None:
    assert chosen((5, 1, f"bash -c 'wrapper {SERVER}'"), (9, 8, SERVER)) == 9


def test_a_shell_script_that_is_the_server_is_chosen() -> None:
    assert chosen((5, 1, "/bin/sh /opt/server.py")) == 5


def test_the_shell_that_started_server_and_agent_is_no_server_while_the_server_is_down() -> None:
    line = f"sh -c 'health-agent run & {SERVER}'"
    assert chosen((1, 0, line), above=(1,)) is None
    assert chosen((1, 0, line), (7, 1, SERVER), above=(1,)) == 7


def test_the_server_may_be_the_agents_own_parent() -> None:
    """An entry point starts the agent in the background and then becomes the server."""
    assert chosen((1, 0, SERVER), above=(1,)) == 1


def test_sockets_alone_choose_the_master_that_holds_them() -> None:
    held = {pid: Candidate(Seen(pid=pid, parent=parent, started=pid)) for pid, parent in ((4, 1), (5, 4), (6, 4))}
    found = choose(held, ())
    assert found is not None
    assert found.seen.pid == 4


COMMANDS = st.sampled_from(
    ["sh -c 'python server.py'", "tini -- python server.py", "python server.py", "python worker"]
)


@given(st.dictionaries(st.integers(2, 12), st.tuples(st.integers(0, 12), COMMANDS), max_size=8))
def test_any_set_with_a_root_gives_one_of_itself_and_never_a_worker(table: dict[int, tuple[int, str]]) -> None:
    rows = fitting(*((pid, parent, command) for pid, (parent, command) in table.items() if parent < pid))
    found = choose(rows, ())
    assert (found is None) == (not rows)
    if found is not None:
        assert rows[found.seen.pid] is found
        parent = rows.get(found.seen.parent)
        assert parent is None or parent.text != found.text


def test_an_agent_that_sees_only_itself_its_children_and_its_init_is_alone() -> None:
    tini, agent, child, server = ["/sbin/tini", "--"], ["health-agent", "run"], ["sleep", "1"], ["python", "server.py"]
    assert alone({1: agent}, 1, (), ())
    assert alone({1: tini, 7: agent, 9: child}, 7, {1}, {9})
    assert not alone({1: tini, 7: agent, 9: server}, 7, {1}, ())
    assert not alone({1: ["sh", "entry.sh"], 7: agent}, 7, {1}, ())
