"""Tells a URL of a restart: an action's, or a hook's; signed, never redirected, and without a secret in any message."""

import hashlib
import hmac
import re
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from agent import __version__
from agent.actions import ActionError, Order
from agent.runtimes.aside import aside
from agent.runtimes.secrets import remember

SIGNATURE: Final = "X-Health-Agent-Signature"
TRY_AGAIN: Final = frozenset({408, 425, 429})
"""Of the refusals, those that the same request may not meet again."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_SECRET_BYTES: Final = 65536


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A request header; exactly one of value and value_file."""

    name: str
    value: str | None = None
    value_file: Annotated[str | None, Meta(description="read at each request; line ends at its end are left out")] = (
        None
    )


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver is told of the event as a JSON body; any 2xx is good, and a redirect is not followed."""

    url: Annotated[str, Meta(description="http or https; its path, query and user are shown nowhere")]
    method: str = "POST"
    http_headers: tuple[Header, ...] = ()
    secret_file: Annotated[
        str | None,
        Meta(description=f"key of {SIGNATURE}: sha256=HMAC; read each time; line ends at its end are left out"),
    ] = None

    retries: ClassVar[bool] = True

    def check_options(self) -> list[tuple[str, str]]:
        found = [] if _is_url(self.url) else [("url", "must be http://HOST... or https://HOST..., percent-encoded")]
        if not _TOKEN.fullmatch(self.method):
            found.append(("method", "is no HTTP method"))
        for index, header in enumerate(self.http_headers):
            path = f"http_headers[{index}]"
            if not _TOKEN.fullmatch(header.name):
                found.append((f"{path}.name", "is no header name"))
            if (header.value is None) == (header.value_file is None):
                found.append((path, "exactly one of value and value_file is needed"))
            if set(header.value or "") & set("\r\n\0"):
                found.append((f"{path}.value", "holds a line end or a NUL character"))
        return found

    async def act(self, order: Order) -> None:
        body = msgspec.json.encode(order.document())
        try:
            headers = await aside(("webhook", self.url), partial(self._headers, body))  # a file may hang
        except OSError as problem:
            raise ActionError(f"its files can't be read: {problem.strerror or problem}") from problem
        status = await self._send(body, headers)
        if not 200 <= status <= 299:
            redirect = ", a redirect, which is not followed" if 300 <= status <= 399 else ""
            final = 300 <= status <= 499 and status not in TRY_AGAIN
            raise ActionError(f"{_place(self.url)} answered {status}{redirect}", final=final)

    def _headers(self, body: bytes) -> list[tuple[str, str]]:
        found = [
            (one.name, one.value if one.value is not None else _secret(one.value_file)) for one in self.http_headers
        ]
        given = {name.lower() for name, _ in found}
        ours = {"Content-Type": "application/json", "User-Agent": f"model-health-agent/{__version__}"}
        found += [(name, value) for name, value in ours.items() if name.lower() not in given]
        if self.secret_file is not None:
            key = _secret(self.secret_file).encode(errors="surrogateescape")
            found.append((SIGNATURE, f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"))
        return found

    async def _send(self, body: bytes, headers: list[tuple[str, str]]) -> int:
        import aiohttp
        from yarl import URL

        connector = aiohttp.TCPConnector(force_close=True)
        client = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # the remedy's deadline
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        try:
            async with (
                client,
                client.request(
                    self.method, URL(self.url, encoded=True), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):  # its body is not read
                return answer.status
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise ActionError(f"{_place(self.url)}: {_told(problem)}") from None  # its own text may hold URL or headers


def _told(problem: Exception) -> str:
    cause = getattr(problem, "os_error", problem)
    return str(getattr(cause, "strerror", None) or type(problem).__name__)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def _place(url: str) -> str:
    """Scheme, host and port: all of a URL that may be shown."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _secret(path: str | None) -> str:
    if path is None:
        raise ActionError("a header has neither value nor value_file")
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MOST_SECRET_BYTES).decode(errors="surrogateescape").rstrip("\r\n")
    except OSError as problem:
        raise ActionError(f"{path} can't be read: {problem.strerror}") from problem
    if not text:
        raise ActionError(f"{path} is empty")
    return remember(text)
