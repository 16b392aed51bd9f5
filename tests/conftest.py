"""What all tests share: Hypothesis does not take a busy machine for a slow test; a Docker Engine and its containers."""

from hypothesis import settings

from tests.containers import containers, engine

__all__ = ["containers", "engine"]

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
