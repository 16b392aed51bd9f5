"""Which of the processes that fit a description is the server: pure, over what /proc told."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec

from agent.runtimes.proc import Seen

LAUNCHERS: Final = frozenset(
    "sh ash bash dash ksh zsh busybox tini dumb-init docker-init catatonit su sudo timeout uv".split()  # noqa: SIM905 - a list of words
)
"""Programs that start a server, wait for it, and spell out its command line in their own."""

INITS: Final = frozenset({"tini", "dumb-init", "docker-init", "catatonit"})
PAUSES: Final = frozenset({"pause", "pod"})
"""PID 1 of a pod with shareProcessNamespace, by engine; it is the pod's and never a server."""


class Candidate(msgspec.Struct, frozen=True):
    """A process whose command line, or socket, fits."""

    seen: Seen
    command: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        return PurePosixPath(self.command[0]).name if self.command else self.seen.name

    @property
    def text(self) -> str:
        return " ".join(self.command).strip()


def choose(fitting: Mapping[int, Candidate], above_agent: Collection[int]) -> Candidate | None:
    """The server among the ``fitting``: the oldest whose parent does not fit, so the master of a pool of workers.

    A shell, an init or a supervisor that spells the server's command line in its own fits too; it is passed over for
    the process that it runs. Where nothing else fits a shell is taken for the server, unless the agent runs under it
    (``above_agent``): then it is what started both.
    """
    roots = sorted((one for one in fitting.values() if one.seen.parent not in fitting), key=_age)
    found = [_server_under(root, fitting) for root in roots]
    servers = [one for one in found if one.program not in LAUNCHERS]
    return next(iter(servers or [one for one in found if one.seen.pid not in above_agent]), None)


def _server_under(top: Candidate, fitting: Mapping[int, Candidate]) -> Candidate:
    run_by_it = [one for one in fitting.values() if one.seen.parent == top.seen.pid and _launches(top, one)]
    servers = [_server_under(one, fitting) for one in sorted(run_by_it, key=_age)]
    return next((one for one in servers if one.program not in LAUNCHERS), top)


def _launches(parent: Candidate, child: Candidate) -> bool:
    """Whether ``parent`` merely runs ``child``: workers of a pool have their master's command line, or another."""
    return parent.program in LAUNCHERS or (child.text not in ("", parent.text) and child.text in parent.text)


def _age(one: Candidate) -> tuple[int, int]:
    return one.seen.age_key


def alone(commands: Mapping[int, Sequence[str]], agent: int, above: Collection[int], below: Collection[int]) -> bool:
    """Whether the agent sees nothing but itself: then the pid namespace is its own and no server will ever show."""
    for pid, command in commands.items():
        ours = pid == agent or pid in below
        init = pid in above and bool(command) and PurePosixPath(command[0]).name in INITS
        if command and not ours and not init:
            return False
    return agent in commands
