"""The local engine: processes of this machine, without Docker."""

from bench_action.engine.local.engine import LocalEngine

__all__ = ["LocalEngine"]
