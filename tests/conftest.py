"""What all tests share: Hypothesis does not take a busy machine for a slow test; a Docker Engine and its containers."""

import signal

from hypothesis import settings

from tests.containers import containers, engine

__all__ = ["containers", "engine"]

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# A shell starts what it puts into the background, and nohup all, with SIGINT ignored, and a child would inherit that:
# a test that ends a command by Ctrl-C would wait for it for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
