"""The local engine: processes of this machine, where there is no Docker."""

from bench_action.engine.local.engine import LocalEngine

__all__ = ["LocalEngine"]
