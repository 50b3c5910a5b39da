"""How `bench-action init` starts an application: port, probe, headers, tables."""

import pytest
from tests.unit.init.drafts import Make, configure, write_compose

from bench_action.init.render import render_configuration

pytestmark = pytest.mark.unit

DJANGO = {
    "Dockerfile": 'FROM python:3\nEXPOSE 8000\nCMD ["gunicorn", "shop.wsgi"]',
    "requirements.txt": "django\npsycopg\n",
    "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")',
    "config/settings/base.py": "ALLOWED_HOSTS = []\n",
}
WITH_DATABASE = write_compose(django={"build": ".", "ports": [8000]}, db={"image": "postgres"})
RAILS = {
    "Gemfile": 'gem "rails"\ngem "pg"\n',
    "Dockerfile": 'FROM ruby:3.4\nENV RAILS_ENV="production"\nCOPY . .\nEXPOSE 80\nCMD ["./bin/rails", "server"]',
    "config/routes.rb": 'Rails.application.routes.draw do\n  root "pages#home"\nend\n',
    "config/environments/production.rb": "config.force_ssl = true\n# config.assume_ssl = true\n",
    "config/environments/development.rb": "config.x = 1\n",
}


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
        "compose.yml": write_compose(**services),
        "Dockerfile": app,
        "nginx/default.conf": f"server {{ location / {{ {nginx} }} }}",
        "composer.json": '{"require": {"laravel/framework": "^12"}}',
    }
    made = draft(files)
    variant = configure(made)["variants"]["nginx" if front else "app"]
    assert ("setup" in variant) != front
    assert ("built like app and runs `php artisan migrate --force`" in render_configuration(made)) == front


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
    data = configure(draft({**DJANGO, "compose.yml": WITH_DATABASE, **files}))
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
    assert configure(made)["variants"]["web"]["ready"] == {"path": "/items", "status": [200, 401, 403]}
    assert "duration: 5s}  # may need a login: add a cookie or a token to `headers`" in render_configuration(made)


def test_host__is_chosen_by_a_variable_that_the_configuration_sets(draft: Make) -> None:
    files = {
        **DJANGO,
        "config/settings/local.py": 'ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")',
    }
    data = configure(draft(files))
    assert data["variants"]["web"]["env"]["ALLOWED_HOSTS"] == "*"
    assert "headers" not in next(iter(data["profiles"].values()))


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
    data = configure(draft({**RAILS, **files}))
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
    data = configure(draft({"Dockerfile": f"FROM python\n{dockerfile}\nEXPOSE 8000"}))
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
    assert configure(draft(files))["variants"]["web"].get("setup") == setup


def test_setup__of_a_file_is_part_of_the_command(draft: Make) -> None:
    """A command of `setup` runs in another container: SQLite's file would be lost."""
    files = {"requirements.txt": "django", "manage.py": "", "Dockerfile": 'FROM python\nCMD ["gunicorn", "x"]'}
    variant = configure(draft(files))["variants"]["web"]
    assert variant["command"] == ["sh", "-c", "python manage.py migrate --noinput && exec gunicorn x"]
    assert "setup" not in variant


def test_ready__of_a_healthcheck_that_asks_another_port_is_the_healthcheck(draft: Make) -> None:
    """As in dunglas/symfony-docker, whose HEALTHCHECK asks Caddy's own port for metrics."""
    made = draft(
        {"Dockerfile": "FROM dunglas/frankenphp\nEXPOSE 80\nHEALTHCHECK CMD curl -f http://localhost:2019/metrics"}
    )
    assert configure(made)["variants"]["web"]["ready"] == {"healthcheck": True}


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
        "compose.yml": write_compose(**services),
        "Dockerfile": 'FROM ruby\nENTRYPOINT ["/rails/bin/docker-entrypoint"]',
        "Gemfile": 'gem "rails"',
        "bin/docker-entrypoint": entrypoint,
    }
    assert ("setup" in configure(draft(files))["variants"]["web"]) != made


def test_setup__is_a_script_of_the_package(draft: Make) -> None:
    files = {
        "Dockerfile": "FROM node",
        "package.json": '{"scripts": {"migration:run": "typeorm migration:run"}, "dependencies": {"pg": "8"}}',
    }
    assert configure(draft(files))["variants"]["web"]["setup"] == ["npm", "run", "migration:run"]


def test_port__of_an_argument(draft: Make) -> None:
    made = draft({"Dockerfile": "FROM node\nARG PORT=8080\nENV PORT=$PORT\nEXPOSE $PORT"})
    assert made.port is not None
    assert made.port.value == "8080"
