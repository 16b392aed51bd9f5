"""Configuration: documents and environment in, one frozen `agent.core.settings.Config` out, or every error at once."""

from agent.config.hint import listen_port_hint
from agent.config.load import Loaded, load
from agent.config.problems import ConfigError, Options, Problem
from agent.config.schema import schema
from agent.config.sources import SourceRef, find_sources

__all__ = [
    "ConfigError",
    "Loaded",
    "Options",
    "Problem",
    "SourceRef",
    "find_sources",
    "listen_port_hint",
    "load",
    "schema",
]
