"""Which services an application needs, and through which variables it finds them."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench_action.config.kinds import guess_kind
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
    ".rs",
    ".cs",
    ".exs",
    ".ex",
)
_KINDS: Mapping[str, str] = {
    "postgres": r"""psycopg|asyncpg|pg8000|["']pg["']|["']postgres["']|pg-promise|lib/pq|jackc/pgx|org\.postgresql|"""
    r"""ext-pgsql|ext-pdo_pgsql|tokio-postgres|Npgsql|postgrex|diesel[^\n]{0,200}\bpostgres\b""",
    "redis": r"""\bredis\b|aioredis|ioredis|go-redis|redigo|data-redis|\bjedis\b|lettuce|predis|phpredis|sidekiq|"""
    r"""["']bull(?:mq)?["']|resque|StackExchange\.Redis|:redix\b""",
    "mysql": r"""mysqlclient|pymysql|aiomysql|["']mysql2?["']|go-sql-driver/mysql|mysql-connector|mariadb|"""
    r"""ext-mysqli|ext-pdo_mysql|mysql_async|MySqlConnector|EntityFrameworkCore\.MySql|myxql""",
    "mongo": r"""pymongo|motor\b|mongoengine|mongoose|["']mongodb["']|mongo-driver|data-mongodb|mongoid|"""
    r"""MongoDB\.Driver|mongodb_driver|^mongodb\s*=""",
    "rabbitmq": r"""\bpika\b|aio-pika|amqplib|amqp091|\bbunny\b|boot-starter-amqp|php-amqplib|RabbitMQ|^lapin\s*=""",
    "memcached": r"""pymemcache|python-memcached|pylibmc|memjs|\bdalli\b|gomemcache""",
    "kafka": r"""kafka""",
    "elasticsearch": r"""elasticsearch|opensearch|Elastic\.Clients""",
    "mssql": r"""Microsoft\.Data\.SqlClient|EntityFrameworkCore\.SqlServer|mssql-jdbc|["'](?:mssql|tedious)["']|"""
    r"""pymssql""",
}
_PRISMA = {"postgresql": '"pg"', "mysql": '"mysql2"', "mongodb": '"mongodb"', "sqlserver": '"mssql"'}
_WORKFLOW_FOLDER = ".github/workflows"
_WORKFLOWS = ("*.yml", "*.yaml")
_IMAGE = re.compile(r"""^[ \t]*image:\s*["']?([\w./-]+:[\w.-]*\w)["']?\s*(?:#.*)?$""", re.MULTILINE)
_EXTENSIONS = {  # what an application says that needs an extension of PostgreSQL → an image that has it
    "postgis/postgis:17-3.5": r"django\.contrib\.gis|geoalchemy2|postgis",
    "pgvector/pgvector:pg17": r"pgvector",
}
_DEFAULT_IMAGES = {"postgres": "postgres:17", "mysql": "mysql:8.4", "redis": "redis:8"}
_READS = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\(|\bconfig\(|\benv(?:\.\w+)?\(|ENV(?:\.fetch)?\s*[\[(]|Getenv\(|LookupEnv\(|(?<![\w.])env\()\s*["']([A-Z][A-Z0-9_]{2,})["']\s*([,)\]]?)"""
    r"""|process\.env(?:\.|\[["'])([A-Z][A-Z0-9_]{2,})|\benv:"([A-Z][A-Z0-9_]{2,})|\$\{([A-Z][A-Z0-9_]{2,})(:?)[^}]*\}"""
    r"""|^\s{4}([A-Z][A-Z0-9_]{2,}): (?:str|int|SecretStr|PostgresDsn|RedisDsn)\s*($|=)|url\s*=\s*env\("([A-Z_]+)"\)""",
    re.MULTILINE,
)
# of Elixir, Rust and .NET, and what follows if an application does not start without one
_CALLS = re.compile(
    r"""(?:\bSystem\.(?:get_env|fetch_env(!)?)|\b(?:env|dotenvy)::var(?:_os)?|\bGetEnvironmentVariable)"""
    r"""\(\s*"([A-Z][A-Z0-9_]{2,})"(?:\s*\)\s*(\.\s*(?:expect|unwrap)\(|\?(?![?.])|\|\|\s*raise\b|\?\?\s*throw\b))?"""
)
# schemas of settings: Nest's service, zod and Joi, viper
_SCHEMAS = re.compile(
    r"""\.get(OrThrow)?(?:<[^>\n]{0,50}>)?\(\s*["']([A-Z][A-Z0-9_]{2,})["']|"""
    r"""^[ \t]*([A-Z][A-Z0-9_]{2,}):[ \t]*(?:z|Joi|yup)\b([^\n]*)|mapstructure:"([A-Z][A-Z0-9_]{2,})\"""",
    re.MULTILINE,
)
_CONNECTION_READ = re.compile(r'GetConnectionString\(\s*"(\w+)"')
_FIELD = re.compile(
    r"^ {4}([a-z][a-z0-9_]{2,}): (?:str|int|bool|\w*Url|SecretStr|\w*Dsn|Optional\[\w+\])(?: \| None)?[ \t]*(=?)",
    re.MULTILINE,
)
_ADDRESS = r"(?:DB|DATABASE|POSTGRES|POSTGRESQL|PG|SQL|DJANGO_DB|APP_DB|RDS)"
_URL = "{scheme}://{{{kind}.user}}:{{{kind}.password}}@{{{kind}.host}}:{{{kind}.port}}/{{{kind}.database}}"
# of SQLAlchemy: the driver in a manifest → kind, and the scheme of its URLs
_DRIVERS = (
    (r"asyncpg", "postgres", "postgresql+asyncpg"),
    (r"psycopg(?:\[|\b)", "postgres", "postgresql+psycopg"),
    (r"aiomysql", "mysql", "mysql+aiomysql"),
    (r"pymysql", "mysql", "mysql+pymysql"),
)
_MYSQL = r"(?:MYSQL|MARIADB)"
_ENGINE = "django.db.backends.postgresql"
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"(?:DB|PG|POSTGRES|POSTGRESQL|SQLALCHEMY|SQLALCHEMY_DATABASE)_(?:URL|URI|DSN)|DATABASE_(?:URI|DSN)|DB_CONN(?:ECTION)?_STRING",
        "{postgres.url}",
    ),
    (rf"{_MYSQL}_(?:URL|URI|DSN)", "{mysql.url}"),
    (rf"{_MYSQL}_?(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS)", "{mysql.host}"),
    (rf"{_MYSQL}_?PORT", "{mysql.port}"),
    (rf"{_MYSQL}_?(?:USER|USERNAME)", "{mysql.user}"),
    (rf"{_MYSQL}_?(?:PASS|PASSWORD|PWD)", "{mysql.password}"),
    (rf"{_MYSQL}_?(?:NAME|DB|DATABASE|DBNAME)", "{mysql.database}"),
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
        r"(?:CACHE|CELERY_BROKER|BROKER|CELERY_RESULT_BACKEND|REDIS_CACHE|RQ_REDIS)_?(?:URL|URI)?|REDIS_(?:URI|DSN)|REDISCLOUD_URL|REDIS",
        "{redis.url}",
    ),
    (r"(?:SPRING_(?:DATA_)?)?REDIS_?(?:HOST|HOSTNAME|SERVER)", "{redis.host}"),
    (r"(?:SPRING_(?:DATA_)?)?REDIS_?PORT", "{redis.port}"),
    (r"REDIS_?(?:DB|DATABASE)", "{redis.database}"),
    (r"MONGO(?:DB)?_?(?:URL|URI|CONNECTION(?:_STRING|_URL|_URI)?)", "mongodb://{mongo.host}:{mongo.port}/bench"),
    (r"(?:DB|SQL|DATABASE|DJANGO_DB)_ENGINE", _ENGINE),
    (r"(?:DJANGO_)?ALLOWED_HOSTS", "*"),
    (r"DB_CONNECTION", "pgsql"),
    (r"(?:DATABASE|DB)_ADAPTER", "postgresql"),
)
_OF_MYSQL = {_ENGINE: "django.db.backends.mysql", "pgsql": "mysql", "postgresql": "mysql2"}
_FEWEST_PREFIXED = 5  # variables
_GENERIC = re.compile(
    r"(?:DB|DATABASE|POSTGRES|PG|SQL|MYSQL|MARIADB|REDIS|CACHE|CELERY|SPRING|RAILS|DJANGO|AWS|EMAIL|SMTP)_"
)
_WITH_REFERENCES = (".properties", ".yml", ".yaml", ".ini")
_GIVEN = frozenset({"DATABASE_URL", "REDIS_URL", "PORT"})
_GIS_ENGINE = "django.contrib.gis.db.backends.postgis"
_DUMMY = "benchmark-benchmark-benchmark-benchmark"
_NOTE = "a dummy for the benchmark, not a real secret"
_LARAVEL_KEY = "base64:YmVuY2htYXJrLWJlbmNobWFyay1iZW5jaG1hcmshISE="  # of the 32 bytes that its cipher needs
_SECRET = re.compile(
    r"(?:.*_)?(?:SECRET|SECRET_KEY|SECRET_KEY_BASE|SECRET_PASSWORD|JWT_KEY|APP_KEY|SALT|TOKEN_KEY|ENCRYPTION_KEY|SECRETKEY)"
)
# of other services: a stand-in would switch their use on
_FOREIGN = re.compile(
    r"(?:CLIENT|CONSUMER|OAUTH|WEBHOOK)_SECRET|^(?:\w+_)?(?:FACEBOOK|GOOGLE|GITHUB|GITLAB|TWITTER|STRIPE|PLAID|AWS|S3|AZURE|"
    r"MAILGUN|SLACK|DISCORD|PUSHER|TWILIO|PAYPAL|LINKEDIN|APPLE|OIDC|SAML|LDAP|ALGOLIA|RECAPTCHA|CAPTCHA|TURNSTILE|SENTRY|"
    r"SMTP|MAIL|TRELLO|TELEGRAM|OPENAI)_"
)
# without which an application of any framework does not start
_NEEDED = re.compile(r"(?:DJANGO_|FLASK_|APP_)?SECRET_KEY|SECRET_KEY_BASE|(?:.*_)?JWT_SECRET(?:_KEY)?")
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
        if match := re.search(r'datasource[^}]{0,500}?provider\s*=\s*"(\w+)"', sources.read(file)):
            texts[file] = _PRISMA.get(match[1], "")
    found = {}
    for kind, pattern in _KINDS.items():
        names = [name for name, text in texts.items() if re.search(pattern, text, re.IGNORECASE | re.MULTILINE)]
        ruby = [name for name, text in texts.items() if kind == "postgres" and re.search(r"""gem\s+["']pg["']""", text)]
        if names or ruby:
            found[kind] = (names or ruby)[0]
    return found


def find_images(
    top: Path, kinds: Mapping[str, str], manifests: Mapping[str, str], sources: Sources
) -> dict[str, tuple[str, str]]:
    """Find the image of each kind that we know: kind → image, and where that is from.

    The workflows' own services have the version, and the extensions, that an application is tested with.
    """
    files = [path for each in _WORKFLOWS for path in sorted((top / _WORKFLOW_FOLDER).glob(each))]
    workflows = Sources(top, ())  # which reads nothing outside of the repository
    found: dict[str, tuple[str, str]] = {}
    for name in (path.name for path in files):
        for image in _IMAGE.findall(workflows.read(f"{_WORKFLOW_FOLDER}/{name}")):
            named = guess_kind(image)
            if named in _DEFAULT_IMAGES and named not in found:
                found[named] = (
                    image,
                    f"{kinds[named]} has a driver for it; version from {name}" if named in kinds else name,
                )
    if "postgres" in found:  # many can use both
        found.pop("mysql", None)
    if "mysql" not in found and "postgres" in {*found, *kinds}:
        kinds = {kind: source for kind, source in kinds.items() if kind != "mysql"}
    for kind in kinds.keys() & _DEFAULT_IMAGES.keys() - found.keys():
        found[kind] = (_DEFAULT_IMAGES[kind], f"{kinds[kind]} has a driver for it")
    if "postgres" in kinds and found["postgres"][0] == _DEFAULT_IMAGES["postgres"]:
        texts = {**manifests, **{name: sources.read(name) for name in sources.find("*settings*.py", "database.yml")}}
        for image, pattern in _EXTENSIONS.items():
            if name := next((each for each, text in texts.items() if re.search(pattern, text, re.IGNORECASE)), ""):
                found["postgres"] = (image, f"{name} needs an extension that it has")
    return {kind: found[kind] for kind in _DEFAULT_IMAGES if kind in found}


def find_variables(sources: Sources) -> list[Variable]:
    """Find the variables that the sources read, each with the file that reads it first."""
    found: dict[str, Variable] = {}
    for file in sources.find_code(*_SUFFIXES):
        if file.endswith((".yml", ".yaml")) and not re.search(r"application|config/|settings", file):
            continue
        text = sources.read(file)
        for match in _READS.finditer(text):
            name, required = _read_match(match)
            if file.endswith(".rb") and re.match(r"\s*(?:\{|do\b)", text[match.end() : match.end() + 5]):
                required = False  # a block is its default
            if match[5] and not file.endswith(_WITH_REFERENCES):
                continue  # a template literal of JavaScript
            required = required and not file.endswith(".php")  # there, one that is not set is null
            _note(found, Variable(name, required, file))
        for match in _CALLS.finditer(text):
            _note(found, Variable(match[2], bool(match[1] or match[3]), file))
        for name, required in _read_schemas(text, file):
            _note(found, Variable(name, required, file))
    return sorted(found.values())


def _note(found: dict[str, Variable], variable: Variable) -> None:
    """Note a variable. The file that reads it first counts, and that it has a default anywhere."""
    known = found.get(variable.name)
    if known is None or (known.required and not variable.required):
        found[variable.name] = variable if known is None else variable._replace(file=known.file)


def _read_schemas(text: str, file: str) -> Iterator[tuple[str, bool]]:
    """Read the names that schemas of settings declare, and whether each is required."""
    for match in _SCHEMAS.finditer(text) if not file.endswith(".py") else ():
        if match[2]:
            yield match[2], bool(match[1])
        elif match[3]:
            yield match[3], re.search(r"optional|default", match[4]) is None
        else:
            yield match[5], False
    if file.endswith(".cs"):
        yield from ((f"{_CONNECTION}{match[1]}", False) for match in _CONNECTION_READ.finditer(text))
    if file.endswith(".py") and "BaseSettings" in text:
        yield from ((match[1].upper(), not match[2]) for match in _FIELD.finditer(text))


def _read_match(match: re.Match[str]) -> tuple[str, bool]:
    if match[1]:
        optional = match[2] == "," or ".get" in match[0] or "getenv" in match[0].lower() or "LookupEnv" in match[0]
        optional = optional or re.match(r"ENV\s*\[", match[0]) is not None  # nil in Ruby
        return match[1], not optional
    if match[5]:
        return match[5], not match[6]
    if match[7]:
        return match[7], match[8] != "="
    return match[3] or match[4] or match[9], False


_CONNECTION = "ConnectionStrings__"
_CONNECTIONS = {
    "postgres": "Host={postgres.host};Port={postgres.port};Username={postgres.user};Password={postgres.password};"
    "Database={postgres.database}",
    "mysql": "Server={mysql.host};Port={mysql.port};User={mysql.user};Password={mysql.password};"
    "Database={mysql.database}",
}


def choose_settings(
    variables: list[Variable], kinds: Mapping[str, str], framework: str, manifests: Mapping[str, str], image: str = ""
) -> Iterator[Setting]:
    """Choose a value for each variable that is about a service, and list those that must be set by the user.

    `image`: of PostgreSQL, if there is one.
    """
    settings = list(_choose_values(variables, kinds, framework, manifests, image))
    yield from settings
    named = " ".join(setting.value for setting in settings if setting.active)
    urls = {"DATABASE_URL": find_sql(kinds), "REDIS_URL": "redis"}
    for variable in variables:  # a run sets them only for services that no variable here names
        kind = urls.get(variable.name, "")
        known = any(setting.name == variable.name for setting in settings)
        if kind in kinds and f"{{{kind}." in named and not known:
            yield Setting(variable.name, f"{{{kind}.url}}")
    if framework == "ASP.NET Core":
        text = _CONNECTIONS.get(find_sql(kinds), "")
        read = [variable.name for variable in variables if variable.name.startswith(_CONNECTION)]
        yield from (Setting(name, text) for name in read if text)
    if framework == "Rails" and "SECRET_KEY_BASE" not in {setting.name for setting in settings}:
        yield Setting("SECRET_KEY_BASE", _DUMMY, _NOTE)  # Rails itself reads it


def _choose_values(
    variables: list[Variable], kinds: Mapping[str, str], framework: str, manifests: Mapping[str, str], image: str
) -> Iterator[Setting]:
    names = {variable.name for variable in variables}
    prefix = _find_prefix(names)
    if "DATABASE_URL" in names and (url := find_alchemy_url(manifests, kinds)):
        yield Setting("DATABASE_URL", url, "SQLAlchemy's form for the driver: check which one the code expects")
    if framework == "Spring Boot" and find_sql(kinds):
        for name in ("SPRING_DATASOURCE_URL", "SPRING_DATASOURCE_USERNAME", "SPRING_DATASOURCE_PASSWORD"):
            yield Setting(name, find_value(name, kinds) or "")
            names.discard(name)
    for variable in variables:
        if variable.name in _GIVEN or variable.name in _ORDINARY or variable.name not in names:
            continue
        value = find_value(variable.name, kinds) or find_value(variable.name.removeprefix(prefix), kinds)
        if variable.name == "APP_KEY" and framework == "Laravel":
            yield Setting(variable.name, _LARAVEL_KEY, _NOTE)
        elif value is not None:
            yield Setting(variable.name, _GIS_ENGINE if value == _ENGINE and "postgis" in image else value)
        elif _SECRET.fullmatch(variable.name):
            needed = variable.required or _NEEDED.fullmatch(variable.name.removeprefix(prefix)) is not None
            needed = needed and not _FOREIGN.search(variable.name)
            yield Setting(variable.name, _DUMMY, _NOTE, active=needed)
        elif variable.required:
            yield Setting(variable.name, "…", f"{variable.file} requires it", active=False)


def find_sql(kinds: Collection[str]) -> str:
    """Find the kind of the database of SQL: PostgreSQL, else MySQL; empty without either."""
    return next((kind for kind in ("postgres", "mysql") if kind in kinds), "")


def find_alchemy_url(manifests: Mapping[str, str], kinds: Collection[str]) -> str:
    """Find the URL that SQLAlchemy expects for the driver that is installed; empty if it is the usual one."""
    text = "\n".join(manifests.values()).lower()
    if not re.search(r"sqlalchemy|sqlmodel", text) or re.search(r"\bpsycopg2|mysqlclient", text):
        return ""
    for driver, kind, scheme in _DRIVERS:
        if kind in kinds and re.search(driver, text):
            return _URL.format(scheme=scheme, kind=kind)
    return ""


def make_dummy(name: str, framework: str) -> str:
    """Find a value for a variable that is a secret, so that an application starts; empty if it is none."""
    if name == "APP_KEY" and framework == "Laravel":
        return _LARAVEL_KEY
    return _DUMMY if _SECRET.fullmatch(name) and not _FOREIGN.search(name) else ""


def choose_blank(values: Mapping[str, str], framework: str) -> Iterator[Setting]:
    """Choose values for secrets that an example of variables leaves blank, or of a form that does not work."""
    for name, value in values.items():
        if name == "APP_KEY" and framework == "Laravel" and not value.startswith("base64:"):
            yield Setting(name, _LARAVEL_KEY, _NOTE)
        elif not value and (chosen := make_dummy(name, framework)):
            yield Setting(name, chosen, _NOTE)


def _find_prefix(names: Collection[str]) -> str:
    """Find the prefix that an application's own variables have, such as `PAPERLESS_`; empty if few have one."""
    counts = Counter(f"{name.partition('_')[0]}_" for name in names if "_" in name)
    prefix, number = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return prefix if number >= _FEWEST_PREFIXED and not _GENERIC.fullmatch(prefix) else ""


def find_value(name: str, kinds: Mapping[str, str]) -> str | None:
    """Find the value of a variable for the services that there are: of PostgreSQL, else of MySQL."""
    for pattern, known in _KNOWN:
        value = known
        if find_sql(kinds) == "mysql":
            value = _OF_MYSQL.get(known) or known.replace("{postgres.", "{mysql.").replace(":postgresql:", ":mysql:")
        service = value.partition("{")[2].partition(".")[0] or (
            "postgres" if value in {"pgsql", "postgresql", _ENGINE} else ""
        )
        if re.fullmatch(pattern, name) and (not service or service in kinds):
            return value
    return None
