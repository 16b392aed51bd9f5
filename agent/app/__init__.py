"""The agent as a process: its configuration, its signals, its end."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.app.agent import Agent
from agent.app.orders import Orders
from agent.app.reloading import Known, Reloader
from agent.config import ConfigError, Loaded, Options, find_sources, listen_port_hint, load
from agent.core.redact import redactor
from agent.core.settings import Config, Log, Server
from agent.log import Output, start
from agent.runtimes import secrets
from agent.server import admin
from agent.server.listen import ListenError

log = logging.getLogger(__name__)


def run(
    *,
    config: Sequence[str] = (),
    environ: Mapping[str, str],
    exec_in: str | None = None,
    threshold_semantics: str | None = None,
    watch_config: bool = False,
    serve_on_config_error: bool = False,
) -> int:
    """Run the agent until it is told to leave; returns its exit status. Blocking: it owns the event loop."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where a parent ignored it, exit statuses would be lost
    environ = dict(environ)  # as first read: a reload sees the same
    sources = find_sources(config, environ)
    options = Options(exec_in=exec_in, threshold_semantics=threshold_semantics)  # type: ignore[arg-type]

    def read() -> Loaded:
        loaded = load(sources, environ, options)
        if loaded.exec_nowhere:
            raise ConfigError(loaded.exec_nowhere)
        return loaded

    loaded, problems = None, []
    known = Known.of(source.path for source in sources if source.path) if watch_config else None
    try:
        loaded = read()
    except ConfigError as wrong:
        problems = wrong.problems
    if loaded is None and not serve_on_config_error:
        for problem in problems:
            _to_stderr(str(problem))
        return 2
    for warning in loaded.warnings if loaded else ():
        _to_stderr(str(warning))
    settings = loaded.config if loaded else Config(
        containers=(), server=Server(port=listen_port_hint(sources, environ)), log=Log()
    )  # fmt: skip
    expanded = redactor(settings.secrets)
    output = start(settings.log, lambda text: secrets.blotted(expanded(text)))
    try:
        for problem in problems:
            log.error("config.invalid", extra={"detail": str(problem)})
        watched = None if known is None else known.also(loaded.files if loaded else ())
        return asyncio.run(_serve(settings, output, read, watched, config_error=loaded is None))
    finally:
        output.stop()


async def _serve(
    config: Config, output: Output, read: Callable[[], Loaded], watched: Known | None, *, config_error: bool
) -> int:
    agent = Agent(config, config_error=config_error)
    agent.bus.subscribe(output.tell)
    reloader, hurried = Reloader(agent, output, read), asyncio.Event()
    tasks: set[asyncio.Task[Any]] = set()
    _heed_signals(agent, reloader, hurried, tasks)
    operators = None
    try:
        if config.admin is not None:
            operators = await admin.start(agent, Orders(agent, reloader), config.admin)
        listener = await agent.start()
    except ListenError as problem:
        log.error("agent.failed", extra={"detail": str(problem)})  # noqa: TRY400 - the message names the remedy
        await _close(operators)
        return 1
    if watched is not None:
        tasks.add(asyncio.create_task(reloader.follow(watched), name="watch-config"))
    await agent.serve_until_told()
    for task in tuple(tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await agent.stop(listener, hurried)
    await _close(operators)
    return agent.exit_status


def _heed_signals(agent: Agent, reloader: Reloader, hurried: asyncio.Event, tasks: set[asyncio.Task[Any]]) -> None:
    """SIGTERM and SIGINT leave in order, a second one without the shutdown delay; SIGHUP reloads."""
    loop = asyncio.get_running_loop()

    def told_to_leave() -> None:
        if agent.stopping:
            hurried.set()
        agent.leave()

    def told_to_reload() -> None:
        if agent.stopping:
            return
        task = loop.create_task(reloader.reload(), name="reload")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_leave)
    loop.add_signal_handler(signal.SIGHUP, told_to_reload)


async def _close(operators: admin.AdminListener | None) -> None:
    if operators is not None:
        await operators.close()


def _to_stderr(text: str) -> None:
    import os

    os.write(2, f"{text}\n".encode(errors="backslashreplace"))
