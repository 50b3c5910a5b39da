"""What `bench-action init` makes of whole repositories: the files that it writes, and when it cannot."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_action.config.schema import Config
from bench_action.init.compose import read_compose_file
from bench_action.init.draft import make_draft, name_profiles
from bench_action.init.frameworks import FRAMEWORKS
from bench_action.init.needs import choose_settings, find_kinds, find_variables
from bench_action.init.render import render_configuration, render_workflow
from bench_action.init.routes.route import Route
from bench_action.init.sources import Sources
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

Repository = Callable[..., Path]

WITHOUT_COMPOSE = {
    "Dockerfile": 'FROM python:3.13\nCOPY . .\nEXPOSE 8080\nCMD ["uvicorn", "main:app", "--port", "8080"]\n',
    "requirements.txt": "fastapi\nsqlalchemy\nasyncpg\nredis\npymongo\n",
    "alembic.ini": "",
    "db/seed.sql": "SELECT 1;",
    "main.py": """
import os
from fastapi import FastAPI
app = FastAPI()
engine = create_async_engine(os.environ["DATABASE_URL"])
broker = os.environ["CELERY_BROKER_URL"]
host = os.getenv("DB_HOST", "localhost")
secret = os.environ["SECRET_KEY"]
other = os.environ["STRIPE_KEY"]
@app.get("/healthz")
def health(): ...
@app.get("/items")
def items(): ...
@app.get("/items/{item_id}")
def item(item_id: int): ...
@app.get("/me")
def me(): ...
""",
}
CONFIGURATION_WITHOUT_COMPOSE = """\
# What bench-action measures. Written by `bench-action init`; from now on it is yours to edit.
# Every key: https://github.com/org/bench-action/blob/main/docs/configuration.md

# What your service depends on. Queries and cache commands are counted; the key is the host name.
services:
  postgres: {image: "postgres:17", settings: {max_connections: 500}}  # requirements.txt has a driver for it
  redis: {image: "redis:8"}  # requirements.txt has a driver for it
# requirements.txt has a driver for MongoDB: add it to `services` if requests need it

# What is built and measured: this revision and the one that it is compared with.
variants:
  web:
    build: .
    port: 8080
    ready: {path: /healthz}
    setup: [alembic, upgrade, head]  # creates the tables
    env:
      DATABASE_URL: "postgresql+asyncpg://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/\
{postgres.database}"  \
# SQLAlchemy's form for the driver: check which one the code expects
      CELERY_BROKER_URL: "{redis.url}"
      DB_HOST: "{postgres.host}"
      SECRET_KEY: "benchmark-benchmark-benchmark-benchmark"  # a dummy for the benchmark, not a real secret
    #   STRIPE_KEY: "…"  # main.py requires it

# Data for every revision: on empty tables, a slow query looks fast.
seed: db/seed.sql

# The requests that are measured, each as a separate load. Choose a few pages that matter and that do real work.
profiles:
  items: {path: /items, connections: 64, threads: 2, duration: 5s}
  # more routes:
  # me: {path: /me, connections: 64, threads: 2, duration: 5s}  # may need a login: add a cookie or a token to `headers`
  # routes with parameters: fill in values that the seed contains
  # one-item: {path: '/items/{item_id}', connections: 64, threads: 2, duration: 5s}

# What every revision must do before it is measured, so that a fast error page never wins.
checks:
  - {name: items, request: {path: /items}, expect: {status: 200}}

# More queries than these are a regression, at any speed. `bench-action check --up` shows the numbers.
# work:
#   items: {queries: 1}
"""
WITH_COMPOSE = {
    "docker-compose.yml": """
services:
  web:
    build: ./web
    command: gunicorn shop.wsgi -w 2 -b :8000
    expose: ["8000"]
  worker: {build: ./web, command: celery -A shop worker}
  nginx: {build: ./nginx, ports: ["80:80"]}
  db: {image: "postgres:17"}
""",
    "nginx/Dockerfile": "FROM nginx",
    "web/Dockerfile": "FROM python:3.13\nWORKDIR /app\nCOPY . .\n",
    "web/requirements.txt": "Django==5.2\npsycopg2\n",
    "web/manage.py": "",
    "web/shop/settings.py": 'ROOT_URLCONF = "shop.urls"\nHOST = os.environ["DB_HOST"]\n',
    "web/shop/urls.py": 'urlpatterns = [path("", views.home), path("items/", views.items)]\n',
}
CONFIGURATION_WITH_COMPOSE = """\
# What bench-action measures. Written by `bench-action init`; from now on it is yours to edit.
# Every key: https://github.com/org/bench-action/blob/main/docs/configuration.md

# Services, builds and variables come from this file.
compose: docker-compose.yml

# What is built and measured: this revision and the one that it is compared with.
variants:
  web:
    ready: {path: /}  # no health check found: any path that answers 200 once the service is up
    setup: [python, manage.py, migrate, --noinput]  # creates the tables
    env:
      DB_HOST: "{db.host}"

# Data for every revision: on empty tables, a slow query looks fast. A file of SQL, such as a `pg_dump`:
# seed: seed.sql

# The requests that are measured, each as a separate load. Choose a few pages that matter and that do real work.
profiles:
  home: {path: /, connections: 64, threads: 2, duration: 5s}
  items: {path: /items/, connections: 64, threads: 2, duration: 5s}

# What every revision must do before it is measured, so that a fast error page never wins.
checks:
  - {name: home, request: {path: /}, expect: {status: 200}}
  - {name: items, request: {path: /items/}, expect: {status: 200}}

# More queries than these are a regression, at any speed. `bench-action check --up` shows the numbers.
# work:
#   home: {queries: 1}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Makes a git repository with these files."""

    def make(files: dict[str, str]) -> Path:
        for name, text in {".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return make


def test_configuration__without_a_compose_file(repository: Repository) -> None:
    text = render_configuration(make_draft(repository(WITHOUT_COMPOSE)))
    assert text == CONFIGURATION_WITHOUT_COMPOSE
    config = Config.model_validate(yaml.safe_load(text))
    assert set(config.services) == {"postgres", "redis"}


def test_configuration__with_a_compose_file(repository: Repository) -> None:
    folder = repository(WITH_COMPOSE)
    assert render_configuration(make_draft(folder)) == CONFIGURATION_WITH_COMPOSE
    assert make_draft(folder / "web" / "shop").folder == folder


def test_configuration__a_compose_file_for_developers(repository: Repository) -> None:
    """As cookiecutter-django has it, with its Dockerfile in `compose/local/django`."""
    dockerfile = {"compose/local/django/Dockerfile": "FROM python:3.13\nWORKDIR /app\nCOPY . .\n"}
    made = make_draft(repository(dockerfile)).build
    assert made is not None
    assert (made.context, made.dockerfile) == (".", "compose/local/django/Dockerfile")
    build = "{context: ., dockerfile: ./compose/local/django/Dockerfile}"
    compose = f"services: {{django: {{build: {build}, ports: ['8000:8000']}}}}"
    assert make_draft(repository({"docker-compose.local.yml": compose})).compose == ["docker-compose.local.yml"]


def test_configuration__a_compose_file_that_only_has_services(repository: Repository) -> None:
    files = {
        "compose.yaml": "services: {database: {image: 'postgres:17'}}",
        "Dockerfile": 'FROM ruby\nENV PORT=3000\nCMD ["bin/rails", "server"]',
        "Gemfile": 'gem "rails"\ngem "pg"\n',
        "config/database.yml": "host: <%= ENV['DB_HOST'] %>",
        "config/routes.rb": "Rails.application.routes.draw do\n  root 'x#y'\nend\n",
    }
    draft = make_draft(repository(files))
    assert draft.build is not None
    assert (draft.compose, draft.build.context, draft.build.dockerfile) == (["compose.yaml"], ".", "Dockerfile")
    assert draft.port is not None
    assert draft.port.value == "3000"
    settings = {setting.name: setting.value for setting in draft.settings if setting.name != "SECRET_KEY_BASE"}
    assert settings == {"DB_HOST": "{database.host}"}


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({}, ("no Dockerfile and no compose file found", "COPY . .")),
        ({"Gemfile": 'gem "rails"'}, ("no Dockerfile and no compose file found", "for Rails", "bin/rails")),
        (
            {"pom.xml": "spring-boot", "compose.yml": "services: {db: {image: postgres}}"},
            ("no Dockerfile found", "compose.yml builds no service", "mvnw"),
        ),
        ({"compose.yml": "services: ["}, ("no Dockerfile found", "compose.yml builds no service: while parsing")),
    ],
)
def test_draft__of_a_repository_that_nothing_builds(
    repository: Repository, files: dict[str, str], parts: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        make_draft(repository(files))
    message = "\n".join([str(caught.value), *caught.value.__notes__])
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("files", "port", "reason"),
    [
        ({"Dockerfile": "FROM x\nEXPOSE 9000/tcp 9001"}, "9000", "the first port that the Dockerfile exposes"),
        ({"Dockerfile": "FROM x\nARG P=7000\nEXPOSE $P"}, "7000", ""),
        ({"Dockerfile": "FROM x AS a\nEXPOSE 1234\nFROM a\nCMD run"}, "1234", ""),
        ({"Dockerfile": "FROM x\nCMD gunicorn -b 0.0.0.0:5001 app"}, "5001", ""),
        ({"Dockerfile": "FROM x\nENV A=1 PORT=6000"}, "6000", ""),
        ({"Dockerfile": "FROM x\nENV PORT=²"}, "8000", "a guess: nothing in the repository says which port"),
        ({"Dockerfile": "FROM x\nCMD uvicorn app --port ${PORT:-8080}"}, "8080", ""),
        ({"Dockerfile": "FROM x\nENV WEB=8081\nENTRYPOINT gunicorn --bind :$WEB"}, "8081", ""),
        ({"Dockerfile": "FROM x\nCMD ./start.sh", "start.sh": "uvicorn app --port 7777"}, "7777", "from start.sh"),
        ({"Dockerfile": "FROM x", "index.js": "app.listen(process.env.PORT || 4321)"}, "4321", "from index.js"),
        (  # ports of databases are no application's
            {
                "Dockerfile": "FROM node\nCMD ./start.sh",
                "start.sh": "until pg_isready -h db -p 5433; do sleep 1; done\nredis-cli -p 6380 ping && x --port 7777",
            },
            "7777",
            "from start.sh",
        ),
        (
            {"Dockerfile": "FROM x\nCMD pg_isready -p 5433 && gunicorn -b 0.0.0.0:5001 app"},
            "5001",
            "",
        ),
        (
            {
                "Dockerfile": "FROM x",
                "a.js": "const db = process.env.DB_PORT || 5433, cache = process.env.REDIS_PORT ?? 6379",
                "b.js": "const port = process.env.PORT || 4322",
            },
            "4322",
            "from b.js",
        ),
        (
            {"Dockerfile": "FROM x", "a.js": "const db = env.PGPORT || 5433\nconst port = env.SHOP_PORT || 4323"},
            "4323",
            "from a.js",
        ),
        (
            {"Dockerfile": "FROM x", "main.go": 'getEnv("DB_PORT", "5432")\ngetEnv("PORT", "4324")'},
            "4324",
            "from main.go",
        ),
        ({"Dockerfile": "FROM x", "go.mod": "module x"}, "8080", "a guess: the default of Go"),
        ({"Dockerfile": "FROM x", "main.go": 'app.Listen(":3210")'}, "3210", "from main.go"),
        (
            {"Dockerfile": "FROM x", "application.yml": "server:\n  a: b\n  port: 8181\n"},
            "8181",
            "from application.yml",
        ),
        ({"Dockerfile": "FROM x"}, "8000", "a guess: nothing in the repository says which port"),
    ],
)
def test_port__from_the_most_reliable_place(
    repository: Repository, files: dict[str, str], port: str, reason: str
) -> None:
    found = make_draft(repository(files)).port
    assert found is not None
    assert (found.value, found.reason) == (port, reason)


def test_port__of_the_stage_that_the_compose_file_builds(repository: Repository) -> None:
    stages = "FROM x AS builder\nEXPOSE 5000\nCMD flask run\nFROM scratch\nEXPOSE 9999\nCMD gunicorn app\n"
    compose = "services: {web: {build: {context: ., target: Builder}}}"
    draft = make_draft(repository({"compose.yml": compose, "Dockerfile": stages}))
    assert draft.port is not None
    assert draft.port.value == "5000"


def test_a_stage_that_is_a_job__is_read_if_the_compose_file_builds_it(repository: Repository) -> None:
    stages = "FROM x AS web\nEXPOSE 5000\nCMD rails s\nFROM x AS job\nCMD rake x\n"
    draft = make_draft(repository({"compose.yml": "services: {web: {build: .}}", "Dockerfile": stages}))
    assert draft.port is None or draft.port.value != "5000"


def test_profiles__have_names_that_a_configuration_allows() -> None:
    paths = ["/", "/api/items/", "/v2/items", "/{id}", "/items/{id}", "/ÄÖ", "/99", "/a/b/a.html", "/items", "/items"]
    names = [name for name, _ in name_profiles([Route(path) for path in paths])]
    assert len(set(names)) == len(paths)
    profile = {"path": "/", "connections": 8, "threads": 2, "duration": "1s"}
    Config.model_validate({"variants": {"w": {"build": "."}}, "profiles": dict.fromkeys(names, profile)})


@pytest.mark.parametrize(
    ("files", "seed", "loaded"),
    [
        (
            {"compose.yml": "{image: postgres, volumes: ['./db/seed.sql:/docker-entrypoint-initdb.d/2.sql']}"},
            "",
            True,
        ),
        ({"compose.yml": "{image: postgres, volumes: [./db:/docker-entrypoint-initdb.d]}"}, "", True),
        ({"compose.yml": "{image: postgres, volumes: [{type: bind, source: ./db, target: /x}]}"}, "", True),
        ({"docker/compose.yml": "{image: mysql, volumes: ['../db/seed.sql:/x']}"}, "", True),
        ({"compose.yml": "{image: other/db, volumes: ['.:/docker-entrypoint-initdb.d']}"}, "", True),
        ({"compose.yml": "{image: postgres, volumes: [{type: bind, source: db, target: /x}]}"}, "", True),
        ({"compose.yml": "{build: d}", "d/Containerfile": "COPY db/seed.sql /docker-entrypoint-initdb.d"}, "", True),
        ({"compose.yml": "{image: 'node:22', volumes: ['./:/app', 'db:/x']}"}, "db/seed.sql", False),
        ({"compose.yml": "{build: ./db}", "db/Dockerfile": "FROM x\nCOPY . /docker-entrypoint-initdb.d/"}, "", True),
        ({"compose.yml": "{build: d}", "d/Dockerfile": "COPY db/seed.sql /docker-entrypoint-initdb.d"}, "", True),
        ({"compose.yml": "{build: ./db}", "db/Dockerfile": "FROM x"}, "db/seed.sql", False),
        ({"compose.yml": "{image: postgres, volumes: ['db:/var/lib/postgresql/data']}"}, "db/seed.sql", False),
        ({"compose.yml": "{image: postgres}"}, "db/seed.sql", False),
        ({}, "db/seed.sql", False),
    ],
)
def test_seed__is_not_what_a_database_loads_itself(
    repository: Repository, files: dict[str, str], seed: str, loaded: bool
) -> None:
    app = {"Dockerfile": "FROM x", "db/seed.sql": "SELECT 1;", "requirements.txt": "psycopg"}
    top = {"": "..", "compose.yml": ".", "docker/compose.yml": ".."}
    made = {
        name: f"services: {{web: {{build: {top[name]}}}, db: {text}}}" if "compose" in name else text
        for name, text in files.items()
    }
    draft = make_draft(repository({**app, **made}))
    assert (draft.seed, draft.loaded) == (seed, "db/seed.sql" if loaded else "")
    configuration = render_configuration(draft)
    assert ("loads db/seed.sql" in configuration) == (loaded and draft.counts_queries)
    assert yaml.safe_load(configuration).get("seed", "") == (seed if draft.counts_queries else "")


@pytest.mark.parametrize("name", ["django", "fastapi", "flask", "sinatra", "express", "go", "jvm", "php"])
def test_seed__of_an_example_is_what_its_own_configuration_says(name: str) -> None:
    folder = Path("examples") / name
    own = yaml.safe_load((folder / "bench.yml").read_text(encoding="utf-8"))
    assert make_draft(folder.resolve()).seed == own.get("seed", "")


def test_compose__profiles_and_files_of_variables(repository: Repository) -> None:
    compose = {
        "web": {"build": ".", "profiles": ["web"], "ports": [80], "depends_on": {"db": {}}, "env_file": ["./.env.dev"]},
        "db": {"image": "postgres", "profiles": ["db"], "env_file": {"path": "other.env"}},
        "assets": {"build": ".", "profiles": ["assets"], "command": "worker"},
    }
    files = {"docker/compose.yml": yaml.safe_dump({"services": compose}), "docker/.env.dev-sample": "A=1"}
    draft = make_draft(repository({**files, "docker/Dockerfile": "FROM x"}))
    configuration = render_configuration(draft)
    assert yaml.safe_load(configuration)["compose"] == {"file": "docker/compose.yml", "profiles": ["web", "db"]}
    assert "# The stack needs docker/.env.dev: `cp docker/.env.dev-sample docker/.env.dev`" in configuration
    workflow = yaml.safe_load(render_workflow("bench.yml", draft, [("a b/.env", "x")]))
    assert [step["run"] for step in workflow["jobs"]["benchmark"]["steps"] if "run" in step] == [
        "test -e 'a b/.env' || cp -- x 'a b/.env'"
    ]


@pytest.mark.parametrize("config", ["bench.yml", "services/a b/bench.yml"])
def test_workflow__names_the_configuration(config: str, repository: Repository) -> None:
    workflow = yaml.safe_load(render_workflow(config, make_draft(repository(WITH_COMPOSE))))
    (step,) = [step for step in workflow["jobs"]["benchmark"]["steps"] if "bench-action@" in step["uses"]]
    assert step["with"] == {"config": config}
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}


@pytest.mark.parametrize(
    ("image", "command", "compiler"),
    [
        ("eclipse-temurin:21-jre", "", "the JVM"),
        ("amazoncorretto:21-alpine@sha256:0", "", "the JVM"),
        ("gcr.io/distroless/java21-debian12", "", "the JVM"),
        ("registry.example:5000/ubi9/openjdk-21-runtime", "", "the JVM"),
        ("bellsoft/liberica-openjre-alpine:21", "", "the JVM"),
        ("azul/zulu-openjdk:21", "", "the JVM"),
        ("payara/micro:6.2025.1", "", "the JVM"),
        ("debian:trixie", "/usr/bin/java -jar app.jar", "the JVM"),
        ("alpine", '["sh", "-c", "exec \\"$JAVA_HOME/bin/java\\" -jar /app.jar"]', "the JVM"),
        ("alpine", '["sh", "-c", "exec java $JAVA_OPTS -jar /app.jar"]', "the JVM"),
        ("pypy:3.11-slim", "", "PyPy"),
        ("debian:trixie", "pypy3 -m app", "PyPy"),
        ("python:3.13-slim", "gunicorn app", ""),
        ("node:24", "node javascript.js", ""),
        ("timbru31/java-node:21", "node server.js", ""),
        ("ruby:3.4", "", ""),
        ("scratch", "/app", ""),
    ],
)
def test_profiles__have_a_long_warm_up_if_the_application_is_compiled_while_it_runs(
    repository: Repository, image: str, command: str, compiler: str
) -> None:
    dockerfile = (
        f"ARG NAME={image}\nARG IMAGE=$NAME\nFROM maven AS build\nARG IMAGE\nFROM ${{IMAGE}} AS base\nFROM base\n"
    )
    dockerfile += f"CMD {command}\n"
    draft = make_draft(repository({"Dockerfile": dockerfile, "requirements.txt": ""}))
    assert draft.compiler == compiler
    configuration = render_configuration(draft)
    (profile,) = yaml.safe_load(configuration)["profiles"].values()
    assert profile.get("warmup") == ("60s" if compiler else None)
    assert (f": {compiler} needs up to a minute" in configuration) == bool(compiler)
    (step,) = [
        step
        for step in yaml.safe_load(render_workflow("bench.yml", draft))["jobs"]["benchmark"]["steps"]
        if "bench-action@" in step["uses"]
    ]
    assert step["with"] == {"config": "bench.yml", **({"max-minutes": 9} if compiler else {})}


def test_profiles__have_a_long_warm_up_if_compose_replaces_only_the_command_of_java(repository: Repository) -> None:
    compose = "services: {web: {build: ., command: --server.port=80, ports: [80]}}"
    files = {"Dockerfile": 'FROM team/base\nENTRYPOINT ["java", "-jar", "app.jar"]', "compose.yml": compose}
    assert make_draft(repository(files)).compiler == "the JVM"
    replaced = compose.replace("command", "entrypoint")
    assert not make_draft(repository({**files, "compose.yml": replaced})).compiler


def test_profiles__have_a_long_warm_up_with_spring_boot(repository: Repository) -> None:
    """Its Dockerfile may start a script in an image of the team's own."""
    files = {
        "Dockerfile": "FROM team/base",
        "pom.xml": "<parent><artifactId>spring-boot-starter-parent</artifactId></parent>",
    }
    assert make_draft(repository(files)).compiler == "the JVM"


@pytest.mark.parametrize(("code", "only"), [("", True), ("@app.get('/items')\ndef items(): ...", False)])
def test_profiles__say_that_a_health_check_does_little_work(repository: Repository, code: str, only: bool) -> None:
    main = f"app = FastAPI()\n@app.get('/healthz')\ndef health(): ...\n{code}"
    text = render_configuration(
        make_draft(repository({"Dockerfile": "FROM x", "requirements.txt": "fastapi", "main.py": main}))
    )
    assert ("# Only a health check was found, which does little work" in text) == only
    assert [profile["path"] for profile in yaml.safe_load(text)["profiles"].values()] == (
        ["/healthz"] if only else ["/items"]
    )


def test_names_from_a_repository__stay_inside_their_comment(repository: Repository) -> None:
    files = {**WITHOUT_COMPOSE, "x.py": 'os.environ["A_KEY"]', "compose.yml": 'services: {"a\\nb: 1": {build: .}}'}
    assert yaml.safe_load(render_configuration(make_draft(repository(files))))["variants"].keys() == {"a-b-1"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    compose=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["services", "web", "build", "ports", "environment", "healthcheck", "test", "command", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_damaged_files__raise_nothing(tmp_path: Path, compose: object) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(yaml.safe_dump(compose), encoding="utf-8")
    read_compose_file(path, tmp_path).choose()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
def test_variables__of_any_text_raise_nothing(tmp_path: Path, text: str) -> None:
    sources = Sources(tmp_path, ("a.py",), {"a.py": f'os.environ["A_B"]{text}'})
    found = find_variables(sources)
    list(choose_settings(found, find_kinds({"x": text}, sources), FRAMEWORKS[0].name, {}))
    assert "A_B" in {variable.name for variable in found}
