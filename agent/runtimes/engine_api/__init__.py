"""The Docker Engine's API as `runtimes.docker` uses it: a conversation a call, every wait bounded."""
