"""Which part of a repository `bench-action init` measures, and how it builds that: shapes that public ones have."""

from pathlib import Path

import pytest
from tests.unit.init.drafts import Make, configure, write_compose

from bench_action.init.render import render_configuration

pytestmark = pytest.mark.unit


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
    assert configure(made)["variants"]["web"]["build"] == build
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
        assert "# the Dockerfile copies target/shop-*.jar, which is not under git: build it" in render_configuration(
            made
        )


@pytest.mark.parametrize(
    ("service", "name"),
    [("ghcr.io/umami-software/umami:latest", "umami"), ("listmonk/listmonk", "app"), ("jaegertracing/all-in-one", "")],
)
def test_compose__runs_a_published_image_of_the_application(draft: Make, service: str, name: str) -> None:
    """Its service has the variables and the healthcheck, and the Dockerfile builds it."""
    files = {
        "compose.yml": write_compose(
            migrate={"image": service, "command": "migrate"},
            **{name or "trace": {"image": service, "ports": ["3000:3000"]}, "db": {"image": "postgres"}},
        ),
        "Dockerfile": "FROM node\nCOPY . .\nEXPOSE 3000",
        "package.json": f'{{"name": "@team/{service.rpartition("/")[2].partition(":")[0] if name else "other"}"}}',
    }
    variants = configure(draft(files))["variants"]
    assert list(variants) == [name or "web"]
    assert variants[name or "web"]["build"] == "."
    assert ("port" in variants[name or "web"]) == (not name)


def test_compose__a_service_with_the_variant_s_usual_name_is_another_one(draft: Make) -> None:
    files = {
        "compose.yml": write_compose(web={"image": "nginx", "ports": ["80:80"]}),
        "Dockerfile": "FROM x\nEXPOSE 80",
    }
    assert list(configure(draft(files))["variants"]) == ["app"]


def test_build__names_arguments_without_a_default(draft: Make) -> None:
    """As in livebook, which is built on an image that an argument names."""
    text = render_configuration(draft({"Dockerfile": "ARG BASE\nARG B=x\nFROM ${B} AS a\nFROM ${BASE}\n"}))
    assert "# its Dockerfile has no default for BASE: add `args: {…}` to `build`" in text


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
        "docker-compose.yml": write_compose(app=base),
        "docker-compose.override.yml": write_compose(app=override),
    }
    data = configure(draft(files))
    assert data["compose"] == (["docker-compose.yml", "docker-compose.override.yml"] if used else "docker-compose.yml")
    assert list(data["variants"]) == ["app"]


def test_compose__with_tools_that_are_built_has_no_application(draft: Make) -> None:
    """As in spring-petclinic-microservices."""
    services = {
        "web": {"image": "team/web"},
        "grafana": {"build": "./grafana", "ports": [3000]},
        "prometheus": {"build": "./prometheus", "ports": [9090]},
    }
    files = {
        "compose.yml": write_compose(**services),
        "grafana/Dockerfile": "FROM grafana/grafana:5",
        "prometheus/Dockerfile": "FROM prom/prometheus",
        "docker/Dockerfile": "FROM eclipse-temurin\nCOPY . .\nEXPOSE 8080",
    }
    variants = configure(draft(files))["variants"]
    assert variants["app"]["build"] == {"context": ".", "dockerfile": "docker/Dockerfile"}


def test_framework__is_that_of_the_manifest_at_the_top(draft: Make) -> None:
    """As in dani-garcia/vaultwarden, which is written in Rust and has tests for browsers."""
    files = {"Dockerfile": "FROM rust\nCOPY . .", "Cargo.toml": "", "playwright/package.json": "{}"}
    assert draft(files).framework == "unknown"


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
    files = {"compose.yml": write_compose(web={"build": ".", "network_mode": "host"}), "Dockerfile": "FROM x"}
    assert "web:  # a run will refuse it, as it has `network_mode: host`" in render_configuration(draft(files))


@pytest.mark.parametrize(
    ("files", "comment"),
    [
        ({"Dockerfile": "FROM python:3.13\nCOPY . ."}, "# the Dockerfile has no CMD: add `command`\n"),
        (
            {"Dockerfile": "FROM python:3.13\nCOPY . .", "Procfile": "worker: x\nweb: gunicorn app\n"},
            "# the Dockerfile has no CMD: add `command`, as the Procfile has it: gunicorn app\n",
        ),
        ({"Dockerfile": "FROM php:8.4-apache\nCOPY . ."}, ""),
        ({"Dockerfile": "FROM team/base\nCOPY . ."}, ""),
        ({"Dockerfile": "FROM python AS a\nCMD x\nFROM a"}, ""),
    ],
)
def test_build__that_starts_nothing(draft: Make, files: dict[str, str], comment: str) -> None:
    text = render_configuration(draft(files))
    assert comment in text
    assert ("has no CMD" in text) == bool(comment)
