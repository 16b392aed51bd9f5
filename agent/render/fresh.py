"""A Deployment for servers that no manifest describes yet, and what of a server has no place in another format."""

from collections.abc import Iterator, Sequence
from typing import Any

from agent.render.options import Note, Settings
from agent.render.servers import Server

_LABEL = "app.kubernetes.io/name"


def deployment(servers: Sequence[Server], settings: Settings) -> dict[str, Any]:
    """One pod with all the servers, as whoever wrote their documents had them side by side."""
    name = settings.name or servers[0].name
    labels = {_LABEL: name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [_container(server) for server in servers]},
            },
        },
    }


def _container(server: Server) -> dict[str, Any]:
    container: dict[str, Any] = {"name": server.name, "image": server.image}
    if server.entrypoint:
        container["command"] = server.entrypoint
    if server.arguments:
        container["args"] = server.arguments
    given = {name: value for name, value in server.variables.items() if value is not None}
    if given:
        container["env"] = [{"name": name, "value": value} for name, value in given.items()]
    if server.ports:
        container["ports"] = [{"containerPort": port} for port in server.ports]
    return container


def with_images(servers: Sequence[Server], settings: Settings) -> Iterator[Note]:
    """Give each server the image that the command line or its own document names, or a name to be replaced."""
    for server in servers:
        server.image = settings.server_images.get(server.name) or settings.server_images.get("") or server.image
        if not server.image:
            server.image = server.name
            yield Note("W-RENDER-IMAGE", f"{server.name}: its image is not known: give it with --server-image IMAGE")


def losses(servers: Sequence[Server]) -> Iterator[Note]:
    """What the other format says and this one can't be told."""
    for server in servers:
        if server.left_out:
            keys = ", ".join(dict.fromkeys(server.left_out))
            yield Note("W-RENDER-LEFT-OUT", f"{server.name}: not carried over: {keys}")
        unknown = [name for name, value in server.variables.items() if value is None]
        if unknown:
            yield Note("W-RENDER-VARIABLE", f"{server.name}: its {', '.join(unknown)} come from elsewhere: see to them")
        if server.references:
            keys = ", ".join(server.references)
            yield Note(
                "W-RENDER-VARIABLE", f"{server.name}: references that nobody fills here, in {keys}: write them out"
            )
