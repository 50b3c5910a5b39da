"""Which framework an application is written with, by its manifests, and what is known about each."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench_action.init.routes.decorated import find_decorated_routes
from bench_action.init.routes.django import find_django_routes
from bench_action.init.routes.dotnet import find_dotnet_routes
from bench_action.init.routes.go import find_go_routes
from bench_action.init.routes.java import find_spring_routes
from bench_action.init.routes.node import find_node_routes
from bench_action.init.routes.php import find_php_routes
from bench_action.init.routes.rails import find_rails_routes, find_sinatra_routes
from bench_action.init.routes.route import Route
from bench_action.init.routes.rust import find_rust_routes
from bench_action.init.sources import Sources

_PYTHON = (
    "requirements*.txt",
    "requirements*.in",
    "pyproject.toml",
    "Pipfile",
    "setup.py",
    "setup.cfg",
    "*requirements/*.txt",
)
_NODE = ("package.json",)
_RUBY = ("Gemfile",)
_GO = ("go.mod",)
_JAVA = ("pom.xml", "build.gradle", "build.gradle.kts")
_PHP = ("composer.json",)
_DOTNET = ("*.csproj", "*.fsproj")
_RUST = ("Cargo.toml",)
_OTHERS = (
    "Directory.Packages.props",
    "mix.exs",
    "libs.versions.toml",
    "build.sbt",
    "deno.json",
    "shard.yml",
)
MANIFESTS = (*_PYTHON, *_NODE, *_RUBY, *_GO, *_JAVA, *_PHP, *_DOTNET, *_RUST, *_OTHERS)

_PYTHON_DOCKERFILE = """\
FROM python:3.13-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
EXPOSE 8000
CMD {command}"""
_NODE_DOCKERFILE = """\
FROM node:22-slim
WORKDIR /app
COPY package*.json ./
RUN npm ci --omit=dev
COPY . .
EXPOSE 3000
CMD ["npm", "start"]"""
_RUBY_DOCKERFILE = """\
FROM ruby:3.4
WORKDIR /app
COPY Gemfile Gemfile.lock ./
RUN bundle install
COPY . .
EXPOSE 3000
CMD {command}"""
_GO_DOCKERFILE = """\
FROM golang:1.25 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -o /app .
FROM scratch
COPY --from=build /app /app
EXPOSE 8080
CMD ["/app"]"""
_JAVA_DOCKERFILE = """\
FROM eclipse-temurin:21 AS build
WORKDIR /src
COPY . .
RUN {command}
FROM eclipse-temurin:21-jre
COPY --from=build {jar} /app.jar
EXPOSE 8080
CMD ["java", "-jar", "/app.jar"]"""
_PHP_DOCKERFILE = """\
FROM php:8.4-apache
COPY . /var/www/html
EXPOSE 80"""
_COMPOSER_DOCKERFILE = """\
FROM composer:2 AS vendor
WORKDIR /app
COPY . .
RUN composer install --no-dev --no-scripts --ignore-platform-reqs --optimize-autoloader
FROM php:8.4-apache
RUN docker-php-ext-install pdo_mysql && a2enmod rewrite \\
 && sed -i 's#/var/www/html#/var/www/html/public#' /etc/apache2/sites-available/000-default.conf
COPY --from=vendor --chown=www-data:www-data /app /var/www/html
EXPOSE 80"""
_DOTNET_DOCKERFILE = """\
FROM mcr.microsoft.com/dotnet/sdk:9.0 AS build
WORKDIR /src
COPY . .
RUN dotnet publish PROJECT --configuration Release --output /app
FROM mcr.microsoft.com/dotnet/aspnet:9.0
WORKDIR /app
COPY --from=build /app .
EXPOSE 8080
CMD ["dotnet", "PROJECT.dll"]"""
_RUST_DOCKERFILE = """\
FROM rust:1-slim AS build
WORKDIR /src
COPY . .
RUN cargo build --release
FROM debian:stable-slim
COPY --from=build /src/target/release/PROJECT /app
EXPOSE 8080
CMD ["/app"]"""
_GUNICORN = '["gunicorn", "--bind", "0.0.0.0:8000", "{}"]'


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework. `mark`: its name in a manifest. `setup`: creates the tables. `port`: where it listens by default."""

    name: str
    manifests: tuple[str, ...]
    mark: str
    find_routes: Callable[[Sources], Iterator[Route]]
    dockerfile: str
    port: int = 8000
    setup: tuple[str, ...] = ()


def _no_routes(_sources: Sources) -> Iterator[Route]:
    return iter(())


# the first one that a repository has counts
FRAMEWORKS: Sequence[Framework] = (
    Framework(
        "Django",
        _PYTHON,
        r"\bdjango(?:restframework)?\b(?!-)",
        find_django_routes,
        _PYTHON_DOCKERFILE.format(command=_GUNICORN.format("PROJECT.wsgi")),
        setup=("python", "manage.py", "migrate", "--noinput"),
    ),
    Framework(
        "FastAPI",
        _PYTHON,
        r"\bfastapi\b",
        find_decorated_routes,
        _PYTHON_DOCKERFILE.format(command='["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]'),
    ),
    *(
        Framework(
            name,
            _PYTHON,
            rf"\b{name.lower()}\b(?!-)",
            find_decorated_routes,
            _PYTHON_DOCKERFILE.format(command=_GUNICORN.format("app:app")),
            port,
        )
        for name, port in (
            ("Flask", 5000),
            ("Starlette", 8000),
            ("aiohttp", 8080),
            ("Sanic", 8000),
            ("Litestar", 8000),
            ("Quart", 5000),
        )
    ),
    Framework(
        "Rails",
        _RUBY,
        r"""gem\s+["']rails["']""",
        find_rails_routes,
        _RUBY_DOCKERFILE.format(command='["bin/rails", "server", "--binding", "0.0.0.0"]'),
        3000,
        ("bin/rails", "db:prepare"),
    ),
    Framework(
        "Sinatra",
        _RUBY,
        r"""gem\s+["']sinatra["']""",
        find_sinatra_routes,
        _RUBY_DOCKERFILE.format(command='["bundle", "exec", "puma", "--port", "3000"]'),
        4567,
    ),
    *(
        Framework(name, _NODE, rf'"{mark}"\s*:', find_node_routes, _NODE_DOCKERFILE, 3000)
        for name, mark in (
            ("NestJS", "@nestjs/core"),
            ("Next.js", "next"),
            ("Fastify", "fastify"),
            ("Koa", "koa"),
            ("Hono", "hono"),
            ("Express", "express"),
        )
    ),
    Framework(
        "Spring Boot",
        ("pom.xml",),
        r"spring-boot|springframework",
        find_spring_routes,
        _JAVA_DOCKERFILE.format(command="./mvnw --batch-mode package -DskipTests", jar="/src/target/*.jar"),
        8080,
    ),
    Framework(
        "Spring Boot",
        ("build.gradle", "build.gradle.kts"),
        r"spring-boot|springframework",
        find_spring_routes,
        _JAVA_DOCKERFILE.format(command="./gradlew bootJar", jar="/src/build/libs/*.jar"),
        8080,
    ),
    Framework(
        "Laravel",
        _PHP,
        r'"laravel/framework"',
        find_php_routes,
        _COMPOSER_DOCKERFILE,
        8000,
        ("php", "artisan", "migrate", "--force"),
    ),
    Framework("Symfony", _PHP, r'"symfony/framework-bundle"', find_php_routes, _COMPOSER_DOCKERFILE, 80),
    Framework(
        "ASP.NET Core",
        _DOTNET,
        r"Microsoft\.NET\.Sdk\.Web|Microsoft\.AspNetCore",
        find_dotnet_routes,
        _DOTNET_DOCKERFILE,
        8080,
    ),
    Framework("Rust", _RUST, r"\b(?:axum|actix-web|rocket)\b", find_rust_routes, _RUST_DOCKERFILE, 8080),
    Framework("PHP", _PHP, r"\{", find_php_routes, _PHP_DOCKERFILE, 80),
    Framework("Go", _GO, r"^module ", find_go_routes, _GO_DOCKERFILE, 8080),
    Framework("Node", _NODE, r"\{", find_node_routes, _NODE_DOCKERFILE, 3000),
    Framework(
        "Python", _PYTHON, r"", find_decorated_routes, _PYTHON_DOCKERFILE.format(command='["python", "main.py"]')
    ),
)
_DEEPEST = 3  # folders above a manifest
UNKNOWN = Framework("unknown", (), "", _no_routes, "FROM …\nCOPY . .\nEXPOSE 8000\nCMD […]")


# what an image is based on → the manifests of its language
_LANGUAGES = {
    r"dotnet|aspnet": _DOTNET,
    r"golang": _GO,
    r"\brust\b|cargo-chef": _RUST,
    r"ruby": _RUBY,
    r"php": _PHP,
    r"temurin|openjdk|corretto|\bj(?:re|dk)\b|maven|gradle": _JAVA,
    r"python|\buv\b|pypy": _PYTHON,
    r"node|\bbun\b": _NODE,
}


def find_framework(sources: Sources, images: Sequence[str] = ()) -> Framework:
    """Find the framework by the manifests nearest to the top; without one, by `manage.py`, else UNKNOWN.

    `images`: what the stages of its Dockerfile are based on; the last of a known language says which manifests count
    first. It is unknown as well if only another language has a manifest at the top, such as Rust.
    """
    for image in reversed(images):
        manifests = next((names for language, names in _LANGUAGES.items() if re.search(language, image.lower())), None)
        if manifests is not None:
            found = _find_first(sources, [each for each in FRAMEWORKS if set(each.manifests) <= set(manifests)])
            if found is not None:
                return found
            break
    tops = {name for name in sources.find(*MANIFESTS) if "/" not in name}
    others = {name for name in sources.find(*_RUST, *_OTHERS) if name in tops}
    found = _find_first(sources, FRAMEWORKS, only_top=bool(tops) and tops == others)
    return found or (FRAMEWORKS[0] if sources.find("manage.py") else UNKNOWN)


def _find_first(sources: Sources, frameworks: Sequence[Framework], *, only_top: bool = False) -> Framework | None:
    for framework in frameworks:
        if framework.name == "Python" and sources.find("manage.py"):
            return FRAMEWORKS[0]
        for manifest in sources.find(*framework.manifests):
            if manifest.count("/") > (0 if only_top else _DEEPEST):
                continue
            if re.search(framework.mark, sources.read(manifest) or "\0", re.IGNORECASE | re.MULTILINE):
                return framework
    return None


def read_manifests(sources: Sources) -> dict[str, str]:
    """Read all manifests: which packages an application needs."""
    return {name: sources.read(name) for name in sources.find(*MANIFESTS) if name.count("/") <= _DEEPEST}
