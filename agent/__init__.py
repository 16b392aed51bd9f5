"""A health agent for model servers: probes, judges and restarts, with the kubelet's semantics."""

__version__ = "0.1.0"
