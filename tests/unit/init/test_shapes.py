"""What `bench-action init` makes of repositories of shapes that public ones have: each once went wrong."""

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench_action.config.schema import Config
from bench_action.init.draft import Draft, make_draft
from bench_action.init.render import render_configuration, render_workflow
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

Make = Callable[[dict[str, str]], Draft]


@pytest.fixture
def draft(tmp_path: Path) -> Make:
    """Makes the draft of a git repository with these files."""

    def make(files: dict[str, str]) -> Draft:
        for name, text in {".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return make_draft(tmp_path)

    return make


def _configure(made: Draft) -> Mapping[str, Any]:
    """Read what is written for it, which must be valid, with what a compose file would add."""
    data: Mapping[str, Any] = yaml.safe_load(render_configuration(made))
    variants = {
        name: {**({"build": "."} if made.compose else {}), **(body or {})} for name, body in data["variants"].items()
    }
    Config.model_validate({**data, "compose": None, "variants": variants})
    return {**data, "variants": {name: body or {} for name, body in data["variants"].items()}}


def _compose(**services: object) -> str:
    return yaml.safe_dump({"services": services})


@pytest.mark.parametrize(
    ("files", "build"),
    [
        (  # miniflux: packages for Debian come first in the alphabet, and the sources are at the top
            {
                "go.mod": "module miniflux.app/v2\nrequire github.com/lib/pq v1",
                "packaging/debian/Dockerfile": 'FROM golang\nCOPY . /src\nCMD ["/src/packaging/debian/build.sh"]',
                "packaging/docker/alpine/Dockerfile": "FROM golang AS build\nADD . /go\nFROM alpine\nEXPOSE 8080",
            },
            {"context": ".", "dockerfile": "packaging/docker/alpine/Dockerfile"},
        ),
        (  # Visual Studio: paths in a project's Dockerfile begin at the top
            {
                "src/Web/Dockerfile": 'FROM sdk\nCOPY ["src/Web/Web.csproj", "src/Web/"]\nCOPY . .\nEXPOSE 8080',
                "src/Web/Web.csproj": "",
            },
            {"context": ".", "dockerfile": "src/Web/Dockerfile"},
        ),
        (
            {"src/main/docker/app/Dockerfile": "FROM maven\nCOPY ./pom.xml ./\nCOPY src ./src", "pom.xml": ""},
            {"context": ".", "dockerfile": "src/main/docker/app/Dockerfile"},
        ),
        (
            {
                "client/Dockerfile": "FROM node\nCOPY . .\nEXPOSE 3000",
                "server/Dockerfile": "FROM node\nCOPY . .\nEXPOSE 5000",
            },
            "server",
        ),
        (
            {"db/Dockerfile": "FROM postgres:16\nEXPOSE 5432", "site/Dockerfile": "FROM python:3\nEXPOSE 80"},
            "site",
        ),
        (  # ntfy: the first one copies a program that goreleaser has built
            {
                "Dockerfile": "FROM alpine\nCOPY ntfy /usr/bin",
                "Dockerfile-build": "FROM golang\nCOPY . .",
                "go.mod": "module x",
            },
            {"context": ".", "dockerfile": "Dockerfile-build"},
        ),
        (
            {"services/api/docker/Dockerfile": "FROM node\nCOPY . .\nEXPOSE 80", "services/api/package.json": "{}"},
            {"context": "services/api", "dockerfile": "docker/Dockerfile"},
        ),
        (  # web-monitoring-db: the last stage is a job
            {
                "Dockerfile": "FROM ruby AS base\nFROM base AS rails-server\nEXPOSE 3000\nCMD rails s\n"
                'FROM base AS status-update-job\nCMD ["bundle", "exec", "rake", "data:x"]'
            },
            {"context": ".", "target": "rails-server"},
        ),
        ({"Dockerfile": "FROM node AS dev\nEXPOSE 3000\nFROM node AS release\nCMD node server.js"}, "."),
        (
            {
                "Dockerfile": "FROM node\nCOPY --from=build /x /x\nCOPY --chown=a:b package*.json ./\n"
                "ADD https://x.example/y /\n",
                "package.json": "{}",
            },
            ".",
        ),
    ],
)
def test_build__of_the_dockerfile_that_is_the_application_s(draft: Make, files: dict[str, str], build: object) -> None:
    made = draft(files)
    assert _configure(made)["variants"]["web"]["build"] == build
    assert made.build is not None
    assert not made.build.missing


@pytest.mark.parametrize("is_there", [False, True])
def test_build__copies_what_is_not_under_git(draft: Make, is_there: bool) -> None:
    files = {"Dockerfile": "FROM eclipse-temurin:21\nCOPY target/shop-*.jar /app.jar", "pom.xml": ""}
    if is_there:
        files |= {"target/shop-1.jar": "", ".gitignore": "target/"}
    made = draft(files)
    assert made.build is not None
    assert is_there or list(made.build.missing) == ["target/shop-*.jar"]
    if made.build.missing:
        assert "# its image copies target/shop-*.jar, which is not under git: build it" in render_configuration(made)


@pytest.mark.parametrize(
    ("service", "name"),
    [("ghcr.io/umami-software/umami:latest", "umami"), ("listmonk/listmonk", "app"), ("jaegertracing/all-in-one", "")],
)
def test_compose__runs_a_published_image_of_the_application(draft: Make, service: str, name: str) -> None:
    """Its service has the variables and the healthcheck, and the Dockerfile builds it."""
    files = {
        "compose.yml": _compose(
            migrate={"image": service, "command": "migrate"},
            **{name or "trace": {"image": service, "ports": ["3000:3000"]}, "db": {"image": "postgres"}},
        ),
        "Dockerfile": "FROM node\nCOPY . .\nEXPOSE 3000",
        "package.json": f'{{"name": "@team/{service.rpartition("/")[2].partition(":")[0] if name else "other"}"}}',
    }
    variants = _configure(draft(files))["variants"]
    assert list(variants) == [name or "web"]
    assert variants[name or "web"]["build"] == "."
    assert ("port" in variants[name or "web"]) == (not name)


def test_compose__a_service_with_the_variant_s_usual_name_is_another_one(draft: Make) -> None:
    files = {"compose.yml": _compose(web={"image": "nginx", "ports": ["80:80"]}), "Dockerfile": "FROM x\nEXPOSE 80"}
    assert list(_configure(draft(files))["variants"]) == ["app"]


@pytest.mark.parametrize(
    "example", [".env.example", "env-example-relational", ".env.dist", "env.sample", ".env.local.example"]
)
def test_env_file__that_only_variables_of_the_compose_file_need(draft: Make, example: str) -> None:
    files = {
        "compose.yml": "services: {api: {build: ., ports: ['${APP_PORT}:${APP_PORT}']}, db: {image: 'x:${TAG:-1}'}}",
        "Dockerfile": "FROM node",
        example: "APP_PORT=3100\n",
        "env-example-document": "OTHER=1\n",
    }
    made = draft(files)
    assert list(made.env_files) == [(".env", example)]
    assert made.port is None
    workflow = yaml.safe_load(render_workflow("bench.yml", made, made.env_files))
    assert [step["run"] for step in workflow["jobs"]["benchmark"]["steps"] if "run" in step] == [
        f"test -e .env || cp -- {example} .env"
    ]


@pytest.mark.parametrize(
    ("manifest", "ignored", "needed"),
    [
        ('{"dependencies": {"dotenv": "1"}}', "node_modules\n", True),
        ('{"dependencies": {"dotenv": "1"}}', ".env\n", False),
        ("{}", "", False),
    ],
)
def test_env_file__that_the_application_reads_itself(draft: Make, manifest: str, ignored: str, needed: bool) -> None:
    files = {
        "compose.yml": _compose(api={"build": ".", "ports": ["80:80"]}),
        "Dockerfile": "FROM node\nCOPY . .",
        "package.json": manifest,
        ".dockerignore": ignored,
        ".env.example": "JWT_SECRET=x\n",
    }
    assert list(draft(files).env_files) == ([(".env", ".env.example")] if needed else [])


def test_secrets__that_nothing_sets_have_stand_ins(draft: Make) -> None:
    """As in Checkmate, wakapi, formbricks, rallly and BookStack."""
    compose = """
services:
  app:
    build: .
    ports: ["80:80"]
    env_file: .env
    environment:
      ENCRYPTION_KEY:
      JWT_SECRET: ${JWT_SECRET:?set it}
      SMTP_HOST: ${SMTP_HOST}
      OTHER: ${OTHER:-x}
secrets:
  salt: {environment: WAKAPI_PASSWORD_SALT}
"""
    files = {"compose.yml": compose, "Dockerfile": "FROM x", ".env.example": "SECRET_PASSWORD=\nNAME=\nSALT=given\n"}
    made = draft(files)
    data = _configure(made)
    value = "benchmark-benchmark-benchmark-benchmark"
    assert data["compose"] == {"file": "compose.yml", "env": {"JWT_SECRET": value, "WAKAPI_PASSWORD_SALT": value}}
    assert data["variants"]["app"]["env"] == {"ENCRYPTION_KEY": value, "SECRET_PASSWORD": value}
    assert "# It uses variables that nothing sets; give them values: compose: {file: …, env: {SMTP_HOST: …}}" in (
        render_configuration(made)
    )


def test_secrets__of_laravel_have_the_length_that_it_needs(draft: Make) -> None:
    files = {
        "compose.yml": _compose(app={"build": ".", "ports": [80], "env_file": ".env"}),
        "Dockerfile": "FROM php:8.4-apache",
        "composer.json": '{"require": {"laravel/framework": "^12"}}',
        ".env.example": "APP_KEY=SomeRandomString\n",
    }
    assert _configure(draft(files))["variants"]["app"]["env"]["APP_KEY"].startswith("base64:")


def test_build__names_arguments_without_a_default(draft: Make) -> None:
    """As in livebook, which is built on an image that an argument names."""
    text = render_configuration(draft({"Dockerfile": "ARG BASE\nARG B=x\nFROM ${B} AS a\nFROM ${BASE}\n"}))
    assert "# its Dockerfile has no default for BASE: build: {context: ., args: {…}}" in text


def test_env_file__is_complete(draft: Make) -> None:
    compose = "services: {api: {build: ., ports: ['${PORT}:80']}}"
    made = draft({"compose.yml": compose, "Dockerfile": "FROM x", ".env": "PORT=1", ".env.example": "PORT=1"})
    assert list(made.env_files) == []


@pytest.mark.parametrize(
    ("base", "override", "used"),
    [
        # eShopOnWeb: everything but the build is in the override file
        ({"build": "."}, {"ports": ["5106:80"], "environment": ["A=b"]}, True),
        ({"image": "x/web"}, {"build": "."}, True),  # symfony-docker
        # the template of FastAPI: the override file is for developers
        ({"build": ".", "environment": {"A": "b"}}, {"ports": ["80:80"], "command": "fastapi dev"}, False),
    ],
)
def test_override_file__is_read_if_it_describes_the_application(
    draft: Make, base: object, override: object, used: bool
) -> None:
    files = {
        "Dockerfile": "FROM x",
        "docker-compose.yml": _compose(app=base),
        "docker-compose.override.yml": _compose(app=override),
    }
    data = _configure(draft(files))
    assert data["compose"] == (["docker-compose.yml", "docker-compose.override.yml"] if used else "docker-compose.yml")
    assert list(data["variants"]) == ["app"]


@pytest.mark.parametrize(
    ("app", "nginx", "front"),
    [
        ("FROM php:8.4-fpm-alpine", "fastcgi_pass app:9000;", True),
        ("FROM php:8.4-fpm-alpine\nEXPOSE 9000", "", True),
        ("FROM python:3", "uwsgi_pass app:9000;", True),
        ("FROM php:8.4-fpm\nRUN apt-get install -y nginx\nEXPOSE 80", "", False),
        ("FROM serversideup/php:8.3-fpm-nginx", "proxy_pass http://app:8080;", False),
        ("FROM php:8.4-cli", "proxy_pass http://app:9000;", False),
    ],
)
def test_php_fpm__is_measured_through_its_web_server(draft: Make, app: str, nginx: str, front: bool) -> None:
    """As crater has it, and most applications of Laravel and Symfony."""
    services = {
        "app": {"build": ".", "expose": ["80" if "EXPOSE 80" in app else "9000"]},
        "nginx": {
            "image": "nginx",
            "ports": ["8080:80"],
            "volumes": [{"type": "bind", "source": "./nginx", "target": "/etc/nginx/conf.d"}],
        },
        "db": {"image": "mysql:8"},
    }
    files = {
        "compose.yml": _compose(**services),
        "Dockerfile": app,
        "nginx/default.conf": f"server {{ location / {{ {nginx} }} }}",
        "composer.json": '{"require": {"laravel/framework": "^12"}}',
    }
    made = draft(files)
    variant = _configure(made)["variants"]["nginx" if front else "app"]
    assert ("setup" in variant) != front
    assert ("built as app, and runs `php artisan migrate --force`" in render_configuration(made)) == front


@pytest.mark.parametrize(
    "service",
    [
        "labels: 5",
        "ports: [80], env_file: /",
        f"ports: [80], env_file: {'x' * 300}",
        "ports: [80], volumes: ['./loop:/x']",
        f"ports: [80], volumes: ['./{'y' * 300}:/x']",
        "ports: [80], volumes: ['../../../../etc:/x']",
        "environment: 3, ports: 4",
    ],
)
def test_compose__with_odd_values_raises_nothing_else(draft: Make, tmp_path: Path, service: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    compose = f"services: {{web: {{build: ., {service}}}, nginx: {{image: nginx, {service}}}}}"
    with suppress(InputError):
        assert render_configuration(draft({"compose.yml": compose, "Dockerfile": "FROM php:8-fpm"}))


@pytest.mark.parametrize("name", ["x\u2028    setup: [evil]\u2028    #", "\ud800", "x\x85    setup: [evil]"])
def test_comments__contain_no_line_of_a_repository(draft: Make, name: str) -> None:
    made = draft({"Dockerfile": f"FROM x\nCOPY [{json.dumps(name)}, '.']\n".replace("'", '"')})
    text = render_configuration(made)
    assert made.build is not None
    assert made.build.missing
    assert text.encode()
    assert "setup" not in yaml.safe_load(text)["variants"]["web"]


def test_files__outside_of_the_repository_are_not_read(draft: Make, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "env").write_text("ALLOWED_HOSTS=secret.example", encoding="utf-8")
    (outside / "ci.yml").write_text("    image: postgres:9-secret\n", encoding="utf-8")
    (tmp_path / ".env").symlink_to(outside / "env")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "workflows").symlink_to(outside)
    files = {
        "manage.py": 'setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")',
        "shop/settings.py": 'ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split()',
        "requirements.txt": "django\npsycopg\n",
        "Dockerfile": "FROM python\nCOPY . .",
    }
    assert "secret" not in render_configuration(draft(files)).replace("not a secret", "")
    compose = _compose(web={"build": ".", "ports": [80], "env_file": ".env"})
    assert "secret" not in render_configuration(draft({**files, "compose.yml": compose}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Dockerfile", "FROM x\nENV A=xxxxxxxxxx\n" + "ENV A=$A$A\n" * 60),
        ("Dockerfile", "FROM x\nCOPY */*/*/*/*/*/*/*/*/*/x .\n"),
        ("a/Security.java", 'SecurityFilterChain requestMatchers("' + "/**" * 40 + '/z").permitAll()'),
        ("a/Security.java", 'SecurityFilterChain requestMatchers("' + "/**/a" * 40 + '/z").permitAll()'),
        ("docker-entrypoint.sh", 'case "$1" in\n' * 4000),
        ("app/controllers/application_controller.rb", "\n" * 60_000),
        (".github/workflows/ci.yml", "\n" * 60_000),
        ("schema.prisma", "datasource " * 20_000),
        ("routes/web.php", "<?php\n" + "Route::get('/x', [X::class, 'y'])\n" * 4000),
    ],
)
def test_files__that_would_take_long_do_not(draft: Make, tmp_path: Path, name: str, text: str) -> None:
    """Each took minutes, or all memory. The suite limits the time of each test."""
    for number in range(12):
        (tmp_path / f"link{number}").symlink_to(".")
    files = {
        "Dockerfile": 'FROM x\nENTRYPOINT ["/docker-entrypoint.sh"]\nCOPY . .',
        "pom.xml": "spring-boot",
        "A.java": '@GetMapping("/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a") String x() {}',
        "config/routes.rb": "resources :items\n",
    }
    assert render_configuration(draft({**files, name: text}))


DJANGO = {
    "Dockerfile": 'FROM python:3\nEXPOSE 8000\nCMD ["gunicorn", "shop.wsgi"]',
    "requirements.txt": "django\npsycopg\n",
    "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")',
    "config/settings/base.py": "ALLOWED_HOSTS = []\n",
}
WITH_DATABASE = _compose(django={"build": ".", "ports": [8000]}, db={"image": "postgres"})


@pytest.mark.parametrize(
    ("files", "host"),
    [
        ({"config/settings/local.py": 'from .base import *\nALLOWED_HOSTS = ["localhost", "127.0.0.1"]'}, "localhost"),
        ({"config/settings/local.py": "from .base import *"}, "localhost"),
        ({"config/settings/local.py": 'ALLOWED_HOSTS = ["*"]'}, ""),
        ({"config/settings/local.py": 'ALLOWED_HOSTS = [".shop.example"]'}, "shop.example"),
        (
            {"config/settings/local.py": 'ALLOWED_HOSTS = env.list("HOSTS", default=["a.example", "b.example"])'},
            "a.example",
        ),
        ({"config/settings/local.py": 'ALLOWED_HOSTS = os.environ.get("HOSTS", "*").split(",")'}, ""),
        ({"config/settings/local.py": 'ALLOWED_HOSTS = os.environ["HOSTS"].split(",")'}, ""),
        (
            {
                "config/settings/local.py": 'ALLOWED_HOSTS = env("HOSTS", "*")',
                "compose.yml": WITH_DATABASE.replace(
                    "  django:\n", "  django:\n    environment: {HOSTS: 'x.example y.example'}\n"
                ),
            },
            "x.example",
        ),
        (
            {
                "config/settings/local.py": 'ALLOWED_HOSTS = ["*"]\n'
                'if v := os.getenv("ALLOWED_HOSTS"):\n    ALLOWED_HOSTS = v.split(",")',
                "compose.yml": WITH_DATABASE.replace(
                    "  django:\n", "  django:\n    environment: [ALLOWED_HOSTS=x.example]\n"
                ),
            },
            "x.example",
        ),
        (  # healthchecks: the example that has to be copied limits it
            {
                "config/settings/local.py": 'ALLOWED_HOSTS = envlist("HOSTS", "*")',
                ".env.example": "HOSTS=localhost\n",
                "compose.yml": WITH_DATABASE.replace("  django:\n", "  django:\n    env_file: .env\n"),
            },
            "localhost",
        ),
    ],
)
def test_host__that_django_allows(draft: Make, files: dict[str, str], host: str) -> None:
    data = _configure(draft({**DJANGO, "compose.yml": WITH_DATABASE, **files}))
    profile = next(iter(data["profiles"].values()))
    assert profile.get("headers") == ({"Host": host} if host else None)
    assert data["checks"][0]["request"].get("headers") == ({"Host": host} if host else None)
    assert data["variants"]["django"]["ready"].get("host", "") == host


def test_ready__takes_any_answer_of_a_page_that_asks_who_calls(draft: Make) -> None:
    files = {
        "Dockerfile": "FROM node\nEXPOSE 80",
        "package.json": '{"dependencies": {"express": "1"}}',
        "x.js": "app.get('/items', requireAuth, list)",
    }
    made = draft(files)
    assert _configure(made)["variants"]["web"]["ready"] == {"path": "/items", "status": [200, 401, 403]}
    assert "duration: 5s}  # needs a login: add `headers`" in render_configuration(made)


def test_host__is_chosen_by_a_variable_that_the_configuration_sets(draft: Make) -> None:
    files = {
        **DJANGO,
        "config/settings/local.py": 'ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")',
    }
    data = _configure(draft(files))
    assert data["variants"]["web"]["env"]["ALLOWED_HOSTS"] == "*"
    assert "headers" not in next(iter(data["profiles"].values()))


RAILS = {
    "Gemfile": 'gem "rails"\ngem "pg"\n',
    "Dockerfile": 'FROM ruby:3.4\nENV RAILS_ENV="production"\nCOPY . .\nEXPOSE 80\nCMD ["./bin/rails", "server"]',
    "config/routes.rb": 'Rails.application.routes.draw do\n  root "pages#home"\nend\n',
    "config/environments/production.rb": "config.force_ssl = true\n# config.assume_ssl = true\n",
    "config/environments/development.rb": "config.x = 1\n",
}


@pytest.mark.parametrize(
    ("files", "headers"),
    [
        ({}, {"X-Forwarded-Proto": "https"}),
        ({"config/environments/production.rb": "  config.force_ssl = true\n  config.assume_ssl = true"}, {}),
        ({"Dockerfile": "FROM ruby:3.4\nEXPOSE 3000\nCMD rails s"}, {"Host": "localhost"}),
        ({"Dockerfile": "FROM ruby\nCMD rails s", "config/environments/development.rb": "config.hosts.clear"}, {}),
        ({"config/environments/production.rb": 'config.hosts << "x.example"'}, {"Host": "x.example"}),
    ],
)
def test_headers__without_which_rails_refuses_or_redirects(draft: Make, files: dict[str, str], headers: object) -> None:
    data = _configure(draft({**RAILS, **files}))
    assert data["profiles"]["home"].get("headers", {}) == headers
    assert data["variants"]["web"]["env"]["SECRET_KEY_BASE"]


@pytest.mark.parametrize(
    ("dockerfile", "ready"),
    [
        ("HEALTHCHECK --interval=5s CMD curl -f http://localhost:8000/api/health || exit 1", {"path": "/api/health"}),
        ('HEALTHCHECK CMD ["/app", "healthcheck"]', {"healthcheck": True}),
        ("HEALTHCHECK CMD curl localhost\nHEALTHCHECK NONE", {"path": "/"}),
    ],
)
def test_ready__is_the_healthcheck_of_the_dockerfile(draft: Make, dockerfile: str, ready: object) -> None:
    data = _configure(draft({"Dockerfile": f"FROM python\n{dockerfile}\nEXPOSE 8000"}))
    assert data["variants"]["web"]["ready"] == ready


@pytest.mark.parametrize(
    ("dockerfile", "extra", "setup"),
    [
        (
            'FROM python\nCMD ["uv", "run", "gunicorn", "x"]',
            {},
            ["uv", "run", "python", "manage.py", "migrate", "--noinput"],
        ),
        ('FROM python\nCMD ["gunicorn", "x"]', {}, ["python", "manage.py", "migrate", "--noinput"]),
        # redash: a branch of the script that this command does not take creates tables
        (
            'FROM python\nENTRYPOINT ["/docker-entrypoint"]\nCMD ["server"]',
            {
                "docker-entrypoint": "create_db() {\n  manage create_db\n}\nserver() {\n  exec gunicorn\n}\n"
                'case "$1" in\n  create_db)\n    create_db\n    ;;\n  server)\n    server\n    ;;\nesac\n'
            },
            ["python", "manage.py", "migrate", "--noinput"],
        ),
        (
            'FROM python\nENTRYPOINT ["/docker-entrypoint"]\nCMD ["server"]',
            {"docker-entrypoint": 'case "$1" in\n  server)\n    python manage.py migrate\n    ;;\nesac\n'},
            None,
        ),
    ],
)
def test_setup__creates_tables_as_the_application_is_started(
    draft: Make, dockerfile: str, extra: dict[str, str], setup: object
) -> None:
    files = {"Dockerfile": dockerfile, "requirements.txt": "django\npsycopg", "manage.py": "", **extra}
    assert _configure(draft(files))["variants"]["web"].get("setup") == setup


def test_setup__of_a_file_is_part_of_the_command(draft: Make) -> None:
    """A command of `setup` runs in another container: SQLite's file would be lost."""
    files = {"requirements.txt": "django", "manage.py": "", "Dockerfile": 'FROM python\nCMD ["gunicorn", "x"]'}
    variant = _configure(draft(files))["variants"]["web"]
    assert variant["command"] == ["sh", "-c", "python manage.py migrate --noinput && exec gunicorn x"]
    assert "setup" not in variant


@pytest.mark.parametrize(
    ("manifest", "text", "services"),
    [
        ("Cargo.toml", '[dependencies.sqlx]\nfeatures = ["postgres"]', ["postgres"]),
        ("Cargo.toml", 'tokio-postgres = "1"\nredis = "1"', ["postgres", "redis"]),
        ("src/Web.csproj", '<PackageReference Include="Npgsql.EntityFrameworkCore.PostgreSQL" />', ["postgres"]),
        ("mix.exs", '{:postgrex, ">= 0.0.0"}', ["postgres"]),
        ("gradle/libs.versions.toml", 'postgresql = { module = "org.postgresql:postgresql" }', ["postgres"]),
        ("Cargo.toml", 'axum = "1"', []),
        ("package.json", '{"dependencies": {"mysql2": "3"}}', ["mysql"]),
        ("package.json", '{"dependencies": {"mysql2": "3", "pg": "8"}}', ["postgres"]),
        ("Dockerfile", "FROM php:8.4-apache\nRUN apt-get update && docker-php-ext-install pdo pdo_pgsql", ["postgres"]),
    ],
)
def test_services__by_the_packages_of_any_language(draft: Make, manifest: str, text: str, services: list[str]) -> None:
    made = draft({"Dockerfile": "FROM x\nCOPY . .", manifest: text})
    assert sorted(_configure(made)["services"]) == services
    assert ("as far as its packages show" in render_configuration(made)) == (not services)


def test_settings__name_only_services_that_there_are(draft: Make) -> None:
    """As in dani-garcia/vaultwarden, whose tests read the variables of MySQL and MariaDB too."""
    files = {"Cargo.toml": 'diesel = { features = ["mysql", "postgres"] }', "x.rs": 'env("MYSQL_HOST") env("DB_HOST")'}
    assert _configure(draft({"Dockerfile": "FROM x\nCOPY . .", **files}))["variants"]["web"]["env"] == {
        "DB_HOST": "{postgres.host}"
    }


def test_compose__with_tools_that_are_built_has_no_application(draft: Make) -> None:
    """As in spring-petclinic-microservices."""
    services = {
        "web": {"image": "team/web"},
        "grafana": {"build": "./grafana", "ports": [3000]},
        "prometheus": {"build": "./prometheus", "ports": [9090]},
    }
    files = {
        "compose.yml": _compose(**services),
        "grafana/Dockerfile": "FROM grafana/grafana:5",
        "prometheus/Dockerfile": "FROM prom/prometheus",
        "docker/Dockerfile": "FROM eclipse-temurin\nCOPY . .\nEXPOSE 8080",
    }
    variants = _configure(draft(files))["variants"]
    assert variants["app"]["build"] == {"context": ".", "dockerfile": "docker/Dockerfile"}


def test_services__without_any_packages_nothing_is_claimed(draft: Make) -> None:
    text = render_configuration(draft({"Dockerfile": "FROM x\nCOPY . ."}))
    assert "No file of packages was found" in text
    assert "as far as its packages show" not in text


@pytest.mark.parametrize(
    ("files", "image"),
    [
        (
            {".github/workflows/ci.yml": "    services:\n      db:\n        image: postgis/postgis:16-3.4\n"},
            "postgis/postgis:16-3.4",
        ),
        ({".github/workflows/ci.yml": "        image: postgres:${{ matrix.x }}\n"}, "postgres:17"),
        ({"shop/settings.py": 'INSTALLED_APPS = ["django.contrib.gis"]'}, "postgis/postgis:17-3.5"),
        ({"requirements.txt": "django\npsycopg\npgvector\n"}, "pgvector/pgvector:pg17"),
        ({}, "postgres:17"),
    ],
)
def test_services__have_the_image_that_the_tests_use(draft: Make, files: dict[str, str], image: str) -> None:
    data = _configure(draft({"Dockerfile": "FROM python", "requirements.txt": "django\npsycopg\n", **files}))
    assert data["services"]["postgres"]["image"] == image


def test_settings__keep_a_url_that_another_variable_would_hide(draft: Make) -> None:
    code = 'a = os.environ["CELERY_BROKER_URL"]\nb = os.environ["REDIS_URL"]\nc = os.environ["DATABASE_URL"]'
    data = _configure(draft({"Dockerfile": "FROM python", "requirements.txt": "flask\nredis\npsycopg", "x.py": code}))
    assert data["variants"]["web"]["env"] == {"CELERY_BROKER_URL": "{redis.url}", "REDIS_URL": "{redis.url}"}


def test_settings__of_mysql_and_laravel(draft: Make) -> None:
    """As monica has it: its services are in a compose file that builds nothing which is in the repository."""
    files = {
        "compose.yml": _compose(mysql={"image": "mysql:8"}),
        "Dockerfile": "FROM php:8.4-apache\nCOPY . .",
        "composer.json": '{"require": {"laravel/framework": "^12", "ext-pdo_mysql": "*"}}',
        "config/app.php": "env('APP_KEY'); env('DB_HOST'); env('DB_CONNECTION', 'sqlite'); env('SLACK_SECRET');",
        "package.json": '{"dependencies": {"mysql2": "1"}}',
    }
    variant = _configure(draft(files))["variants"]["web"]
    assert variant["port"] == 80
    assert {name: variant["env"][name] for name in ("DB_HOST", "DB_CONNECTION")} == {
        "DB_HOST": "{mysql.host}",
        "DB_CONNECTION": "mysql",
    }
    assert len(base64.b64decode(variant["env"]["APP_KEY"].removeprefix("base64:"))) == 32
    assert "SLACK_SECRET" not in variant["env"]


def test_framework__is_that_of_the_manifest_at_the_top(draft: Make) -> None:
    """As in dani-garcia/vaultwarden, which is written in Rust and has tests for browsers."""
    files = {"Dockerfile": "FROM rust\nCOPY . .", "Cargo.toml": "", "playwright/package.json": "{}"}
    assert draft(files).framework == "unknown"


def test_ready__of_a_healthcheck_that_asks_another_port_is_the_healthcheck(draft: Make) -> None:
    """As in dunglas/symfony-docker, whose HEALTHCHECK asks Caddy's own port for metrics."""
    made = draft(
        {"Dockerfile": "FROM dunglas/frankenphp\nEXPOSE 80\nHEALTHCHECK CMD curl -f http://localhost:2019/metrics"}
    )
    assert _configure(made)["variants"]["web"]["ready"] == {"healthcheck": True}


def test_env_file__that_nothing_says_what_is_in_it(draft: Make) -> None:
    """As in most repositories of teams: `.env` is not under git, and has no example."""
    files = {
        "compose.yml": _compose(api={"build": ".", "ports": [80], "env_file": [".env"]}, db={"image": "postgres"}),
        "Dockerfile": "FROM python",
        "requirements.txt": "flask\npsycopg\n",
        "app.py": 'a = os.environ["DB_HOST"]\nb = os.environ.get("OTHER", "x")',
    }
    made = draft(files)
    text = render_configuration(made)
    assert "# .env is needed and not under git: write it in a step of the workflow. The code needs DB_HOST" in text
    assert "# .env is needed and not under git: write it here, such as" in render_workflow("bench.yml", made)
    assert yaml.safe_load(render_workflow("bench.yml", made))


def test_env_file__whose_example_means_this_machine(draft: Make) -> None:
    """In a container, `localhost` is the container itself."""
    example = (
        "POSTGRES_HOST=localhost\nREDIS_URL=redis://127.0.0.1:6379/0\nSITE=http://localhost:3000\nMAIL=localhost.x\n"
    )
    files = {
        "compose.yml": _compose(
            api={
                "build": ".",
                "ports": [80],
                "env_file": [".env"],
                "environment": {"MONGO_URL": "mongodb://localhost/x"},
            },
            db={"image": "postgis/postgis"},
            cache={"image": "redis"},
            docs={"image": "mongo:7"},
        ),
        "Dockerfile": "FROM python",
        ".env.example": example,
    }
    assert _configure(draft(files))["variants"]["api"]["env"] == {
        "POSTGRES_HOST": "db",
        "REDIS_URL": "redis://cache:6379/0",
        "MONGO_URL": "mongodb://docs/x",
    }


def test_settings__of_a_database_that_nothing_sets(draft: Make) -> None:
    """As in 10-highthon/server: Prisma requires DATABASE_URL, and the compose file sets nothing."""
    files = {
        "compose.yml": _compose(api={"build": ".", "ports": [80]}, db={"image": "postgres"}),
        "Dockerfile": "FROM node",
        "package.json": '{"dependencies": {"prisma": "6"}}',
        "prisma/schema.prisma": 'datasource db {\n provider = "postgresql"\n url = env("DATABASE_URL")\n}',
    }
    variant = _configure(draft(files))["variants"]["api"]
    assert variant["env"] == {"DATABASE_URL": "{db.url}"}
    assert variant["setup"] == ["npx", "prisma", "db", "push"]
    files |= {"prisma/migrations/1/migration.sql": ""}
    assert _configure(draft(files))["variants"]["api"]["setup"] == ["npx", "prisma", "migrate", "deploy"]
    files["compose.yml"] = _compose(
        api={"build": ".", "ports": [80], "environment": {"DATABASE_URL": "x"}}, db={"image": "postgres"}
    )
    assert "env" not in _configure(draft(files))["variants"]["api"]


@pytest.mark.parametrize(("command", "made"), [(["./bin/rails", "server"], True), (["dev", "-b", "::"], False)])
def test_setup__of_the_entrypoint_that_rails_generates(draft: Make, command: list[str], made: bool) -> None:
    """It makes the tables only for its own command."""
    entrypoint = """#!/bin/bash -e
# If running the rails server then create or migrate existing database
if [ "${@: -2:1}" == "./bin/rails" ] && [ "${@: -1:1}" == "server" ]; then
  ./bin/rails db:prepare
fi
exec "${@}"
"""
    services = {"web": {"build": ".", "ports": [80], "command": command}, "db": {"image": "postgres"}}
    files = {
        "compose.yml": _compose(**services),
        "Dockerfile": 'FROM ruby\nENTRYPOINT ["/rails/bin/docker-entrypoint"]',
        "Gemfile": 'gem "rails"',
        "bin/docker-entrypoint": entrypoint,
    }
    assert ("setup" in _configure(draft(files))["variants"]["web"]) != made


def test_setup__is_a_script_of_the_package(draft: Make) -> None:
    files = {
        "Dockerfile": "FROM node",
        "package.json": '{"scripts": {"migration:run": "typeorm migration:run"}, "dependencies": {"pg": "8"}}',
    }
    assert _configure(draft(files))["variants"]["web"]["setup"] == ["npm", "run", "migration:run"]


@pytest.mark.parametrize(
    ("files", "framework"),
    [
        ({"pyproject.toml": 'djangorestframework = "3"', "manage.py": ""}, "Django"),
        ({"pyproject.toml": 'requests = "3"', "manage.py": ""}, "Django"),
        ({"requirements.txt": "fastapi", "frontend/package.json": '{"dependencies": {"next": "15"}}'}, "FastAPI"),
        (
            {"backend/Api.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web">', "web/package.json": '{"next": "1"}'},
            "ASP.NET Core",
        ),
    ],
)
def test_framework__is_the_one_of_the_image(draft: Make, files: dict[str, str], framework: str) -> None:
    image = "mcr.microsoft.com/dotnet/aspnet:9.0" if "NET" in framework else "python:3.13-slim"
    assert draft({"Dockerfile": f"FROM node AS web\nFROM {image}", **files}).framework == framework


def test_manifest__in_utf_16(draft: Make, tmp_path: Path) -> None:
    """As PowerShell writes `pip freeze > requirements.txt`."""
    (tmp_path / "requirements.txt").write_text("fastapi==1\r\npsycopg==3\r\n", encoding="utf-16")
    made = draft({"Dockerfile": "FROM python"})
    assert (made.framework, list(made.services)) == ("FastAPI", ["postgres"])


def test_note__on_what_a_run_refuses(draft: Make) -> None:
    files = {"compose.yml": _compose(web={"build": ".", "network_mode": "host"}), "Dockerfile": "FROM x"}
    assert "web:  # a run refuses it, as it has `network_mode: host`" in render_configuration(draft(files))


def test_seed__needs_a_database_that_a_run_knows(draft: Make) -> None:
    """One that is built from PostgreSQL is of no kind that can be seeded."""
    services = {"web": {"build": ".", "ports": [80]}, "db": {"build": "./db", "image": "shop_postgres"}}
    files = {
        "compose.yml": _compose(**services),
        "Dockerfile": "FROM x",
        "db/Dockerfile": "FROM postgres",
        "seed.sql": "SELECT 1;",
    }
    assert "seed" not in _configure(draft(files))


def test_port__of_an_argument(draft: Make) -> None:
    made = draft({"Dockerfile": "FROM node\nARG PORT=8080\nENV PORT=$PORT\nEXPOSE $PORT"})
    assert made.port is not None
    assert made.port.value == "8080"
