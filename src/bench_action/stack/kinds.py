"""The kinds of services that we know: each is a class. Services of any other kind run as they are."""

from collections.abc import Mapping

from bench_action.engine.protocol import Kind
from bench_action.stack.mysql import Mysql
from bench_action.stack.postgres import Postgres
from bench_action.stack.redis import Redis
from bench_action.stack.server import Server

SERVERS: Mapping[Kind, type[Server]] = {"postgres": Postgres, "redis": Redis, "mysql": Mysql}


def write_settings(kind: Kind, settings: Mapping[str, str | float | bool]) -> dict[str, str]:
    """Write settings as texts. YAML reads `on` and `yes` as booleans, which are written as the kind of service does."""
    true, false = SERVERS[kind].booleans if kind in SERVERS else ("true", "false")
    return {name: _write(value, true, false) for name, value in settings.items()}


def _write(value: str | float | bool, true: str, false: str) -> str:
    return (true if value else false) if isinstance(value, bool) else str(value)
