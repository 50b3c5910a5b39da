"""Command lines of the services that we know, the same wherever they run."""

import re
from collections.abc import Sequence
from dataclasses import replace

from bench_action.engine.protocol import ServiceSpec

_PRELOADED = "shared_preload_libraries"
_COUNTING = "pg_stat_statements"
# a line of postgresql.conf, in which `=` and the quotes may be missing
_PRELOADING = re.compile(
    rf"^[ \t]*{_PRELOADED}(?:[ \t]*=[ \t]*|[ \t]+)(?:'(?P<quoted>(?:[^'\n]|'')*)'|(?P<bare>[^\s#']+))",
    re.IGNORECASE | re.MULTILINE,
)
_POSTGRES_SETTINGS = {
    _PRELOADED: _COUNTING,
    "pg_stat_statements.track_utility": "on",  # CALL, COPY and the like are work too (docs/glossary.md)
    "pg_stat_statements.max": "50000",
    "timezone": "UTC",
    "log_min_messages": "error",
}
_REDIS_SETTINGS = {"save": "", "appendonly": "no"}
_MYSQL_SETTINGS = {
    "performance-schema": "ON",
    "performance-schema-digests-size": "5000",
    "performance-schema-max-digest-length": "4096",  # a longer statement is cut there
    "max-digest-length": "4096",
    "innodb-stats-auto-recalc": "OFF",  # statistics are collected once, and copied with the data
}
_MYSQL_COUNTING = (
    "--performance-schema-instrument=statement/%=ON",
    "--performance-schema-consumer-statements-digest=ON",
)


def make_postgres_command(spec: ServiceSpec) -> list[str]:
    """Return `postgres -c name=value …`, with `pg_stat_statements` added to the libraries that the user preloads."""
    settings = {**_POSTGRES_SETTINGS, **spec.settings}
    settings[_PRELOADED] = _join(_split(settings[_PRELOADED]), [_COUNTING])
    command = ["postgres"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command + list(spec.command)


def add_preloaded(spec: ServiceSpec, configuration: str) -> ServiceSpec:
    """Return a server that also preloads what its image's `postgresql.conf.sample` does.

    The image's libraries come first, as some (Citus) must. Without this, our own setting would override the file.
    """
    lines = [match["bare"] or match["quoted"] for match in _PRELOADING.finditer(configuration)]
    libraries = _split(lines[-1].replace("''", "'")) if lines else []  # the last line counts
    if not libraries:
        return spec
    own = _split(spec.settings.get(_PRELOADED, ""))
    return replace(spec, settings={**spec.settings, _PRELOADED: _join(libraries, own)})


def _split(libraries: str) -> list[str]:
    return [name for part in libraries.split(",") if (name := part.strip(' \t"'))]


def _join(*libraries: Sequence[str]) -> str:
    """Join lists of libraries, each of which is loaded once."""
    return ",".join(dict.fromkeys(name for names in libraries for name in names))


def make_redis_options(spec: ServiceSpec) -> list[str]:
    """Return `--name value …`; a configuration file comes before the options, and the program is left out."""
    own = _drop_program(spec.command, "redis-server", "valkey-server")
    file = [own.pop(0)] if own and not own[0].startswith("-") else []
    options = [word for name, value in {**_REDIS_SETTINGS, **spec.settings}.items() for word in (f"--{name}", value)]
    return [*file, *options, *own]


def make_mysql_options(spec: ServiceSpec) -> list[str]:
    """Return `--name=value …`, with the counting of statements switched on; the image's entrypoint adds the program."""
    settings = {name.replace("_", "-"): value for name, value in spec.settings.items()}
    own = _drop_program(spec.command, "mysqld", "mariadbd")
    chosen = {word.lstrip("-").partition("=")[0].replace("_", "-") for word in own}
    logged = [] if "log-bin" in {*settings, *chosen} else ["--skip-log-bin"]  # it would fill the memory of the data
    merged = {name: value for name, value in {**_MYSQL_SETTINGS, **settings}.items() if name not in chosen}
    return [*logged, *(f"--{name}={value}" for name, value in merged.items()), *_MYSQL_COUNTING, *own]


def _drop_program(command: Sequence[str], *programs: str) -> list[str]:
    words = [word for word in command[:1] if word != "docker-entrypoint.sh"] + list(command[1:])
    return words[1:] if words and words[0].rpartition("/")[2] in programs else words
