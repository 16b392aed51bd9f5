"""Requests to a Kubernetes API server: the mounted service account, TLS always verified, a deadline for each.

No client library: it would cost more memory than the agent itself, and four requests are all that is needed.
"""

import asyncio
import base64
import errno
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agent import __version__
from agent.core.model import EXHAUSTED
from agent.runtimes.aside import aside
from agent.runtimes.kube_answers import ApiError, Rule, refusal, server_time

CALL_SECONDS: Final = 4.0  # below the five that the engine gives a runtime (agent.engine.watch)
_MOST_BYTES: Final = 4 << 20  # of an answer; etcd holds no object larger than 1.5 MiB
_MOST_FILE_BYTES: Final = 1 << 20
_T = TypeVar("_T")
Params = Sequence[tuple[str, str]]


class Account(msgspec.Struct, frozen=True):
    """A service account as it is mounted in a pod; read for each request, since tokens rotate."""

    token: str
    authorities: str  # PEM
    namespace: str  # "" where the file is missing
    claims: Mapping[str, Any]  # what the token says of the pod it is bound to; {} in a token of the old kind


class Memory(msgspec.Struct):
    """What was learnt of one API server; a wrong guess costs one request."""

    eviction: str = "policy/v1"
    quiet_until: float = 0.0  # time.monotonic(): it has asked for silence until then
    freshest: dict[str, str] = {}
    """Path of an object to the resourceVersion it was last seen at."""


_memories: Final[dict[str, Memory]] = {}


def memory(api: str) -> Memory:
    return _memories.setdefault(api, Memory())


class Answer(msgspec.Struct, frozen=True):
    """A success: its body and the server's clock."""

    body: bytes
    now: datetime | None


class Call(msgspec.Struct, frozen=True):
    """One request; ``needs`` is the RBAC rule, named where it is forbidden."""

    path: str
    needs: Rule
    namespace: str
    method: str = "GET"
    params: Params = ()
    document: Any = None
    seconds: float = CALL_SECONDS


class Api(msgspec.Struct, frozen=True):
    """An API server, ``url`` without a slash at its end, and the folder of the account that is shown to it."""

    url: str
    folder: str

    async def account(self) -> Account:
        """The mounted account. Raises OSError with the remedy where it can't be read."""
        return await aside(self, partial(_account, self.folder))

    async def call(self, call: Call) -> Answer:
        """The answer to ``call``. Raises ApiError for every other outcome."""

        async def ask(session: aiohttp.ClientSession) -> Answer:
            data = None if call.document is None else msgspec.json.encode(call.document)
            headers = {} if data is None else {"Content-Type": "application/json"}
            async with session.request(
                call.method, self.at(call.path, call.params), data=data, headers=headers
            ) as answer:
                return Answer(await _body(answer), server_time(answer.headers.get("Date", "")))

        try:
            async with asyncio.timeout(call.seconds):
                return await self.authorized(ask, call.needs.remedy(call.namespace), often=call.method == "GET")
        except TimeoutError as late:
            told = late.strerror or f"{self.url} did not answer within {call.seconds:g} s"
            raise ApiError(errno.ETIMEDOUT, told) from None

    async def authorized(
        self, work: Callable[[aiohttp.ClientSession], Awaitable[_T]], remedy: str, *, often: bool = True
    ) -> _T:
        """``work`` with a session that shows the token; once more where it is not accepted: it may just have rotated.

        ``remedy`` is told where the server says that the account lacks a right. What is asked ``often`` is not asked
        while the server wants silence (429); of other requests that may speak of their subject alone.
        """
        known = memory(self.url)
        left = known.quiet_until - time.monotonic() if often else 0.0
        if left > 0:
            raise ApiError(errno.EBUSY, f"{self.url} has asked not to be asked for {left:.0f} s more", status=429)
        try:
            try:
                return await self._once(work, remedy, await self.account())
            except ApiError as refused:
                if refused.status != 401:
                    raise
            return await self._once(work, remedy, await self.account())
        except ApiError as refused:
            if often and refused.status == 429:
                known.quiet_until = time.monotonic() + (refused.retry_after or 1.0)
            raise

    def at(self, path: str, params: Params = ()) -> URL:
        return URL(self.url + path, encoded=True).with_query(list(params))

    async def _once(self, work: Callable[[aiohttp.ClientSession], Awaitable[_T]], remedy: str, account: Account) -> _T:
        async def judge(answer: aiohttp.ClientResponse) -> None:
            if answer.status == 101 or 200 <= answer.status < 300:
                return
            body = b""
            with suppress(ApiError, aiohttp.ClientError):  # the status says enough
                body = await _body(answer)
            answer.close()
            body = body.replace(account.token.encode(), b"[redacted]")  # no message repeats it
            raise refusal(self.url, remedy, answer.status, answer.headers, body)

        async def turn_back(_session: Any, _context: Any, told: aiohttp.TraceRequestRedirectParams) -> None:
            await judge(told.response)

        tracing = aiohttp.TraceConfig()
        tracing.on_request_redirect.append(turn_back)  # a token is not carried elsewhere
        try:
            context = _context(account.authorities)
        except ssl.SSLError as problem:
            raise ApiError(errno.EINVAL, f"{self.folder}/ca.crt holds no certificate: {problem.reason}") from None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, resolver=_Resolver(), force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),  # each call has its own
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            raise_for_status=judge,
            trace_configs=[tracing],
            headers={
                "Authorization": f"Bearer {account.token}", "User-Agent": f"model-health-agent/{__version__}",
                "Accept": "application/json, */*", "Accept-Encoding": "identity",
            },
        )  # fmt: skip
        try:
            return await work(session)
        except (aiohttp.ClientError, ValueError) as problem:
            raise _broken(self.url, self.folder, problem) from None  # its own text may hold headers
        finally:
            await session.close()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            raise ApiError(errno.EMSGSIZE, f"an answer of more than {_MOST_BYTES >> 20} MiB: is this an API server?")
    return b"".join(parts)


def _broken(url: str, folder: str, problem: Exception) -> ApiError:
    """Why no answer came."""
    cause: Any = getattr(problem, "os_error", None) or getattr(problem, "certificate_error", None) or problem
    number = getattr(cause, "errno", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ApiError(
            errno.EPROTO,
            f"the certificate of {url} is not good by {folder}/ca.crt: {cause.verify_message}; runtime.kubernetes.api "
            "must be the address of the cluster whose service account is mounted",
        )
    if isinstance(cause, ssl.SSLError):
        return ApiError(errno.EPROTO, f"{url} does not speak TLS: {cause.reason or 'the handshake broke off'}")
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return ApiError(errno.EHOSTUNREACH, f"{url}: no address of this name: {cause.strerror}")
    if isinstance(problem, aiohttp.ClientConnectorError):
        why = os.strerror(number) if number else cause.strerror
        told = f"cannot connect to {url}: {why}; is it the API server, and does a NetworkPolicy allow it?"
        return ApiError(number or errno.ECONNREFUSED, told)
    if isinstance(problem, aiohttp.ClientError):
        told = f"the answer of {url} broke off, or was none: {type(problem).__name__}"
        return ApiError(number or errno.ECONNRESET, told)
    return ApiError(errno.EINVAL, f"{url} can't be asked: {type(problem).__name__}")


class _Resolver(AbstractResolver):
    """Looks names up aside: one that hangs must neither fill the loop's pool nor be waited for at the end."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await aside("API server's name", partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM))
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
            for kind, _, _, _, address in found
        ]

    async def close(self) -> None: ...


@lru_cache(maxsize=4)
def _context(authorities: str) -> ssl.SSLContext:
    """Verifies chain and name. Not `create_default_context`: since Python 3.13 that refuses many a cluster's own CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authorities)
    return context


def _account(folder: str) -> Account:
    token = _text(folder, "token")
    authorities = _text(folder, "ca.crt")
    namespace = _text(folder, "namespace") if (Path(folder) / "namespace").exists() else ""
    if not token:
        raise ApiError(errno.EINVAL, f"{folder}/token is empty")
    return Account(token, authorities, namespace, _claims(token))


def _text(folder: str, name: str) -> str:
    try:
        with (Path(folder) / name).open(encoding="ascii", errors="replace") as file:
            return file.read(_MOST_FILE_BYTES).strip()
    except OSError as problem:
        if problem.errno in EXHAUSTED:
            raise
        raise ApiError(
            problem.errno or errno.EIO,
            f"{folder}/{name} can't be read: {problem.strerror}; mount a service account "
            "(automountServiceAccountToken: true), or set runtime.kubernetes.credentials",
        ) from problem


def _claims(token: str) -> Mapping[str, Any]:
    """What a projected token says of its pod; nobody is trusted for it: it only saves writing the pod's name."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return dict(claims["kubernetes.io"])
    except (ValueError, KeyError, TypeError):
        return {}
