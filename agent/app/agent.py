"""The wiring of the agent and the order in which it starts and stops; nothing else."""

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from agent import __version__
from agent.config.reload import changed_listeners
from agent.core.redact import redactor
from agent.core.settings import Config
from agent.core.verdict import ContainerView, Standing
from agent.engine.announce import Announcer
from agent.engine.container import Slot
from agent.engine.endings import Endings
from agent.engine.events import Bus
from agent.engine.guard import Guard
from agent.engine.pulse import Pulse
from agent.engine.statefile import Memory, StateFile
from agent.engine.stats import LATENESS_BUCKETS, CheckStats, ContainerStats, Histogram
from agent.engine.throttle import Throttle
from agent.runtimes import secrets
from agent.server.public import Listener
from agent.server.public import start as listen

STAGGER_SECONDS: Final = 0.002  # between the starts of two workers, so that rounds do not beat together
STAGGER_OF_PERIOD: Final = 0.1
FORMER: Final = 100  # containers that were removed, and are remembered should they come back
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
        self.endings = Endings(self._guard_of)
        self.bus.subscribe(self.endings.tell)
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
        self._closing: dict[str, tuple[Guard, asyncio.Task[None]]] = {}  # of removed containers, their actions' end
        self._remembered: dict[str, Memory] = {}  # what is not any guard's: those of before, until theirs are settled
        self._started_workers = 0
        self._footing: asyncio.Task[None] | None = None
        self._throttle: asyncio.Task[None] | None = None

    # -- starting and stopping ---------------------------------------------------------------------------------------

    async def start(self) -> Listener:
        """Everything in its order: pulse, containers, listener, workers. Raises ListenError."""
        self.pulse.start()
        self._throttle = asyncio.create_task(Throttle(self.pulse).run(), name="throttle")
        self._remembered = await self.state_file.recall()
        for spec in self.config.containers:
            self.guards[spec.name] = self._guard(spec)
        await asyncio.gather(*(guard.begin(self._remembered.get(name)) for name, guard in self.guards.items()))
        await self.save()  # a file that can't be written is told now, and not in the middle of a restart
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
        closing = [task for _, task in self._closing.values()]
        await asyncio.gather(*(guard.close() for guard in self.guards.values()), *closing)
        await self.save()
        await self.announcer.close(ANNOUNCEMENTS_SECONDS)
        await self.endings.close()
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
        if self.state_file.path is None:
            return
        known = {**self.guards, **{name: guard for name, (guard, _) in self._closing.items()}}
        names = {*known, *(spec.name for spec in self.config.containers)}
        unsettled = {name: memory for name, memory in self._remembered.items() if name in names}
        settled = {name: guard.memory() for name, guard in known.items() if guard.settled or name not in unsettled}
        await self.state_file.save({**unsettled, **settled})

    async def reload(self, config: Config) -> None:
        """Swap to another configuration at once; what is unchanged goes on undisturbed (contract 3)."""
        for what in changed_listeners(self.config, config):
            log.warning(
                "config.needs_restart",
                extra={"code": "W-RELOAD-RESTART", "detail": f"{what} changed: restart the agent"},
            )
        before, self.config = self.config, config
        if self.config_error:  # from now on there is something to guard
            self.config_error = False
            self.state_file = StateFile(config.state_file)
            self._remembered = await self.state_file.recall()
        self._redact = redactor((*config.secrets, *before.secrets))
        self.details = config.server.details
        names = {spec.name for spec in config.containers}
        for name in [name for name in self.guards if name not in names]:
            gone = self.guards.pop(name)
            closing = asyncio.create_task(gone.close(), name=f"close {name}")  # it finishes its action
            self._closing[name] = (gone, closing)
            closing.add_done_callback(partial(self._closed, name, gone))
        for spec in config.containers:
            guard = self.guards.get(spec.name)
            if guard is None:
                if spec.name in self._closing:  # never two at once, and what the first one did counts
                    await asyncio.wait([self._closing[spec.name][1]])
                    await asyncio.sleep(0)  # for what follows its end
                guard = self._guard(spec)
                await guard.begin(self._remembered.get(spec.name))
                self.guards[spec.name] = guard
                guard.work(self._stagger)
            else:
                await guard.replace(spec)
        self.guards = {spec.name: self.guards[spec.name] for spec in config.containers}
        await self.save()

    def _closed(self, name: str, guard: Guard, _: "asyncio.Task[None]") -> None:
        """A removed container's guard has ended: should the container come back, it is no stranger."""
        self._remembered[name] = guard.memory()
        del self._closing[name]
        while len(self._remembered) > FORMER:
            del self._remembered[next(iter(self._remembered))]

    def _guard(self, spec: Any) -> Guard:
        return Guard(
            spec, bus=self.bus, pulse=self.pulse, lateness=self.lateness, clock=asyncio.get_running_loop().time,
            save=self.save, leave=self.leave, redact=self.redact, remembers=lambda: self.state_file.remembers,
        )  # fmt: skip

    def _guard_of(self, name: str) -> Guard | None:
        return self.guards.get(name)

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
        return secrets.blotted(self._redact(text))

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
