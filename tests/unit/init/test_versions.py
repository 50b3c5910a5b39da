"""Versions of runtimes in a Dockerfile that is suggested."""

from pathlib import Path

import pytest

from bench_action.init.sources import Sources
from bench_action.init.versions import set_versions

pytestmark = pytest.mark.unit

WEB = '<Project Sdk="Microsoft.NET.Sdk.Web"><TargetFramework>net8.0</TargetFramework>'
PROJECT = '[project]\nrequires-python = "<3.13"'


@pytest.mark.parametrize(
    ("image", "files", "version"),
    [
        ("eclipse-temurin:21-jre", {"pom.xml": "<java.version>17</java.version>"}, "17-jre"),
        ("eclipse-temurin:21", {"pom.xml": "<maven.compiler.source>1.8</maven.compiler.source>"}, "8"),
        ("eclipse-temurin:21", {"build.gradle.kts": "kotlin { jvmToolchain(25) }"}, "25"),
        ("eclipse-temurin:21", {"build.gradle": "sourceCompatibility = JavaVersion.VERSION_1_8"}, "8"),
        ("eclipse-temurin:21", {"build.gradle": "java { sourceCompatibility = '17' }"}, "17"),
        ("eclipse-temurin:21", {"build.gradle": "languageVersion = JavaLanguageVersion.of(11)"}, "11"),
        ("eclipse-temurin:21", {".sdkmanrc": "java=17.0.9-tem"}, "17"),
        ("eclipse-temurin:21", {".tool-versions": "nodejs 20.1.0\njava temurin-17.0.2+8\n"}, "17"),
        ("eclipse-temurin:21", {".java-version": "graalvm-22.3.1+java17\n"}, "17"),
        ("eclipse-temurin:21", {".sdkmanrc": "# Java\njava=22.3.r17-grl\ngradle=8.5"}, "17"),
        ("eclipse-temurin:21", {".java-version": "openjdk64-11.0.2"}, "11"),
        ("eclipse-temurin:21", {"pom.xml": "<release>7</release>"}, "8"),
        ("eclipse-temurin:21", {"pom.xml": "<release>19</release>"}, "21"),
        ("eclipse-temurin:21", {"pom.xml": "<release>26</release>"}, "26"),
        ("eclipse-temurin:21", {"pom.xml": f"<release>{'9' * 5000}</release>"}, "21"),
        ("eclipse-temurin:21", {"pom.xml": "<java.version>${x}</java.version>"}, "21"),
        ("mcr.microsoft.com/dotnet/aspnet:9.0", {"a/x.csproj": "<TargetFramework>net8.0</TargetFramework>"}, "8.0"),
        (
            "mcr.microsoft.com/dotnet/sdk:9.0",
            {"x.csproj": "<TargetFrameworks>net8.0;net10.0</TargetFrameworks>"},
            "10.0",
        ),
        (
            "mcr.microsoft.com/dotnet/sdk:9.0",
            {"Directory.Build.props": "<T>net9.0</T>", "a/a.csproj": "<T>net6.0</T>", "src/b/b.csproj": WEB},
            "8.0",
        ),
        ("golang:1.25", {"go.mod": "module x\n\ngo 1.26.1\n"}, "1.26"),
        ("golang:1.25", {"go.mod": "module x\n\ngo 1.9\n"}, "1.25"),
        ("golang:1.25", {"go.mod": "module x\n\ngo 1.24\n\ntoolchain go1.27.0\n"}, "1.27"),
        ("node:22-slim", {".nvmrc": "v20.11\n"}, "20-slim"),
        ("node:22-slim", {".nvmrc": "lts/*\n", "package.json": '{"engines": {"node": "18.x"}}'}, "18-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": ">=18"}}'}, "22-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": ">=14 <17"}}'}, "16-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": "^18 || ^20"}}'}, "20-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": "14 - 18"}}'}, "18-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": "~18.1.0"}}'}, "18-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": ">18"}}'}, "22-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": "<=16.13"}}'}, "16-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": ">=24.1"}}'}, "24-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": "*"}}'}, "22-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": ">=18"}, "volta": {"node": "20.1.0"}}'}, "20-slim"),
        ("node:22-slim", {"package.json": '{"node": "18", "engines": {"node": "lts/*"}}'}, "22-slim"),
        ("node:22-slim", {"package.json": '{"engines": ["node"]}'}, "22-slim"),
        ("node:22-slim", {"package.json": '{"engines": {"node": "²"}}'}, "22-slim"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "~8.2.0"}}'}, "8.2-apache"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "~8.2"}}'}, "8.4-apache"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "^7.4"}}'}, "7.4-apache"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "^7.4|^8.0"}}'}, "8.4-apache"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": ">=7.4 <8.2"}}'}, "8.1-apache"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "8.1.*"}}'}, "8.1-apache"),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "~8.5.0"}}'}, "8.5-apache"),
        (
            "php:8.4-apache",
            {"composer.json": '{"require": {"php": "^8.0"}, "config": {"platform": {"php": "8.1"}}}'},
            "8.1-apache",
        ),
        ("php:8.4-apache", {"composer.json": '{"require": {"php": "^8.2"}}'}, "8.4-apache"),
        ("python:3.13-slim", {".python-version": "3.11.9\n"}, "3.11-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = "==3.12.*"'}, "3.12-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = ">=3.10,<3.13"'}, "3.12-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = ">=3.10,<3.13.1"'}, "3.13-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = "~=3.11.0"'}, "3.11-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = "~=3.11"'}, "3.13-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = "<=3.12"'}, "3.12-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = ">=3.14"'}, "3.14-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[project]\nrequires-python = ">=3.10, !=3.11.*"'}, "3.13-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.poetry.dependencies]\npython = ">=3.10,<3.15"'}, "3.13-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"'}, "3.13-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.11"'}, "3.11-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.poetry.dependencies]\npython = "3.11.*"'}, "3.11-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.mypy]\npython = "3.8"'}, "3.13-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.poetry.dependencies.python]\nversion = "~3.12"'}, "3.12-slim"),
        ("python:3.13-slim", {"pyproject.toml": '[tool.poetry.dependencies\npython = "3.11"'}, "3.13-slim"),
        ("python:3.13-slim", {"Pipfile": '[requires]\npython_version = "3.11"'}, "3.11-slim"),
        ("python:3.13-slim", {"tests/.python-version": "3.9", "examples/a/.python-version": "3.8"}, "3.13-slim"),
        ("python:3.13-slim", {"docs/.python-version": "3.9", "benchmarks/.python-version": "3.8"}, "3.13-slim"),
        ("python:3.13-slim", {"a/.python-version": "3.9", "pyproject.toml": PROJECT}, "3.12-slim"),
        ("python:3.13-slim", {".python-version": "3.9", "pyproject.toml": PROJECT}, "3.9-slim"),
        ("ruby:3.4", {".ruby-version": "ruby-3.3.6\n"}, "3.3.6"),
        ("ruby:3.4", {"Gemfile": "source 'x'\nruby '3.2'\n"}, "3.2"),
        ("ruby:3.4", {"Gemfile": "  ruby '~> 3.2.0'\n"}, "3.2"),
        ("ruby:3.4", {"Gemfile": "ruby '~> 3.2'\n"}, "3.4"),
        ("ruby:3.4", {"Gemfile": "ruby '>= 3.0', '< 3.3'\n"}, "3.2"),
        ("ruby:3.4", {"Gemfile": "ruby '3.3.6'\n"}, "3.3.6"),
        ("ruby:3.4", {"Gemfile": "ruby file: '.ruby-version'\n"}, "3.4"),
        ("composer:2", {"composer.json": "{}"}, "2"),
    ],
)
def test_version__is_the_one_that_the_repository_names(
    tmp_path: Path, image: str, files: dict[str, str], version: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    suggested = set_versions(f"FROM {image} AS build\nRUN make\n", Sources.from_folder(tmp_path))

    assert suggested == f"FROM {image.partition(':')[0]}:{version} AS build\nRUN make\n"


@pytest.mark.parametrize(
    ("image", "name", "text"),
    [
        ("ruby:3.4", "Gemfile", "\n" * 2**20),
        ("ruby:3.4", "Gemfile", " " * 2**20),
        ("node:22", "package.json", '{"engines": {"node": "' + "1" * 2**19 + '"}}'),
        ("node:22", "package.json", '{"a":' * 2**16),
        ("python:3.13", "pyproject.toml", "a." * 30_000 + "a = 1"),
        ("python:3.13", "pyproject.toml", "a = " + "[" * 60_000),
        ("eclipse-temurin:21", ".java-version", "a-" * 2**19),
        ("eclipse-temurin:21", "build.gradle", "sourceCompatibility" + " " * 2**19),
    ],
)
def test_a_file_that_would_take_long__does_not(tmp_path: Path, image: str, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert set_versions(f"FROM {image}", Sources.from_folder(tmp_path)) == f"FROM {image}"
