"""The wiring of the agent and the order in which it starts and stops; nothing else."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from agent import __version__
from agent.config import ConfigError, Loaded, Options, find_sources, listen_port_hint, load
from agent.config.reload import changed_listeners, fingerprint
from agent.core.redact import redactor
from agent.core.settings import Config, Log, Server
from agent.core.verdict import ContainerView, Standing
from agent.engine.announce import Announcer
from agent.engine.container import Slot
from agent.engine.events import Bus
from agent.engine.guard import Guard
from agent.engine.pulse import Pulse
from agent.engine.statefile import Memory, StateFile
from agent.engine.stats import LATENESS_BUCKETS, CheckStats, ContainerStats, Histogram
from agent.engine.throttle import Throttle
from agent.log import Output, start
from agent.server.listen import ListenError
from agent.server.public import Listener
from agent.server.public import start as listen

STAGGER_SECONDS: Final = 0.002  # between the starts of two workers, so that rounds do not beat together
STAGGER_OF_PERIOD: Final = 0.1
WATCH_CONFIG_SECONDS: Final = 2.0
ANNOUNCEMENTS_SECONDS: Final = 2.0  # at the agent's end

log = logging.getLogger(__name__)


class Agent:
    """The running agent; it is the `agent.server.Source` that the listener reads."""

    def __init__(self, config: Config, *, config_error: bool = False) -> None:
        self.config = config
        self.config_error = config_error
        self.details: str = config.server.details
        self.bus = Bus()
        self.announcer = Announcer(self._runtime_of)
        self.bus.subscribe(self.announcer.tell)
        self.pulse = Pulse()
        self.lateness = Histogram(LATENESS_BUCKETS)
        self.guards: dict[str, Guard] = {}
        self.state_file = StateFile(config.state_file)
        self.stopping = False
        self.exit_status = 0
        self.reload_successful = not config_error
        self.reload_success_time = 0.0 if config_error else time.time()
        self._redact = redactor(config.secrets)
        self._leave = asyncio.Event()
        self._serving = False
        self._closing: set[asyncio.Task[None]] = set()  # guards of removed containers
        self._started_workers = 0
        self._footing: asyncio.Task[None] | None = None
        self._throttle: asyncio.Task[None] | None = None

    # -- starting and stopping ---------------------------------------------------------------------------------------

    async def start(self) -> Listener:
        """Everything in its order: pulse, containers, listener, workers. Raises ListenError."""
        self.pulse.start()
        self._throttle = asyncio.create_task(Throttle(self.pulse).run(), name="throttle")
        remembered = await self.state_file.recall()
        for spec in self.config.containers:
            self.guards[spec.name] = self._guard(spec)
        await asyncio.gather(*(guard.begin(remembered.get(name)) for name, guard in self.guards.items()))
        listener = await listen(self, self.config.server)
        for guard in self.guards.values():
            guard.work(self._stagger)
        self._serving = True
        self._footing = asyncio.create_task(self.pulse.footing.watch(self._up_again, self.leave), name="footing")
        log.info(
            "agent.started",
            extra={"version": __version__, "addresses": list(listener.addresses), "containers": list(self.guards)},
        )
        return listener

    async def serve_until_told(self) -> None:
        await self._leave.wait()

    def leave(self, code: int = 0) -> None:
        """Leave in order, with this exit status; the first one counts. Told again, the shutdown delay is cut short."""
        if not self._leave.is_set():
            self.exit_status = code
        self.stopping = True
        self._leave.set()

    async def stop(self, listener: Listener, hurried: asyncio.Event) -> None:
        """SIGTERM's order (contract 5): not ready but alive; checks stop; the delay; a running action; then close."""
        self.stopping = True
        if self._footing is not None:
            self._footing.cancel()
            await asyncio.gather(self._footing, return_exceptions=True)
        log.info("agent.stopping", extra={"exit_status": self.exit_status})
        await asyncio.gather(*(guard.stop_checks() for guard in self.guards.values()))
        if self.config.shutdown_delay_seconds > 0:
            done, waiting = await asyncio.wait(
                [asyncio.ensure_future(hurried.wait())], timeout=self.config.shutdown_delay_seconds
            )
            for task in (*done, *waiting):
                task.cancel()
        await asyncio.gather(*(guard.close() for guard in self.guards.values()), *self._closing)
        await self.save()
        await self.announcer.close(ANNOUNCEMENTS_SECONDS)
        await listener.close()
        if self._throttle is not None:
            self._throttle.cancel()
        self.pulse.stop()
        log.info("agent.stopped", extra={"exit_status": self.exit_status})

    async def _up_again(self) -> bool | None:
        """Whether a runtime tells of a container that runs; None where none of them can say."""
        told = await asyncio.gather(*(guard.watch.identify() for guard in self.guards.values()))
        if any(told):
            return True
        return False if any(guard.watch.absent for guard in self.guards.values()) else None

    async def save(self) -> None:
        if self.state_file.path is not None:
            await self.state_file.save({name: guard.memory() for name, guard in self.guards.items()})

    async def reload(self, config: Config) -> None:
        """Swap to another configuration at once; what is unchanged goes on undisturbed (contract 3)."""
        for what in changed_listeners(self.config, config):
            log.warning(
                "config.needs_restart",
                extra={"code": "W-RELOAD-RESTART", "detail": f"{what} changed: restart the agent"},
            )
        before, self.config = self.config, config
        remembered: dict[str, Memory] = {}
        if self.config_error:  # from now on there is something to guard
            self.config_error = False
            self.state_file = StateFile(config.state_file)
            remembered = await self.state_file.recall()
        self._redact = redactor((*config.secrets, *before.secrets))
        self.details = config.server.details
        names = {spec.name for spec in config.containers}
        for name in [name for name in self.guards if name not in names]:
            closing = asyncio.create_task(self.guards.pop(name).close(), name=f"close {name}")  # it finishes its action
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        for spec in config.containers:
            guard = self.guards.get(spec.name)
            if guard is None:
                guard = self._guard(spec)
                await guard.begin(remembered.get(spec.name))
                self.guards[spec.name] = guard
                guard.work(self._stagger)
            else:
                await guard.replace(spec)
        self.guards = {spec.name: self.guards[spec.name] for spec in config.containers}
        await self.save()

    def _guard(self, spec: Any) -> Guard:
        return Guard(
            spec, bus=self.bus, pulse=self.pulse, lateness=self.lateness, clock=asyncio.get_running_loop().time,
            save=self.save, leave=self.leave, redact=self.redact,
        )  # fmt: skip

    def _runtime_of(self, name: str) -> Any:
        guard = self.guards.get(name)
        return None if guard is None else guard.container.spec.runtime

    def _stagger(self, slot: Slot) -> float:
        self._started_workers += 1
        return min((self._started_workers - 1) * STAGGER_SECONDS, slot.check.period_seconds * STAGGER_OF_PERIOD)

    # -- what the listener reads ---------------------------------------------------------------------------------------

    @property
    def loop_lag_seconds(self) -> float:
        return self.pulse.lag_seconds

    def views(self) -> list[ContainerView]:
        return [guard.view() for guard in self.guards.values()]

    def standings(self) -> list[Standing]:
        return [guard.standing() for guard in self.guards.values()]

    def view(self, name: str) -> ContainerView | None:
        guard = self.guards.get(name)
        return None if guard is None else guard.view()

    def history(self, name: str) -> dict[str, list[dict[str, Any]]]:
        return self.guards[name].history()

    def asked_startup(self, name: str) -> bool:
        return self.guards[name].asked_startup()

    def redact(self, text: str) -> str:
        return self._redact(text)

    def healthy(self) -> list[str]:
        if self.stopping:
            return []
        gone = ["network namespace"] if self.pulse.footing.lost() else []
        if self._footing is not None and self._footing.done():
            gone.append(self._footing.get_name())
        return [*gone, *(name for guard in self.guards.values() for name in guard.healthy())]

    def serving(self) -> bool:
        return self._serving and not self.config_error

    def check_stats(self) -> Iterable[tuple[str, str, str, str, CheckStats]]:
        for name, guard in self.guards.items():
            for slot in guard.container.slots:
                yield name, str(slot.check.type), slot.check.name, slot.check.method, slot.stats

    def container_stats(self) -> Iterable[tuple[str, ContainerStats]]:
        for name, guard in self.guards.items():
            yield name, guard.stats


class Reloader:
    """Reads the configuration again when told, and swaps only what was read without an error."""

    def __init__(self, agent: Agent, output: Output, read: Callable[[], Loaded]) -> None:
        self.agent, self.output, self.read = agent, output, read
        self._lock = asyncio.Lock()

    async def reload(self) -> None:
        """Read and swap; a bug on the way is told and leaves whoever asked for it alive."""
        async with self._lock:
            try:
                await self._reload()
            except Exception:
                self.agent.reload_successful = False
                log.exception("config.reload_failed")

    async def _reload(self) -> None:
        agent = self.agent
        try:
            loaded = await asyncio.to_thread(self.read)
        except ConfigError as wrong:
            agent.reload_successful = False
            for problem in wrong.problems:
                log.error("config.invalid", extra={"detail": str(problem)})  # noqa: TRY400 - the message is all
            return
        if agent.stopping:  # nothing begins any more
            return
        _warn(loaded)
        await agent.reload(loaded.config)
        self.output.configure(loaded.config.log, agent.redact)
        agent.reload_successful, agent.reload_success_time = True, time.time()
        log.info("config.reloaded", extra={"containers": list(agent.guards)})

    async def follow(self, files: Sequence[str]) -> None:
        """Reload whenever the files' content changes; a ConfigMap's swap of links is one such change."""
        last = await asyncio.to_thread(fingerprint, files)
        while True:
            await asyncio.sleep(WATCH_CONFIG_SECONDS)
            now = await asyncio.to_thread(fingerprint, files)
            if now != last:
                last = now
                await self.reload()


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
    output = start(settings.log, redactor(settings.secrets))
    try:
        for problem in problems:
            log.error("config.invalid", extra={"detail": str(problem)})
        files = loaded.files if loaded else [s.path for s in sources if s.path]
        return asyncio.run(_serve(settings, output, read, files if watch_config else [], config_error=loaded is None))
    finally:
        output.stop()


async def _serve(
    config: Config, output: Output, read: Callable[[], Loaded], followed: Sequence[str], *, config_error: bool
) -> int:
    agent = Agent(config, config_error=config_error)
    agent.bus.subscribe(output.tell)
    loop, hurried = asyncio.get_running_loop(), asyncio.Event()
    reloader = Reloader(agent, output, read)
    tasks: set[asyncio.Task[None]] = set()

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
    try:
        listener = await agent.start()
    except ListenError as problem:
        log.error("agent.failed", extra={"detail": str(problem)})  # noqa: TRY400 - the message names the remedy
        return 1
    if followed:
        tasks.add(loop.create_task(reloader.follow(followed), name="watch-config"))
    await agent.serve_until_told()
    for task in tuple(tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await agent.stop(listener, hurried)
    return agent.exit_status


def _warn(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        log.warning("config.warning", extra={"code": warning.code, "detail": str(warning)})


def _to_stderr(text: str) -> None:
    import os

    os.write(2, f"{text}\n".encode(errors="backslashreplace"))
