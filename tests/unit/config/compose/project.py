"""What `docker compose config` prints, for tests: a file's services as parsed YAML, converted without compose."""

from pathlib import Path
from typing import Any

import yaml

from bench_action.config.compose.command import Answer
from bench_action.config.compose.merge import find_choice, merge
from bench_action.config.compose.read import ComposeReading, convert_project, parse_project
from bench_action.config.schema import Config


def read(folder: Path, services: str, bench: str = "", **others: Any) -> ComposeReading:
    """Convert services, written as compose prints them; `bench` is what `bench.yml` says."""
    data = {"services": yaml.safe_load(services), **others}
    project = parse_project(Answer(data), folder, "compose.yaml", {})
    return convert_project(project, folder, folder, find_choice(yaml.safe_load(bench) or {}, project.services))


def configure(folder: Path, services: str, bench: str = "", **others: Any) -> Config:
    """Return the configuration that services and `bench.yml` give together."""
    reading = read(folder, services, bench, **others)
    return Config.model_validate(merge(yaml.safe_load(bench) or {}, reading))


def add_context(folder: Path, name: str = ".", dockerfile: str = "FROM python:3.13-slim\n") -> str:
    """Add a folder with a Dockerfile, and return its path."""
    context = folder / name
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    return str(context.resolve())
