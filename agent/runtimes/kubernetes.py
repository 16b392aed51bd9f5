"""A container of a pod, through the API server: its instance, commands in it, and the end of its pod.

It needs a service account that may `get` pods, and for the rest one rule each (deploy/kubernetes/rbac).
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent.runtimes import AbsentError, Ended, Instance, kube_left
from agent.runtimes.command import Finished
from agent.runtimes.kube_answers import (
    CREATE_EVENT,
    DELETE_POD,
    EVICT_POD,
    EXEC_IN_POD,
    GET_POD,
    READ_LOG,
    ApiError,
    Rule,
)
from agent.runtimes.kube_api import Api, Call, memory
from agent.runtimes.kube_exec import execute
from agent.runtimes.kube_pod import Pod, decoded, ended, event, running

LOG_LINES: Final = 100  # of the evidence
MOUNTED: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
BEGIN_SECONDS: Final = 15.0  # until the node has taken up a command
END_SECONDS: Final = 15.0  # for an eviction or a deletion: what admits it may itself take ten
_OLD_EVICTION: Final = "policy/v1beta1"  # before Kubernetes 1.22
_UNKNOWN_VERSION: Final = frozenset({400, 404})  # of an eviction whose pod is there
_STALE: Final = frozenset({400, 410, 504})  # "too large resource version": the cluster was restored from a backup

_Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True):
    """A container of a pod, as the API server tells of it."""

    pod: Annotated[_Name | None, Meta(description="null: the agent's own, by POD_NAME, its token or its host name")] = (
        None
    )
    namespace: Annotated[_Name | None, Meta(description="null: the service account's")] = None
    container: Annotated[_Name | None, Meta(description="null: the container's name in this document")] = None
    api: Annotated[
        str | None, Meta(description="https://HOST[:PORT]; null: as KUBERNETES_SERVICE_HOST and _PORT say")
    ] = None
    credentials: Annotated[
        str, Meta(min_length=1, description="folder that holds token, ca.crt and namespace; read for each request")
    ] = MOUNTED

    can_exec: ClassVar[bool] = True

    def check_options(self) -> list[tuple[str, str]]:
        if self.api is None or _is_api(self.api):
            return []
        return [("api", "must be https://HOST[:PORT]: the account's token travels there, and to nobody else")]

    def settled(self, name: str, environ: Mapping[str, str]) -> "Kubernetes":
        """Itself with what the document leaves to the container's ``name`` and to the environment."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        found = f"https://[{host}]:{port}" if ":" in (host or "") else f"https://{host}:{port}"
        return replace(
            self,
            pod=self.pod or environ.get("POD_NAME") or None,
            namespace=self.namespace or environ.get("POD_NAMESPACE") or None,
            container=self.container or name,
            api=(self.api or (found if host else "")).rstrip("/") or None,
        )

    async def instance(self) -> Instance | None:
        """The running instance. A pod that has been seen and is gone is none; one that never was there is an error."""
        pod, _ = await self._look()
        return None if pod is None else running(pod, self._contained(pod))

    async def ended(self) -> Ended | None:
        pod, _ = await self._look()
        return None if pod is None else ended(pod, self._contained(pod))

    async def log_tail(self) -> str:
        api, namespace, path = await self._place()
        params = [("container", self.container or ""), ("tailLines", str(LOG_LINES))]
        answer = await api.call(Call(f"{path}/log", READ_LOG, namespace, params=params))
        return answer.body.decode(errors="replace")

    async def run(self, argv: Sequence[str], started: Callable[[], None]) -> Finished:
        """See `agent.runtimes.Executes`. The API has no way to end a command: see `kube_left`."""
        return await kube_left.bounded((self, tuple(argv)), partial(self._run, argv), started)

    async def _run(self, argv: Sequence[str], started: Callable[[], None]) -> Finished:
        try:
            async with asyncio.timeout(BEGIN_SECONDS) as beginning:

                def begun() -> None:
                    beginning.reschedule(None)  # from here on the caller's deadline is the command's
                    started()

                api, namespace, path = await self._place()
                url = api.at(f"{path}/exec", [("container", self.container or "")])
                work = partial(execute, url=url, command=argv, started=begun)
                return await api.authorized(work, EXEC_IN_POD.remedy(namespace))
        except TimeoutError as late:
            told = late.strerror or f"no node took the command up within {BEGIN_SECONDS:g} s"
            raise ApiError(errno.ETIMEDOUT, told) from None

    async def evict(self, identity: str, min_age_seconds: float) -> None:
        """Ask once for the eviction of the pod of the instance ``identity``; nothing where that is gone already.

        The pod's own grace applies. Raises ApiError: with status 429 a disruption budget does not allow it now, with
        409 the pod changed meanwhile, and in both cases it may be asked for again.
        """
        doomed = await self._doomed(identity, min_age_seconds)
        if doomed is None:
            return
        known = memory((await self._place())[0].url)
        try:
            await self._post_eviction(doomed, known.eviction)
        except ApiError as refused:
            if refused.status not in _UNKNOWN_VERSION or known.eviction == _OLD_EVICTION:
                raise
            await self._post_eviction(doomed, _OLD_EVICTION)
            known.eviction = _OLD_EVICTION

    async def delete(self, identity: str, min_age_seconds: float, grace_seconds: float) -> None:
        """Delete the pod of the instance ``identity``, whatever budgets say; nothing where that is gone already."""
        doomed = await self._doomed(identity, min_age_seconds)
        if doomed is not None:
            # A grace of 0 would take the pod off the books while it still runs: its successor might start beside it.
            options = {
                "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": max(1, round(grace_seconds)),
                **doomed.itself(),
            }  # fmt: skip
            await self._end(doomed, "", DELETE_POD, "DELETE", options)

    async def announce(self, reason: str, message: str) -> None:
        """Write an Event about the container, which `kubectl describe pod` shows. ``reason`` is one CamelCase word."""
        pod, _ = await self._look()
        if pod is None:
            return
        api, namespace, _ = await self._place()
        document = event(pod, namespace, self._contained(pod), reason, message)
        await api.call(
            Call(f"/api/v1/namespaces/{quote(namespace)}/events", CREATE_EVENT, namespace, "POST", document=document)
        )

    async def _doomed(self, identity: str, min_age_seconds: float) -> Pod | None:
        """The pod as it is now, by the server's own clock old enough to be ended; None where there is nothing to end.

        That is: it is gone or going already, or ``identity`` was followed by another instance, which must not be hit.
        """
        pod, now = await self._look(cached=False)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return None
        name = self._contained(pod)
        last = running(pod, name) or ended(pod, name)
        if identity and (last is None or last.identity != identity):
            return None
        age = pod.age(now)
        if min_age_seconds > 0 and (age is None or age < min_age_seconds):
            told = "of unknown age" if age is None else f"{max(age, 0):.0f} s old"
            raise ApiError(
                errno.EPERM,
                f"pod {pod.metadata.name} is {told}, below min_pod_age_seconds ({min_age_seconds:g} s): it is left "
                "alone, for a server that never becomes well would be replaced for ever",
            )
        return pod

    async def _post_eviction(self, doomed: Pod, version: str) -> None:
        document = {
            "apiVersion": version, "kind": "Eviction", "metadata": {"name": doomed.metadata.name},
            "deleteOptions": doomed.itself(),
        }  # fmt: skip
        await self._end(doomed, "/eviction", EVICT_POD, "POST", document)

    async def _end(self, doomed: Pod, below: str, needs: Rule, method: str, document: Any) -> None:
        """One call that ends the pod; one that finds it gone, or a successor in its place, has nothing to do."""
        api, namespace, path = await self._place()
        try:
            await api.call(Call(path + below, needs, namespace, method, document=document, seconds=END_SECONDS))
        except ApiError as refused:
            if refused.status not in (404, 409):
                raise
            now, _ = await self._look(cached=False)
            if now is not None and now.metadata.uid == doomed.metadata.uid:
                raise

    async def _look(self, *, cached: bool = True) -> tuple[Pod | None, datetime | None]:
        """The pod, and when that was by the server's clock; None where it was there before and is gone.

        ``cached``: as the API server remembers it, but never older than it was seen before. That costs no read of the
        cluster's database, and an instance that has been followed by another can't come back.
        """
        api, namespace, path = await self._place()
        seen = memory(api.url).freshest
        known = seen.get(path)
        call = Call(path, GET_POD, namespace)
        try:
            answer = await api.call(replace(call, params=[("resourceVersion", known)]) if cached and known else call)
        except ApiError as refused:
            if cached and known and refused.status in _STALE:
                seen[path] = ""
                answer = await api.call(call)
            elif refused.status == 404 and known is not None:
                return None, None
            else:
                raise self._explained(refused, namespace) from None
        pod = decoded(answer.body)
        seen[path] = pod.metadata.resource_version
        return pod, answer.now

    def _explained(self, refused: ApiError, namespace: str) -> OSError:
        if refused.status != 404:
            return refused
        remedy = (
            "is it the name and the namespace of the pod" if self.pod else "set runtime.kubernetes.pod, or POD_NAME"
        )
        return AbsentError(errno.ENOENT, f"{refused.strerror} (namespace {namespace}): {remedy}?")

    def _contained(self, pod: Pod) -> str:
        """The container's name, which must be one of the pod's."""
        if self.container not in pod.containers():
            raise AbsentError(
                errno.ENOENT,
                f"pod {pod.metadata.name} has no container {self.container}, but {', '.join(pod.containers())}: "
                "name one in runtime.kubernetes.container",
            )
        return self.container

    async def _place(self) -> tuple[Api, str, str]:
        """The API server, the pod's namespace and the pod's path."""
        if self.api is None:
            raise ApiError(
                errno.EDESTADDRREQ,
                "where the API server is, is not known: the agent runs in no pod (KUBERNETES_SERVICE_HOST is not set), "
                "so set runtime.kubernetes.api, .credentials and .pod",
            )
        api = Api(self.api, self.credentials)
        namespace, pod = self.namespace, self.pod
        if namespace is None or pod is None:
            account = await api.account()
            namespace = namespace or account.namespace or account.claims.get("namespace") or "default"
            pod = pod or account.claims.get("pod", {}).get("name") or socket.gethostname()
        return api, namespace, f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}"


def _is_api(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and not set(url) & set("@?#")
    return plain and parts.scheme == "https" and bool(parts.hostname)
