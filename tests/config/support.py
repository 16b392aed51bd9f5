"""Reads documents that tests write down, without files."""

from collections.abc import Mapping

from agent.config import ConfigError, Loaded, Options, SourceRef, load
from agent.core.settings import Config


def source(text: str | bytes, name: str = "config.yaml") -> SourceRef:
    return SourceRef(name, content=text.encode() if isinstance(text, str) else text)


def read(
    *texts: str | bytes, environ: Mapping[str, str] | None = None, options: Options | None = None, name: str = ""
) -> Loaded:
    """The documents laid over each other; the first is config.yaml, the others over1.yaml, over2.yaml, ..."""
    names = [name or "config.yaml", *(f"over{number}.yaml" for number in range(1, len(texts)))]
    sources = [source(text, its_name) for text, its_name in zip(texts, names, strict=True)] if texts else []
    return load(sources, environ or {}, options)


def config(*texts: str, environ: Mapping[str, str] | None = None, options: Options | None = None) -> Config:
    return read(*texts, environ=environ, options=options).config


def problems(
    *texts: str | bytes, environ: Mapping[str, str] | None = None, options: Options | None = None, name: str = ""
) -> list[str]:
    """What is wrong with the documents; empty when nothing is."""
    try:
        read(*texts, environ=environ, options=options, name=name)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def model(checks: str) -> str:
    """A native document of one container on port 8000 with these lines below it."""
    lines = "".join(f"    {line}\n" for line in checks.strip().splitlines())
    return f"containers:\n  - name: model\n    port: 8000\n{lines}"
