"""What the command line says about the deployment, and what `render` has to say about it."""

from typing import Literal

import msgspec

from agent import __version__

Target = Literal["kubernetes", "compose", "eas"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``name`` is the deployment's where the document has none; ``server_images`` are by container, "" for all."""

    image: str = f"model-health-agent:{__version__}"
    name: str | None = None
    sidecar: Literal["native", "container"] = "native"
    port: int | None = None
    server_images: dict[str, str] = {}


class Note(msgspec.Struct, frozen=True):
    """One thing that whoever applies the result should know; it fails nothing."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RenderError(Exception):
    """What can't be rendered, and what to do about it."""
