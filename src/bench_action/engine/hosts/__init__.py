"""Several machines, each with its own Docker engine, as one engine."""

from bench_action.engine.hosts.engine import HostsEngine

__all__ = ["HostsEngine"]
