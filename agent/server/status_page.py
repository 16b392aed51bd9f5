"""The status page at `/`: one static file under a Content-Security-Policy that permits nothing but what is in it."""

import base64
import hashlib
import re
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from agent.server import answers

PAGE = Path(__file__).parent / "page" / "index.html"


class StatusPage:
    """Read once, when the listener starts."""

    def __init__(self) -> None:
        self._body = PAGE.read_bytes()
        self._headers = CIMultiDict(
            {
                **answers.SAFE,
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": policy(self._body.decode()),
                "Referrer-Policy": "no-referrer",
            }
        )

    def answer(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(body=self._body, headers=self._headers)


def policy(page: str) -> str:
    """Nothing may be loaded, framed, sent or run but the page's own script and style, named by their hashes."""
    scripts = " ".join(_hashes(page, "script"))
    styles = " ".join(_hashes(page, "style"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(page: str, tag: str) -> list[str]:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found]
