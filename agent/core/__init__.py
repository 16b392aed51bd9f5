"""The rules of health as pure functions and frozen types; no I/O, no clock, no event loop."""
