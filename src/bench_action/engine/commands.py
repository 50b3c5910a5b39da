"""Command lines of PostgreSQL and Redis, the same wherever they run."""

from bench_action.engine.protocol import ServiceSpec

_POSTGRES_SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_utility": "on",  # CALL, COPY and the like are work too (docs/glossary.md)
    "pg_stat_statements.max": "50000",
    "timezone": "UTC",
    "log_min_messages": "error",
}
_REDIS_SETTINGS = {"save": "", "appendonly": "no"}


def make_postgres_command(spec: ServiceSpec) -> list[str]:
    """Return `postgres -c name=value …`, with `pg_stat_statements` added to the libraries that the user preloads."""
    settings = {**_POSTGRES_SETTINGS, **spec.settings}
    libraries = [name.strip() for name in settings["shared_preload_libraries"].split(",") if name.strip()]
    if "pg_stat_statements" not in libraries:
        libraries.append("pg_stat_statements")
    settings["shared_preload_libraries"] = ",".join(libraries)
    command = ["postgres"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command + list(spec.command)


def make_redis_command(spec: ServiceSpec) -> list[str]:
    """Return `redis-server --name value …`; a configuration file comes before its options."""
    own = list(spec.command)
    file = [own.pop(0)] if own and not own[0].startswith("-") else []
    command = ["redis-server", *file]
    for name, value in {**_REDIS_SETTINGS, **spec.settings}.items():
        command += [f"--{name}", value]
    return command + own
