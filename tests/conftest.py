"""What all tests share: Hypothesis does not take a busy machine for a slow test."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
