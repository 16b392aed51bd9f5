"""The inference check: a canary, one real request that the model must work for, sent only where it can do no harm."""

import asyncio
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent import __version__
from agent.core.canary import OVERLOAD_FACTOR, hold_back, silence, tells
from agent.core.model import Outcome, Result, Target, error, failure, success
from agent.core.remembered import CANARY, Saying, canary, canary_answered, canary_failed, canary_sent, passive, say
from agent.core.settings import PositiveSeconds, Seconds
from agent.probes.parts.apis import APIS, Name, body_of, path_of
from agent.probes.parts.exchange import Answer, exchange
from agent.probes.parts.expect import Expect
from agent.probes.parts.faults import Fault
from agent.probes.parts.names import control_problem, host_problem
from agent.probes.parts.request import Header, compose, custom_host, read_fields
from agent.probes.parts.tls import Tls
from agent.probes.parts.url import first_url

MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer that are read: an embedding of 4096 numbers takes some 80 KiB."""

_MAX_BODY: Final = 65536
_FLIGHT: Final = "canary flight"
_LOAD: Final = "canary load"
_MARKS: Final = (("X-Health-Check", "canary"), ("User-Agent", f"model-health-agent/{__version__}"))
_HELD: Final = {
    "cooldown": "the last canary was not answered in its time, and the work in flight has not fallen since",
    "overload": "requests are waiting: another one would tell nothing and only add to them",
    "progress": "the server is seen to do its work",
}

_Port = Annotated[int, Meta(ge=1, le=65535)]


class Inference(msgspec.Struct, frozen=True, kw_only=True):
    """Sends one small request that the model must work for. Success: an answer from 200 to 299 with a result in it.

    At most one is under way for each container, and its connection is closed at the time-out. None is sent while the
    server is seen to work, nor while requests wait, nor soon after one that was not answered: such rounds do not count.
    No answer is hung where no work was done meanwhile, and nothing where some was. Where no metrics tell, the canary
    alone decides, after overload_timeout_seconds.
    """

    api: Annotated[Name, Meta(description="what is asked; custom: path, method and body say so")] = "custom"
    model: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="its name; null: the server's only one")
    ] = None
    path: Annotated[str | None, Meta(description="path and query; null: the api's")] = None
    method: Annotated[
        Literal["GET", "POST", "PUT"] | None, Meta(description="null: POST, or GET where there is no body")
    ] = None
    body: Annotated[
        Annotated[str, Meta(max_length=_MAX_BODY)] | dict[str, Any] | None,
        Meta(description="text, or a map that is sent as JSON, laid over the api's own"),
    ] = None
    expect: Annotated[
        Expect | None, Meta(description="null: a status of 200 to 299, and the api's kind of result in the body")
    ] = None
    http_headers: Annotated[
        tuple[Header, ...], Meta(description="added to X-Health-Check: canary, User-Agent and Content-Type")
    ] = ()
    port: Annotated[_Port | str | None, Meta(description="number or name; null: the container's")] = None
    host: Annotated[str | None, Meta(description="null: the container's host")] = None
    scheme: Annotated[Literal["http", "https"], Meta(description="https verifies nothing unless `tls` says so")] = (
        "http"
    )
    tls: Annotated[Tls | None, Meta(description="null: nothing is verified, as the kubelet")] = None
    quiet_seconds: Annotated[
        Seconds, Meta(description="none is sent while metrics have shown progress within so many seconds")
    ] = 30.0
    cooldown_seconds: Annotated[
        Seconds, Meta(description="after one that was not answered, unless the work in flight falls before")
    ] = 60.0
    overload_timeout_seconds: Annotated[
        PositiveSeconds | None,
        Meta(description="the time-out where no metrics tell busy from hung; null: four times timeout_seconds, so 120"),
    ] = None
    warm: Annotated[
        bool, Meta(description="on readiness: the first good answer is waited for, whatever work is seen")
    ] = False

    default_timeout_seconds: ClassVar[float] = 30.0
    tries: ClassVar[int] = 1  # it may be the very load that the server has too much of

    def check_options(self) -> list[tuple[str, str]]:
        """What the types cannot say, as (path below this check, message)."""
        problems = [*self._missing(), *self._unfit()]
        blocks = [(f"http_headers[{index}]", header) for index, header in enumerate(self.http_headers)]
        for name, block in [*blocks, ("tls", self.tls), ("expect", self.expect)]:
            if block is not None:
                problems += [(f"{name}.{path}", message) for path, message in block.check_options()]
        return problems

    def _missing(self) -> list[tuple[str, str]]:
        api = APIS[self.api]
        problems = []
        if path_of(api, self.path, self.model) is None:
            wanted = "a path" if api.path is None else "the name of the model, or a path"
            problems.append(("path" if api.path is None else "model", f"api {self.api} needs {wanted}"))
        if api.path is not None and body_of(api, self.body, self.model) is None:
            problems.append(("body", f"api {self.api} needs a body: what this model takes is its owner's knowledge"))
        if self.api == "ollama" and self.model is None and self.body is None:
            problems.append(("model", "api ollama needs the name of the model"))
        return problems

    def _unfit(self) -> list[tuple[str, str]]:
        found = [
            ("path", control_problem(self.path or "")),
            ("model", control_problem(self.model or "")),
            ("host", None if self.host is None else host_problem(self.host)),
        ]
        if self.method == "GET" and self.body is not None:
            found.append(("body", "has no effect with method GET"))
        if len(self._content() or b"") > _MAX_BODY:
            found.append(("body", f"is longer than {_MAX_BODY} bytes"))
        return [(path, message) for path, message in found if message is not None]

    # -- one look ----------------------------------------------------------------------------------------------------

    async def probe(self, target: Target) -> Result:
        loop = asyncio.get_running_loop()
        patience = loop.time() + target.timeout
        while (flight := self._others(target)) is not None:
            if not await flight.over(patience - loop.time()):
                return error("skipped_busy", "another canary is still under way")
        now = loop.time()
        flight = target.seen.get(_FLIGHT)
        if flight is None:
            held = hold_back(
                canary(target.seen), passive(target.seen), now, load=target.seen.get(_LOAD),
                quiet=self.quiet_seconds, cooldown=self.cooldown_seconds, warm=self.warm,
            )  # fmt: skip
            if held == "progress":
                say(target, Saying())  # whatever an earlier canary met, the server works
            if held:
                return error("skipped_busy", _HELD[held])
            flight = _Flight(self, target, now)
        end = flight.sent_at + self._answer_within(target)
        if end <= now:
            return error("skipped_busy", "another canary is still under way")
        try:
            async with asyncio.timeout_at(end):
                result = await flight.landed()
        except TimeoutError:
            return self.late(target)
        say(target, Saying())  # whatever the answer, it is not silent
        return result

    def _others(self, target: Target) -> "_Flight | None":
        """The canary under way, where it asks something else: there is one at a time for each container."""
        flight: _Flight | None = target.seen.get(_FLIGHT)
        return None if flight is None or flight.key == self._key(target) else flight

    def deadline(self, target: Target) -> float:
        """Seconds that a look may take: its answer's, and its time-out once more to wait for another's canary."""
        return self._answer_within(target) + (0.0 if self._others(target) is None else target.timeout)

    def _answer_within(self, target: Target) -> float:
        """Seconds that an answer may take: more where nothing else tells busy from hung."""
        now = asyncio.get_running_loop().time()
        known = tells(passive(target.seen), now, quiet=self.quiet_seconds)
        return target.timeout if known else self.alone_after(target.timeout)

    def alone_after(self, timeout: float) -> float:
        """Seconds after which the canary alone decides."""
        alone = self.overload_timeout_seconds
        return max(timeout, OVERLOAD_FACTOR * timeout if alone is None else alone)

    def late(self, target: Target) -> Result:
        """The deadline has passed without an answer."""
        now = asyncio.get_running_loop().time()
        sent, work = canary(target.seen), passive(target.seen)
        if sent is None:  # the look ended before one was sent
            return failure("timeout", "no answer")
        target.seen[CANARY] = canary_failed(sent, now, overdue=True)
        target.seen[_LOAD] = work.in_flight
        waited = f"no answer within {now - sent.sent_at:.1f} s"
        meaning = silence(work, sent_at=sent.sent_at, now=now, alone_after=self.alone_after(target.timeout))
        if meaning == "busy":
            say(target, Saying())
            return error("skipped_busy", f"{waited}, which says nothing: other work is done")
        detail = f"{waited}, and no work was done meanwhile" if meaning == "hung" else waited
        say(target, Saying("hung", detail=f"a canary had {detail}"))
        return failure(meaning, detail)

    def _key(self, target: Target) -> tuple[Any, ...]:
        """What makes two checks' canaries the same one."""
        place = (self.scheme, self.host or target.host, target.port_of(self.port), self.tls)
        return (*place, self.api, self.model, self.path, self.method, self.body, self.expect, self.http_headers)

    def _content(self) -> bytes | None:
        """The request's body as it is sent."""
        body = body_of(APIS[self.api], self.body, self.model)
        if body is None or self.method == "GET":
            return None
        return body.encode() if isinstance(body, str) else msgspec.json.encode(body)

    async def ask(self, target: Target) -> Answer:
        """Send the request and read its answer. Raises Fault or OSError; no deadline of its own."""
        host, port = self.host or target.host, target.port_of(self.port)
        fields: list[tuple[str, str]] = list(await read_fields(self.http_headers))
        given = {name for name, _ in fields}
        content = self._content()
        kind = () if content is None else (("Content-Type", _content_type(content)),)
        fields += [(name, value) for name, value in (*_MARKS, *kind) if name not in given]
        method = self.method or ("GET" if content is None else "POST")
        url = first_url(self.scheme, host, port, path_of(APIS[self.api], self.path, self.model) or "/")
        request = compose(method, url, fields, host=custom_host(fields), body=content)
        return await exchange(url, self.tls, request, MAX_ANSWER)

    async def judge(self, answer: Answer) -> Result:
        """Whether the answer is what was asked for. Raises OSError where an expectation could not be tried."""
        status, api = answer.status, APIS[self.api]
        listed = None if self.expect is None else self.expect.accepts(status)
        if not listed and status in api.busy:
            return error("skipped_busy", f"statuscode: {status}, which only says that there is too much to do")
        if listed is None and not 200 <= status < 300:
            return failure("status", f"the canary ended with statuscode: {status}")
        if listed is False:
            return failure("expectation", f"statuscode: {status}, which `expect.status` does not list")
        expect = self.expect or (Expect(body_contains=api.holds) if api.holds else None)
        unmet = None if expect is None else await expect.unmet(answer.body, MAX_ANSWER)
        return success(f"statuscode: {status}") if unmet is None else failure("expectation", unmet)


class _Flight:
    """A request under way. The checks of a container that would ask the same wait for the same one."""

    def __init__(self, method: Inference, target: Target, now: float) -> None:
        self.key = method._key(target)  # noqa: SLF001 - they are two halves of one thing
        self.sent_at = now
        self.seen = target.seen
        self._waiting = 0
        self._ended = asyncio.Event()
        self.seen[_FLIGHT] = self
        self.seen[CANARY] = canary_sent(canary(self.seen), now)
        self._task = asyncio.create_task(self._fly(method, target), name=f"canary {target.container}")
        self._task.add_done_callback(_retrieve)

    async def landed(self) -> Result:
        """What came of it. Whoever is last to leave before closes the connection. Raises what the request raised."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._end()

    async def over(self, seconds: float) -> bool:
        """Wait for its end, for so long at most; whether it came."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _fly(self, method: Inference, target: Target) -> Result:
        try:
            result = await method.judge(await method.ask(target))
        except Fault as fault:
            # A body that breaks off is no answer either; what the agent itself lacks says nothing of the server.
            result = fault.result() if fault.reason == "internal" else failure(fault.reason, fault.detail)
        before = self.seen[CANARY]
        now = asyncio.get_running_loop().time()
        if result.outcome is Outcome.SUCCESS:
            self.seen[CANARY] = canary_answered(before, now)
        elif result.outcome is Outcome.FAILURE:
            self.seen[CANARY] = canary_failed(before, now, overdue=False)
        elif result.reason == "skipped_busy":  # an answer all the same
            self.seen[CANARY] = replace(before, overdue=None)
        return result

    def _end(self) -> None:
        self._task.cancel()
        self._ended.set()
        if self.seen.get(_FLIGHT) is self:
            del self.seen[_FLIGHT]
        self.seen[CANARY] = replace(self.seen[CANARY], in_flight=False)


def _retrieve(task: "asyncio.Task[Result]") -> None:
    """Nobody may be waiting for it any more: that is no reason for a warning."""
    if not task.cancelled():
        task.exception()


def _content_type(content: bytes) -> str:
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json"
