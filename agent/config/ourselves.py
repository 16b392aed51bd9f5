"""Recognises the agent's own container in somebody else's manifest: it is not one to look after."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

from agent.config.sources import CONFIG_VARIABLE, DEFAULT_PATH

_IMAGE: Final = re.compile(r"(.*[-_.])?health-agent")
PROGRAM: Final = "health-agent"
_VARIABLES: Final = frozenset({
    CONFIG_VARIABLE, "HEALTH_AGENT_STARTUP_CHECK", "HEALTH_AGENT_LIVENESS_CHECK", "HEALTH_AGENT_READINESS_CHECK",
    "HEALTH_AGENT_PRESET",
})  # fmt: skip
"""What only the agent reads; HEALTH_AGENT_SERVER__PORT is also for `health-agent healthcheck` beside the server."""
_FOLDER: Final = str(PurePosixPath(DEFAULT_PATH).parent)
_ANSWERS: Final = re.compile(r"/(healthz|livez|ready|readyz|startupz)(/.*)?|/-/(healthy|ready)")


def is_agent(image: str, words: Sequence[str], variables: Iterable[str], mounts: Iterable[str]) -> bool:
    """Whether a container is an agent, by any of: its image's name, its command line, its variables, its mounts."""
    if _IMAGE.fullmatch(_name(image)):
        return True
    if any(PurePosixPath(word).name == PROGRAM for word in words):
        return True
    if ("-m", "agent") in pairwise(words):
        return True
    return bool(_VARIABLES.intersection(variables)) or any(
        mount == _FOLDER or mount.startswith(f"{_FOLDER}/") for mount in mounts
    )


def is_answer(path: str) -> bool:
    """Whether ``path`` is one that the agent answers and hardly anybody else: `/healthz/model`, `/-/healthy`."""
    return _ANSWERS.fullmatch(path.partition("?")[0]) is not None


def _name(image: str) -> str:
    """`model-health-agent` of `registry:5000/ml/model-health-agent:1.2@sha256:...`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
