"""What each serving API is asked for the least possible work, and how a good answer of it begins."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

Name = Literal[
    "openai-completions", "openai-chat", "kserve-v2", "v1-predict", "tgi", "ollama", "embeddings", "custom"
]  # fmt: skip


class Api(NamedTuple):
    """One API. ``path`` may hold {model}; ``body`` is None where only its owner knows what the model eats."""

    path: str | None
    body: Mapping[str, Any] | None
    holds: str | None  # what the answer's body contains when there is a result in it
    names_model: bool = True  # the body has a field `model`
    busy: frozenset[int] = frozenset({429})  # statuses that say "too much to do" and nothing else


APIS: Final[Mapping[Name, Api]] = {
    "openai-completions": Api(
        "/v1/completions", {"prompt": "ping", "max_tokens": 1, "temperature": 0, "stream": False}, '"choices"'
    ),
    "openai-chat": Api(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1, "temperature": 0, "stream": False},
        '"choices"',
    ),
    "embeddings": Api("/v1/embeddings", {"input": "ping"}, '"embedding"'),
    "kserve-v2": Api("/v2/models/{model}/infer", None, '"outputs"', names_model=False),
    "v1-predict": Api("/v1/models/{model}:predict", None, '"predictions"', names_model=False),
    "tgi": Api("/generate", {"inputs": "ping", "parameters": {"max_new_tokens": 1}}, '"generated_text"', False),
    "ollama": Api(
        "/api/generate",
        {"prompt": "ping", "stream": False, "options": {"num_predict": 1}},
        '"response"',
        busy=frozenset({429, 503}),  # 503: its queue (OLLAMA_MAX_QUEUE) is full
    ),
    "custom": Api(None, None, None, names_model=False),
}


def path_of(api: Api, given: str | None, model: str | None) -> str | None:
    """Path and query; None where neither the API nor the options tell."""
    if given is not None or api.path is None:
        return given
    if "{model}" not in api.path:
        return api.path
    return None if model is None else api.path.replace("{model}", quote(model, safe=""))


def body_of(api: Api, given: object, model: str | None) -> object:
    """Text, or what is sent as JSON; None: nothing. A map is laid over the API's own body, text replaces it."""
    if given is not None and not isinstance(given, dict):
        return given
    if given is None and api.body is None:
        return None
    named = {"model": model} if api.names_model and model is not None else {}
    return {**named, **(api.body or {}), **(given or {})}
