"""A tiny Kubernetes API server on loopback: real TLS, one pod, and whatever else a test wants it to answer."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme
from aiohttp import WSCloseCode, web

from agent.runtimes.kubernetes import Kubernetes

POD = "/api/v1/namespaces/prod/pods/model-0"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, message: str = "", *, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
    """A v1.Status as an API server refuses with it."""
    document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, **more}
    return web.json_response(document, status=code, headers=headers)


def forbidden(verb: str, resource: str) -> web.Response:
    """RBAC's own words."""
    account = "system:serviceaccount:prod:agent"
    return status(
        403,
        f'pods "model-0" is forbidden: User "{account}" cannot {verb} resource "{resource}" in API group "" in the '
        'namespace "prod"',
        reason="Forbidden",
    )


def pod_of(container: str = "docker://one", **metadata: Any) -> dict[str, Any]:
    """A pod with a running model, a native sidecar and a past."""
    running = {"running": {"startedAt": "2024-01-01T00:00:00Z"}}
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "model-0", "namespace": "prod", "uid": "uid-1", "resourceVersion": "100",
            "creationTimestamp": "2024-01-01T00:00:00Z", **metadata,
        },
        "spec": {"containers": [{"name": "model"}, {"name": "proxy"}], "initContainers": [{"name": "agent"}]},
        "status": {
            "containerStatuses": [
                {"name": "proxy", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 4},
                {"name": "model", "containerID": container, "restartCount": 0, "state": running},
            ],
            "initContainerStatuses": [{"name": "agent", "containerID": "docker://agent", "state": running}],
        },
    }  # fmt: skip


class ApiServer:
    """Answers for its pod; ``instead`` answers in its place while it is set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = "token-of-the-first-hour"
        self.url = ""
        self.pod: dict[str, Any] | None = pod_of()
        self.instead: Answer | None = None
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []
        self.mount()

    def mount(self, **files: str) -> None:
        """Write the service account's files, as the kubelet does; keyword `ca_crt` is ca.crt."""
        for name, text in ({"token": self.token, "namespace": "prod"} | files).items():
            (self.folder / name.replace("_", ".")).write_text(text)

    def runtime(self, **options: Any) -> Kubernetes:
        given = {"pod": "model-0", "container": "model", "api": self.url, "credentials": str(self.folder)} | options
        return Kubernetes(**given)

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path.removeprefix('/api/v1/namespaces/prod/')}" for request in self.asked]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.json() if request.can_read_body else None)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if self.instead is not None:
            return await self.instead(request)
        if request.method == "GET" and request.path == POD and self.pod is not None:
            return web.json_response(self.pod)
        if request.method == "GET" or self.pod is None:
            return status(404, f'pods "{request.path.rpartition("/")[2]}" not found')
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[ApiServer]:
    """An API server whose service account is mounted in ``folder``."""
    server = ApiServer(folder)
    runner = web.ServerRunner(web.Server(server), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls(server)).start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def tls(server: ApiServer, name: str = "127.0.0.1") -> ssl.SSLContext:
    """A context with a certificate for ``name``, signed by the authority that is mounted from now on."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    server.mount(ca_crt=authority.cert_pem.bytes().decode())
    return context


@asynccontextmanager
async def saying(server: ApiServer, answer: bytes | None, *, plain: bool = False) -> AsyncIterator[None]:
    """In the server's place something that answers each request with these bytes and hangs up; None: it hangs."""
    context = None if plain else tls(server)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await (reader.read(1) if plain else reader.readuntil(b"\r\n\r\n"))
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    server.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield


def projected(**pod: str) -> str:
    """A token of the kind that is bound to a pod; its signature is nobody's."""
    claims = {"kubernetes.io": {"namespace": "prod", "pod": pod, "serviceaccount": {"name": "agent"}}}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


class Channels:
    """The server's end of an exec: messages on numbered channels."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket

    async def send(self, channel: int, data: bytes = b"") -> None:
        await self.socket.send_bytes(bytes([channel]) + data)

    async def end(self, document: Any) -> None:
        """The Status of the end; text that is no JSON is sent as it is."""
        await self.send(3, document if isinstance(document, bytes) else json.dumps(document).encode())
        await self.socket.close()


def exits(code: int) -> dict[str, Any]:
    """The Status of a command's exit."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }  # fmt: skip


def executing(
    talk: Callable[[Channels], Awaitable[None]], *, protocols: tuple[str, ...] = ("v4.channel.k8s.io",)
) -> Answer:
    """An exec that speaks one of the ``protocols``, begins as the node does, and goes on as ``talk`` says."""

    async def answer(request: web.Request) -> web.StreamResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if not set(offered) & set(protocols):
            return web.Response(status=403)
        socket = web.WebSocketResponse(protocols=protocols)
        await socket.prepare(request)
        channels = Channels(socket)
        await channels.send(1)
        await talk(channels)
        await socket.close(code=WSCloseCode.OK)
        return socket

    return answer
