"""What all tests share: Hypothesis does not take a busy machine for a slow test; a Docker Engine and its containers."""

from hypothesis import settings

from tests.containers import containers, engine, image

__all__ = ["containers", "engine", "image"]

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
