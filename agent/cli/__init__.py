"""The command line: one file a command, found in the table below and imported only when it is asked for.

A command is a module with DESCRIPTION, EXAMPLES, `add_arguments(parser)` and `main(args) -> exit status`.
Statuses: 0 good; 1 unhealthy, timed out or failed at run time; 2 usage or configuration (`healthcheck`: 1).
What `healthcheck` needs is imported from here on; it does without typing, argparse and the like (see its test).
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from agent import __version__

COMMANDS = {
    "run": ("agent.cli.run", "run the agent (this is also what no command means)"),
    "validate": ("agent.cli.validate", "say what is wrong with configuration files, all of it at once"),
    "explain": ("agent.cli.explain", "say how fast a configuration sees faults, and what it risks"),
    "simulate": ("agent.cli.simulate", "play scripted probe outcomes through the rules, on a virtual clock"),
    "check": ("agent.cli.check", "run every configured check once, now"),
    "healthcheck": ("agent.cli.healthcheck", "ask a running agent, for Docker's HEALTHCHECK and exec probes"),
    "status": ("agent.cli.status", "show what a running agent thinks of its containers, once or again and again"),
    "wait": ("agent.cli.wait", "wait until a running agent says ready, live or started"),
    "report": ("agent.cli.report", "say which restarts a dry run would have done, and what would have changed that"),
    "admin": ("agent.cli.admin", "give a running agent an operator's orders: restart, maintenance, drain, reload"),
    "drain": ("agent.cli.drain", "take a container out of service and wait until nothing is in flight, for preStop"),
    "presets": ("agent.cli.presets", "list what is known of model servers, or spell one out"),
    "render": ("agent.cli.render", "put the agent beside the server: a deployment from what there is"),
    "schema": ("agent.cli.schema", "print the JSON Schema of the native document"),
    "demo": ("agent.cli.demo", "a small model server with the agent beside it, to play with"),
}
"""Command to module and one-line help."""

LATER: frozenset[str] = frozenset()
"""Commands of the documentation that this version does not have."""

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
PIPE_CLOSED = 141  # 128 + SIGPIPE
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF})
"""What a write to standard output may end with when nobody is to blame but the disk."""


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit status."""
    if argv and argv[0] == "healthcheck":
        return min(_guarded(_healthcheck, list(argv[1:])), 1)
    return _guarded(_dispatch, list(argv))


def _guarded(command: Callable[[list[str]], int], argv: list[str]) -> int:
    """No traceback for what is no bug: Ctrl-C, a reader that has left, a full disk."""
    try:
        status = command(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_CLOSED
    except OSError as trouble:
        if trouble.errno not in UNWRITABLE or trouble.filename is not None or sys.stdout is None:
            raise
        _silence_stdout()
        return _refuse(f"standard output can't be written: {trouble.strerror or trouble}", status=1)
    return status


def _healthcheck(words: list[str]) -> int:
    """It takes its arguments itself, because argparse would cost more than asking, and knows 0 and 1 only."""
    status: int = import_module(COMMANDS["healthcheck"][0]).main(words)
    return status


def _dispatch(argv: list[str]) -> int:
    first = argv[0] if argv else ""
    if first in {"-h", "--help", "help"} and len(argv) == 1:
        print(usage())
        return 0
    if first == "--version":
        print(f"health-agent {__version__}")
        return 0
    if first in LATER:
        return _refuse(f"{first!r} is not in this version ({__version__}); `health-agent --help` lists what is")
    if not first or first.startswith("-"):
        return _run("run", argv)
    if first not in COMMANDS:
        return _refuse(f"there is no command {first!r}{_nearest(first)}; `health-agent --help` lists them")
    return _run(first, argv[1:])


def _run(name: str, argv: list[str]) -> int:
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    module = import_module(COMMANDS[name][0])
    parser = ArgumentParser(
        prog=f"health-agent {name}",
        description=module.DESCRIPTION,
        epilog=f"examples:\n{module.EXAMPLES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,  # a flag of a later version must not change what today's manifests mean
    )
    module.add_arguments(parser)
    try:
        args = parser.parse_args(argv)
    except SystemExit as ended:  # argparse has printed: 0 after --help, 2 after a usage error
        return int(ended.code or 0)
    status: int = module.main(args)
    return status


def usage() -> str:
    """What `health-agent --help` prints."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: health-agent [COMMAND] [OPTION ...]\n\n"
        "Judges a model server's health with the kubelet's semantics, and restarts it safely.\n\n"
        f"commands:\n{commands}\n\n"
        "examples:\n"
        "  health-agent --config config.yaml          run the agent\n"
        "  health-agent validate config.yaml          before it goes anywhere\n"
        "  health-agent wait --for ready --timeout 600\n\n"
        "`health-agent COMMAND --help` tells a command's options; --version the version."
    )


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    found = get_close_matches(word, COMMANDS, n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def _refuse(message: str, *, status: int = 2) -> int:
    print(f"health-agent: {message}", file=sys.stderr)
    return status


def _silence_stdout() -> None:
    """Nobody reads any more: what is still buffered must not fail again when the interpreter closes the stream."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
