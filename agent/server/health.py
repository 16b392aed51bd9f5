"""Answers /healthz, /livez, /ready, /readyz and /startupz, whole or for one container, as kube-apiserver words them."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from agent.core import verdict
from agent.core.verdict import Answer, ContainerView, Endpoint
from agent.server import Source, answers


class Health:
    """One endpoint, bound to what it reads."""

    def __init__(self, source: Source, endpoint: Endpoint) -> None:
        self._source = source
        self._endpoint: Endpoint = endpoint
        self._is_readiness = endpoint in {"ready", "readyz"}
        self._is_request = endpoint in {"healthz", "livez"}

    def whole(self, request: web.BaseRequest) -> web.Response:
        if self._is_plain(request) and verdict.passes(self._endpoint, self._source.standings()):
            return web.Response(body=b"ok", headers=answers.TEXT)
        return self._answer(request, self._source.views())

    def of_one(self, request: web.BaseRequest, name: str) -> web.Response:
        view = self._source.view(name)
        if view is None and not self._source.config_error:
            known = (each.name for each in self._source.views())
            return answers.text(f"{verdict.no_such(answers.shown(name), known)}\n", 404)
        if view is not None and self._endpoint == "startupz" and _is_kubelet(request):
            # First of all: this same request is answered by what it reveals, be there startup checks or not.
            another = self._source.asked_startup(name)
            view = self._source.view(name)
            if another and view is not None:
                view = replace(view, started=False)
        return self._answer(request, [] if view is None else [view])

    @property
    def _in_trouble(self) -> bool:
        """Whatever the containers are, the agent itself is not ready."""
        return self._is_readiness and (self._source.stopping or self._source.config_error)

    def _is_plain(self, request: web.BaseRequest) -> bool:
        return not self._in_trouble and "?" not in request.raw_path and not answers.wants_json(request)

    def _answer(self, request: web.BaseRequest, views: Sequence[ContainerView]) -> web.Response:
        if self._is_request and self._source.stopping:  # nobody is to restart a server because its agent leaves
            views = [replace(view, requested=False) for view in views]
        exclude = request.query.getall("exclude", ())
        found = verdict.answer(self._endpoint, views, exclude)
        if self._in_trouble:
            word = "configuration" if self._source.config_error else "shutdown"
            found = Answer(False, (*found.items, verdict.failed("", word)), found.unmatched)
        status = 200 if found.passed else 503
        if answers.wants_json(request):
            return answers.json(_document(self._endpoint, found), status)
        if found.passed and "verbose" not in request.query:
            return answers.text("ok")
        return answers.text(_body(self._endpoint, found), status)


def _is_kubelet(request: web.BaseRequest) -> bool:
    return request.method == "GET" and request.headers.get("User-Agent", "").startswith("kube-probe/")


def _body(endpoint: Endpoint, found: Answer) -> str:
    lines = [str(item) for item in found.items]
    if found.unmatched:
        names = ", ".join(f'"{ascii(name[:80])[1:-1]}"' for name in found.unmatched)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    lines.append(f"{endpoint} check {'passed' if found.passed else 'failed'}")
    return "\n".join(lines) + "\n"


def _document(endpoint: Endpoint, found: Answer) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "passed": found.passed,
        "checks": [
            {"name": item.name, "container": item.container, "ok": item.ok, "note": item.note} for item in found.items
        ],
        "unmatched_excludes": found.unmatched,
    }
