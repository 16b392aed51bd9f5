"""The shapes of the public listener's answers: plain text and JSON, never cached, never sniffed."""

from typing import Any, Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

SAFE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "health-agent"}
TEXT: Final = CIMultiDict({"Content-Type": "text/plain; charset=utf-8", **SAFE})
JSON: Final = CIMultiDict({"Content-Type": "application/json", **SAFE})


def text(body: str, status: int = 200, **headers: str) -> web.Response:
    return web.Response(body=body.encode(), status=status, headers=CIMultiDict(TEXT, **headers) if headers else TEXT)


def json(document: Any, status: int = 200, **headers: str) -> web.Response:
    body = msgspec.json.encode(document)
    return web.Response(body=body, status=status, headers=CIMultiDict(JSON, **headers) if headers else JSON)


def wants_json(request: web.BaseRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def shown(name: str) -> str:
    """A name that a client sent, fit for a message."""
    return ascii(name[:80])
