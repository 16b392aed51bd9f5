"""The kinds of document and how each is recognised by its content."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from agent.config.tree import Node

KindName = Literal["native", "eas", "kubernetes", "compose", "environment"]

_NATIVE_KEYS: Final = frozenset({"server", "admin", "log", "state_file", "shutdown_delay_seconds", "allow_hosts"})
_EAS_KEYS: Final = frozenset({
    "name", "storage", "networking", "features", "autoscaler", "dockerAuth", "processor", "processor_path",
    "processor_type", "processor_entry", "processor_mainclass", "model_path", "model_entry", "model_config",
    "oss_endpoint", "warm_up_data_path", "options", "labels", "unit", "token", "generate_token", "aimaster",
})  # fmt: skip


class Kind(msgspec.Struct, frozen=True):
    """One kind. ``many`` tells whether a file may hold several of them."""

    name: KindName
    title: str
    matches: Callable[[Mapping[str, Node]], bool]
    many: bool = False


def _is_kubernetes(keys: Mapping[str, Any]) -> bool:
    return "apiVersion" in keys and "kind" in keys


def _is_eas(keys: Mapping[str, Any]) -> bool:
    if "cloud" in keys or ("metadata" in keys and "apiVersion" not in keys):
        return True
    return "containers" in keys and bool(_EAS_KEYS & keys.keys()) and not _NATIVE_KEYS & keys.keys()


KINDS: Final = (
    Kind("kubernetes", "a Kubernetes manifest", _is_kubernetes, many=True),
    Kind("compose", "a Compose file", lambda keys: "services" in keys),
    Kind("eas", "an EAS service.json", _is_eas),
    Kind("native", "a native document", lambda _: True),
)
"""In the order in which they are tried; the last takes everything, and is strict."""


def kind_of(root: Node) -> Kind:
    """The first kind that the document's top-level keys match."""
    keys = root.value if isinstance(root.value, dict) else {}
    return next(kind for kind in KINDS if kind.matches(keys))
