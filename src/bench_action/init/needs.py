"""Which services an application needs, and through which variables it finds them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bench_action.init.sources import Sources

_SUFFIXES = (
    ".py",
    ".js",
    ".ts",
    ".mjs",
    ".cjs",
    ".rb",
    ".go",
    ".java",
    ".kt",
    ".php",
    ".properties",
    ".yml",
    ".yaml",
    ".prisma",
    ".ini",
)
_KINDS: Mapping[str, str] = {
    "postgres": r"""psycopg|asyncpg|pg8000|["']pg["']|["']postgres["']|pg-promise|lib/pq|jackc/pgx|org\.postgresql|"""
    r"""ext-pgsql|ext-pdo_pgsql""",
    "redis": r"""\bredis\b|aioredis|ioredis|go-redis|redigo|data-redis|\bjedis\b|lettuce|predis|phpredis|sidekiq|"""
    r"""["']bull(?:mq)?["']|resque""",
    "mysql": r"""mysqlclient|pymysql|aiomysql|["']mysql2?["']|go-sql-driver/mysql|mysql-connector|mariadb""",
    "mongo": r"""pymongo|motor\b|mongoengine|mongoose|["']mongodb["']|mongo-driver|data-mongodb|mongoid""",
    "rabbitmq": r"""\bpika\b|aio-pika|amqplib|amqp091|\bbunny\b|boot-starter-amqp|php-amqplib""",
    "memcached": r"""pymemcache|python-memcached|pylibmc|memjs|\bdalli\b|gomemcache""",
    "elasticsearch": r"""elasticsearch|opensearch""",
}
_READS = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\(|\bconfig\(|\benv(?:\.\w+)?\(|ENV(?:\.fetch)?\s*[\[(]|Getenv\(|LookupEnv\(|(?<![\w.])env\()\s*["']([A-Z][A-Z0-9_]{2,})["']\s*([,)\]]?)"""
    r"""|process\.env(?:\.|\[["'])([A-Z][A-Z0-9_]{2,})|\benv:"([A-Z][A-Z0-9_]{2,})|\$\{([A-Z][A-Z0-9_]{2,})(:?)[^}]*\}"""
    r"""|^\s{4}([A-Z][A-Z0-9_]{2,}): (?:str|int|SecretStr|PostgresDsn|RedisDsn)\s*($|=)|url\s*=\s*env\("([A-Z_]+)"\)""",
    re.MULTILINE,
)
_ADDRESS = r"(?:DB|DATABASE|POSTGRES|POSTGRESQL|PG|SQL|DJANGO_DB|APP_DB|RDS)"
_ASYNC_URL = (
    "postgresql+asyncpg://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{postgres.database}"
)
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"(?:DB|PG|POSTGRES|POSTGRESQL|SQLALCHEMY|SQLALCHEMY_DATABASE)_(?:URL|URI|DSN)|DATABASE_(?:URI|DSN)|DB_CONN(?:ECTION)?_STRING",
        "{postgres.url}",
    ),
    (rf"{_ADDRESS}_?(?:HOST|HOSTNAME|SERVER|SERVICE|ADDR|ADDRESS)", "{postgres.host}"),
    (rf"{_ADDRESS}_?PORT", "{postgres.port}"),
    (rf"{_ADDRESS}_?(?:USER|USERNAME)", "{postgres.user}"),
    (rf"{_ADDRESS}_?(?:PASS|PASSWORD|PWD|PW)", "{postgres.password}"),
    (rf"{_ADDRESS}_?(?:NAME|DB|DATABASE|DBNAME)", "{postgres.database}"),
    (
        r"SPRING_DATASOURCE_URL|JDBC_(?:DATABASE_)?URL|POSTGRES_JDBC_URL",
        "jdbc:postgresql://{postgres.host}:{postgres.port}/{postgres.database}",
    ),
    (r"SPRING_DATASOURCE_USERNAME", "{postgres.user}"),
    (r"SPRING_DATASOURCE_PASSWORD", "{postgres.password}"),
    (
        r"(?:CACHE|CELERY_BROKER|BROKER|CELERY_RESULT_BACKEND|REDIS_CACHE|RQ_REDIS)_?(?:URL|URI)?|REDIS_(?:URI|DSN)|REDISCLOUD_URL",
        "{redis.url}",
    ),
    (r"(?:SPRING_(?:DATA_)?)?REDIS_?(?:HOST|HOSTNAME|SERVER)", "{redis.host}"),
    (r"(?:SPRING_(?:DATA_)?)?REDIS_?PORT", "{redis.port}"),
    (r"REDIS_?(?:DB|DATABASE)", "{redis.database}"),
    (r"(?:DB|SQL|DATABASE|DJANGO_DB)_ENGINE", "django.db.backends.postgresql"),
    (r"(?:DJANGO_)?ALLOWED_HOSTS", "*"),
    (r"DB_CONNECTION", "pgsql"),
)
_GIVEN = frozenset({"DATABASE_URL", "REDIS_URL", "PORT"})
_SECRET = re.compile(r"(?:.*_)?(?:SECRET|SECRET_KEY|SECRET_KEY_BASE|JWT_KEY|APP_KEY|SALT|TOKEN_KEY)")
_ORDINARY = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "PWD",
        "HOSTNAME",
        "LANG",
        "TZ",
        "TERM",
        "SHELL",
        "TMPDIR",
        "CI",
        "NODE_ENV",
        "RAILS_ENV",
        "RACK_ENV",
        "GITHUB_ACTIONS",
    ]
)


class Variable(NamedTuple):
    """A variable that an application reads. `required`: it has no default. `file`: where it is read first."""

    name: str
    required: bool
    file: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable for `env`. `note`: what to check about it. `active`: false if nobody but the user knows its value."""

    name: str
    value: str
    note: str = ""
    active: bool = True


def find_kinds(manifests: Mapping[str, str], sources: Sources) -> dict[str, str]:
    """Find the services that an application has drivers for: kind → the manifest that names the driver."""
    texts = dict(manifests)
    for file in sources.find("schema.prisma"):
        if re.search(r'provider\s*=\s*"postgresql"', sources.read(file)):
            texts[file] = '"pg"'
    found = {}
    for kind, pattern in _KINDS.items():
        names = [name for name, text in texts.items() if re.search(pattern, text, re.IGNORECASE)]
        ruby = [name for name, text in texts.items() if kind == "postgres" and re.search(r"""gem\s+["']pg["']""", text)]
        if names or ruby:
            found[kind] = (names or ruby)[0]
    return found


def find_variables(sources: Sources) -> list[Variable]:
    """Find the variables that the sources read, each with the file that reads it first."""
    found: dict[str, Variable] = {}
    for file in sources.find_code(*_SUFFIXES):
        if file.endswith((".yml", ".yaml")) and not re.search(r"application|config/|settings", file):
            continue
        for match in _READS.finditer(sources.read(file)):
            name, required = _read_match(match)
            known = found.get(name)
            if known is None or (known.required and not required):
                found[name] = Variable(name, required, file if known is None else known.file)
    return sorted(found.values())


def _read_match(match: re.Match[str]) -> tuple[str, bool]:
    if match[1]:
        optional = match[2] == "," or ".get" in match[0] or "getenv" in match[0].lower() or "LookupEnv" in match[0]
        return match[1], not optional
    if match[5]:
        return match[5], not match[6]
    if match[7]:
        return match[7], match[8] != "="
    return match[3] or match[4] or match[9], False


def choose_settings(
    variables: list[Variable], kinds: Mapping[str, str], framework: str, manifests: Mapping[str, str]
) -> Iterator[Setting]:
    """Choose a value for each variable that is about a service, and list those that must be set by the user."""
    names = {variable.name for variable in variables}
    asynchronous = any("asyncpg" in text and "sqlalchemy" in text.lower() for text in manifests.values())
    if asynchronous and "postgres" in kinds and "DATABASE_URL" in names:
        yield Setting("DATABASE_URL", _ASYNC_URL, "SQLAlchemy's form for asyncpg: check which one the code expects")
    if framework == "Spring Boot" and "postgres" in kinds:
        for name in ("SPRING_DATASOURCE_URL", "SPRING_DATASOURCE_USERNAME", "SPRING_DATASOURCE_PASSWORD"):
            yield Setting(name, _find_value(name, kinds) or "")
            names.discard(name)
    for variable in variables:
        if variable.name in _GIVEN or variable.name in _ORDINARY or variable.name not in names:
            continue
        value = _find_value(variable.name, kinds)
        if value is not None:
            yield Setting(variable.name, value)
        elif _SECRET.fullmatch(variable.name):
            note = "not a secret: nothing outside this benchmark uses it"
            yield Setting(variable.name, "benchmark-benchmark-benchmark-benchmark", note, active=variable.required)
        elif variable.required:
            yield Setting(variable.name, "…", f"{variable.file} reads it and has no default", active=False)


def _find_value(name: str, kinds: Mapping[str, str]) -> str | None:
    for pattern, value in _KNOWN:
        service = value.partition("{")[2].partition(".")[0] or (
            "postgres" if value in {"pgsql", "django.db.backends.postgresql"} else ""
        )
        if re.fullmatch(pattern, name) and (not service or service in kinds):
            return value
    return None
