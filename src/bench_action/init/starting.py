"""Find out how an application is started: the port, the page that shows that it is ready, and what makes its tables."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bench_action.config.compose.parse import Health
from bench_action.config.kinds import SQL_KINDS, find_usual_port, guess_kind
from bench_action.config.variables import fill
from bench_action.init.application import Application
from bench_action.init.frameworks import UNKNOWN, Framework, read_manifests
from bench_action.init.routes.route import Route

_PORT = re.compile(
    r"(?:--port[= ]|-p |--server\.port=|(?:--bind|-b|--http|--http-socket)[= ]\S*:|0\.0\.0\.0:|\[::\]:|(?<=\s):)"
    r"(\d{2,5})\b"
)
_IMAGE_PORTS = {r"^(?:.*/)?(?:php:.*apache|httpd|nginx)": "80", r"^(?:.*/)?(?:tomcat|jetty|wildfly)(?::|$)": "8080"}
_LISTENS = re.compile(r"(?:[lL]isten|Run|ListenAndServe|Start)\(\s*(?:[\w.]*PORT[\w.]*\s*\|\|\s*)?[\"'`]?:?(\d{4,5})\b")
_SERVER_PORT = re.compile(
    r"^server\.port\s*[=:]\s*(\d{2,5})\b|^server:\s*\n(?:[ \t]+[^\n]*\n){0,10}?[ \t]+port:\s*(\d{2,5})\b", re.MULTILINE
)
_PORT_DEFAULT = re.compile(
    r"\b(\w{0,60}?)PORT[\"'`]?\]?\s*(?:\|\||\?\?|,)\s*[\"'`]?:?(\d{4,5})\b|"
    r"(?:\benv:\"(\w{0,60}?)(?:PORT)?\"\s+)?env-default:\"(\d{4,5})\""
)
# what comes before `PORT` in the names of variables for what an application depends on
_OF_SERVICE = re.compile(
    r"(?:^|_)(?:DB|DATABASE|SQL|PG|POSTGRES\w*|MYSQL|MARIADB|MSSQL|REDIS|VALKEY|CACHE|MONGO\w*|RABBIT\w*|AMQP|KAFKA|"
    r"MEMCACHED?|ELASTIC\w*|SMTP|MAIL\w*|EMAIL|BROKER|NATS)_"
)
_CLIENTS = re.compile(
    r"(?<![\w./-])(?:pg_isready|psql|pg_dump|pg_restore|createdb|mysqladmin|mysqldump|redis-cli|valkey-cli|mongosh|nc)\s"
    r"[^\n;&|]*"
)
_PORTS_OF_SERVICES = frozenset(
    str(find_usual_port(image))
    for image in ("postgres", "mysql", "redis", "mongo", "memcached", "rabbitmq", "elasticsearch")
)
_MIGRATES = re.compile(
    r"\bmigrate\b|db:(?:prepare|migrate|setup|schema:load)|alembic upgrade|flask db upgrade|create_all|create_db|"
    r"flyway|liquibase|\bgoose |dbmate|AutoMigrate|prisma db push"
)
_MOST_PACKAGES = 10
_PACKAGE_MANAGER = re.compile(r"\b(?:npm|yarn|pnpm|bun)\b")
_RUNNER = re.compile(r"\b((?:uv|poetry|pipenv|pdm|hatch|rye) run)\b")
_PYTHON_TOOLS = frozenset({"python", "alembic", "flask"})
_COMMENT_LINE = re.compile(r"^[ \t]*(?:#|//).*$", re.MULTILINE)
_CASE = re.compile(r"""\bcase\s+["']?\$\{?1[^\n]*\n(.{0,20000}?)^[ \t]*esac\b""", re.DOTALL | re.MULTILINE)
# of the entrypoint that Rails generates: only for the command `./bin/rails server`
_IF_SERVER = re.compile(r"""^[ \t]*if \[ "\$\{@: -2:1\}" ==.{0,2000}?^[ \t]*fi\b""", re.DOTALL | re.MULTILINE)
_BRANCH = re.compile(r"""^[ \t]*\(?([\w*.?|"' -]+)\)(.*?)(?=;;|\Z)""", re.DOTALL | re.MULTILINE)
_FUNCTION = re.compile(r"^(?:function\s+)?([\w-]+)\s*\(\)\s*\{(.{0,20000}?)^\}", re.DOTALL | re.MULTILINE)
# databases that a stack may keep tables in, by their image or the name of their service
_DATABASE = re.compile(
    r"postg|pgvector|timescale|mysql|maria|percona|mssql|sqlserver|oracle|cockroach|yugabyte|\bdb\b|database"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """A value, and why it was chosen; an empty reason needs no comment.

    `login`: whether it is of a page that requires authentication.
    """

    value: str
    reason: str = ""
    login: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """What makes the tables: a command for `setup`, or for `command`, which then starts the application as well.

    `note`: what to check about it; without either command, why.
    """

    setup: Sequence[str] = ()
    command: Sequence[str] = ()
    note: str = ""


def find_port(application: Application, framework: Framework) -> Guess | None:
    """Find the port: the compose file's, else the most reliable of the others, else the framework's default."""
    measured, compose = application.measured, application.compose
    if compose is not None and measured is not None and compose.has_port(measured):
        return None
    if application.front is not None:
        return Guess("80", f"a guess: {application.front.name} is a web server")
    if found := next(_list_ports(application), None):
        return found
    if framework is UNKNOWN:
        return Guess("8000", "a guess: nothing in the repository says which port")
    return Guess(str(framework.port), f"a guess: the default of {framework.name}")


def _list_ports(application: Application) -> Iterator[Guess]:
    """List the ports that EXPOSE, commands, scripts, PORT and sources name, in this order."""
    stage = application.build.stage
    if stage.ports:
        several = len(stage.ports) > 1
        yield Guess(str(stage.ports[0]), "the first port that the Dockerfile exposes" if several else "")
    start = fill(application.start, application.env, keep_quotes=True)
    yield from (Guess(port) for port in _find_arguments(start))
    if stage.health and (url := Health(stage.health, 0.0).find_url([])) is not None and url[0]:
        yield Guess(str(url[0]), "from the Dockerfile's HEALTHCHECK")
    for name, text in _list_scripts(application):
        yield from (Guess(port, f"from {name}") for port in _find_arguments(text))
    port = application.env.get("PORT", "")
    if re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536:
        yield Guess(port)
    yield from (Guess(port) for image, port in _IMAGE_PORTS.items() if re.search(image, stage.image))
    for name in application.sources.find("application.properties", "application.yml", "application.yaml"):
        if match := _SERVER_PORT.search(application.sources.read(name)):
            yield Guess(match[1] or match[2], f"from {name}")
    for name in application.sources.find_code(".js", ".ts", ".go", ".py"):
        yield from (Guess(port, f"from {name}") for port in _find_in_source(application.sources.read(name)))


def _find_arguments(text: str) -> Iterator[str]:
    """Find the ports that commands get as arguments, unless they are those of a database."""
    found = (match[1] for match in _PORT.finditer(f" {_CLIENTS.sub('', text)}"))
    yield from (port for port in found if port not in _PORTS_OF_SERVICES)


def _find_in_source(text: str) -> Iterator[str]:
    """Find the ports that a source listens on, or that are the default of a variable such as `PORT` or `SHOP_PORT`."""
    found = [match[1] for match in _LISTENS.finditer(text)]
    for match in _PORT_DEFAULT.finditer(text):
        prefix = match[1] or match[3] or ""
        if (not prefix or prefix.endswith("_")) and not _OF_SERVICE.search(prefix):
            found.append(match[2] or match[4])
    yield from (port for port in found if port not in _PORTS_OF_SERVICES)


def find_ready(
    application: Application, framework: Framework, routes: Sequence[Route], profiles: Sequence[Route]
) -> Guess | None:
    """Find what to ask: nothing if the compose file has a healthcheck, else a health check, or a page.

    An empty value stands for the HEALTHCHECK of the Dockerfile, which requests no page.
    """
    if application.measured is not None and application.measured.health:
        return None
    return _find_health_check(application, framework, routes, profiles) or Guess(
        profiles[0].path,
        "no health check found: any path that answers"
        f"{'' if profiles[0].needs_login else ' 200'} once the service is up",
        login=profiles[0].needs_login,
    )


def _find_health_check(
    application: Application, framework: Framework, routes: Sequence[Route], profiles: Sequence[Route]
) -> Guess | None:
    """Find a health check: the Dockerfile's, else that of a route or of the framework; None without one."""
    open_ones = [route for route in routes if route.is_health and not route.guarded]
    # a page called `status` is often one for people
    named = [Guess(route.path) for route in sorted(open_ones, key=lambda route: "status" in route.path.lower())]
    health = application.build.stage.health if application.front is None else ""
    url = Health(health, 0.0).find_url([]) if health else None
    stage = application.build.stage
    own = {*stage.ports, *(application.measured.parsed.ports if application.measured is not None else ())}
    if url is not None and url[1] != "/" and (not own or url[0] in {0, *own}):
        return Guess(url[1])
    if health and (not named or "status" in named[0].value.lower()):
        return Guess("", "the Dockerfile's HEALTHCHECK")
    if named:
        return named[0]
    if any("actuator" in text for text in read_manifests(application.sources).values()):
        return Guess("/actuator/health")
    if framework.name == "FastAPI" and (profiles[0].needs_login or not routes):
        return Guess("/docs", "FastAPI's own page: any path that answers 200 once the service is up")
    return None


def _list_scripts(application: Application) -> Iterator[tuple[str, str]]:
    """List the scripts that may start the application: those that its command names, and entrypoints."""
    sources = application.sources
    package = _find_package_scripts(application)
    if package:
        yield "package.json", package
    start = f"{application.start} {package}"
    words = {PurePosixPath(word).name for word in re.split(r"[\s;&|]+", start) if "/" in word or "." in word}
    copied = application.build.file.text
    for name in sources.names:
        file = PurePosixPath(name).name
        if file.startswith("Dockerfile"):
            continue
        if file in words or ("entrypoint" in file.lower() and file in copied) or file in {"start.sh", "prestart.sh"}:
            yield name, sources.read(name)


def _find_package_scripts(application: Application) -> str:
    """Find the scripts of `package.json` that the command runs, or an entrypoint, and those that they run in turn."""
    entrypoints = [name for name in application.sources.names if "entrypoint" in PurePosixPath(name).name.lower()]
    started = "\n".join([application.start, *(application.sources.read(name) for name in entrypoints)])
    if not _PACKAGE_MANAGER.search(started):
        return ""
    scripts: dict[str, str] = {}
    for name in application.sources.find("package.json")[:_MOST_PACKAGES]:
        scripts = _read_scripts(application.sources.read(name)) | scripts
    found: list[str] = []
    waiting = re.split(r"[\s;&|\"']+", started)
    while waiting:
        name = waiting.pop()
        if name in scripts:
            text = scripts.pop(name)
            found.append(text)
            waiting += re.split(r"[\s;&|\"']+", text)
    return "\n".join(found)


def _read_scripts(package: str) -> dict[str, str]:
    try:
        scripts = json.loads(package or "{}").get("scripts")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {str(name): str(text) for name, text in scripts.items()} if isinstance(scripts, dict) else {}


def find_setup(
    application: Application, framework: Framework, manifests: Mapping[str, str], kinds: Mapping[str, str]
) -> Setup:
    """Find a command that makes the tables, unless starting the application does.

    `kinds`: of the services that an application without a compose file has drivers for.
    """
    if by := _find_migrating(application):
        return Setup(note=f"{by} creates the tables")
    command, note = _find_migration(application, framework, manifests)
    if not command:
        return Setup()
    if application.front is not None:
        name = application.service.name if application.service is not None else "the application"
        job = f"`{' '.join(command)}`"
        return Setup(
            note=f"it would run in the image of {application.front.name}. If nothing else creates the tables, "
            f"add a service to the compose file that is built like {name} and runs {job}"
        )
    if _has_database(application, kinds):
        return Setup(command, note=note)
    return _start_with(application, command, note)


def _start_with(application: Application, command: Sequence[str], note: str) -> Setup:
    """Make tables whenever the application starts: they are in a file of its container, where no `setup` reaches."""
    stage = application.build.stage
    if application.builds and stage.command and not stage.entrypoint:
        start = stage.line or f"exec {shlex.join(stage.command)}"
        words = ["sh", "-c", f"{' '.join(command)} && {start}"]
        return Setup(
            command=words,
            note="; ".join(
                filter(None, ["creates the tables in a file of the container, then starts the application", note])
            ),
        )
    return Setup(
        note=f"the tables are in a file, which it cannot reach. Run `{' '.join(command)}` in the Dockerfile, or "
        "in `command`"
    )


def _has_database(application: Application, kinds: Mapping[str, str]) -> bool:
    """Whether the tables may be in a service; otherwise they are in a file, such as SQLite's."""
    if application.compose is None:
        return any(kind in kinds for kind in ("postgres", "mysql", "mssql"))
    return any(
        guess_kind(service.parsed.image) in SQL_KINDS
        or _DATABASE.search(f"{service.name.replace('_', ' ')} {service.parsed.image}") is not None
        for service in application.compose.services
        if service is not application.service
    )


def _find_migrating(application: Application) -> str:
    """Find what makes the tables when the stack starts; empty if nothing does."""
    compose = application.compose
    if compose is not None and any(_MIGRATES.search(" ".join(other.start)) for other in compose.services):
        return f"a command in {compose.path}"
    if _MIGRATES.search(application.start):
        return "its command"
    for name, text in _list_scripts(application):
        if _MIGRATES.search(_keep_what_runs(text, application.words)):
            return name
    return ""


def _keep_what_runs(text: str, words: Sequence[str]) -> str:
    """Keep what a script does for a command: of `case "$1"`, its own branch; of functions, those that are called."""
    text = _COMMENT_LINE.sub("", text)
    functions = {match[1]: match[2] for match in _FUNCTION.finditer(text)}
    kept = _FUNCTION.sub("", text)
    for case in _CASE.finditer(kept):
        own = [match[2] for match in _BRANCH.finditer(case[1]) if _is_branch(match[1], words)]
        kept = kept.replace(case[0], own[0] if own else "")
    if tuple(words[-2:]) not in {("./bin/rails", "server"), ("bin/rails", "server"), ("rails", "server")}:
        kept = _IF_SERVER.sub("", kept)
    for _ in range(3):
        called = [name for name in functions if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", kept)]
        kept = "\n".join([kept, *(functions.pop(name) for name in called)])
    return kept


def _is_branch(pattern: str, words: Sequence[str]) -> bool:
    names = [name.strip(" \"'") for name in pattern.split("|")]
    return any(name in words for name in names) or "*" in names


def _find_migration(
    application: Application, framework: Framework, manifests: Mapping[str, str]
) -> tuple[Sequence[str], str]:
    """Find the command of the framework, else of the tool for migrations; also return what to check about it."""
    sources = application.sources
    manage = PurePosixPath(next(iter(sources.find("manage.py")), "manage.py"))
    in_workdir = manage.parent.name == PurePosixPath(application.build.stage.workdir).name
    if framework.name == "Django" and manage.parent.name and not in_workdir:
        return _run_with(application, ["python", str(manage), *framework.setup[2:]]), "check its path in the image"
    everything = " ".join(manifests.values())
    alembic = next(iter(sources.find("alembic.ini")), "")
    prisma = ["migrate", "deploy"] if sources.find("*migrations/*/migration.sql") else ["db", "push"]
    scripts = _read_scripts(sources.read("package.json"))
    script = next((name for name in scripts if re.fullmatch(r"(?:typeorm:)?migrations?:(?:run|up|latest)", name)), "")
    tools: Sequence[tuple[object, Sequence[str], str]] = (
        (framework.setup, framework.setup, ""),
        ("flask-migrate" in everything.lower(), ["flask", "db", "upgrade"], ""),
        ("alembic.ini" in sources.names, ["alembic", "upgrade", "head"], ""),
        (alembic, ["alembic", "--config", alembic, "upgrade", "head"], "check its path in the image"),
        (sources.find("schema.prisma"), ["npx", "prisma", *prisma], "the image must contain prisma and its schema"),
        (sources.find("knexfile.*"), ["npx", "knex", "migrate:latest"], ""),
        ('"sequelize-cli"' in everything, ["npx", "sequelize-cli", "db:migrate"], ""),
        (script, ["npm", "run", script], "the image must contain what it runs"),
    )
    command, note = next(((command, note) for found, command, note in tools if found), ([], ""))
    return _run_with(application, command), note


def _run_with(application: Application, command: Sequence[str]) -> Sequence[str]:
    """Run a program of Python as the application's own command is run, such as by `uv run`."""
    texts = [application.start, *(text for _, text in _list_scripts(application))]
    runner = next((match[1] for text in texts if (match := _RUNNER.search(text))), "")
    return [*runner.split(), *command] if command and command[0] in _PYTHON_TOOLS else command
