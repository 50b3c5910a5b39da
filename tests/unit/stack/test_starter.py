"""The environment that a subject is started with."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config
from bench_action.engine.protocol import Engine, Handle, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.model.progress import Progress
from bench_action.stack.images import Image, Images
from bench_action.stack.redis import Redis
from bench_action.stack.server import DatabaseServer
from bench_action.stack.starter import Starter
from bench_action.stack.subject import Database, Subject

pytestmark = pytest.mark.unit

WEB = Handle("1", "web", "subject", "web", 8000)


def start(**keys: Any) -> Mapping[str, str]:
    """Start a variant with these keys next to a database and a cache, and return its environment."""
    specs: list[ServiceSpec] = []

    def run(spec: ServiceSpec) -> Handle:
        specs.append(spec)
        return WEB

    config = Config.model_validate({"variants": {"web": {"image": "x", **keys}}})
    project = Project(config, load_policy("quick"), "quick", Path(), "bench.yml")
    database, cache = (
        SimpleNamespace(address=lambda url=url: {"url": url}) for url in ("postgresql://db", "redis://cache")
    )
    subject = Subject(
        "web",
        "head",
        config.variants["web"],
        Image("x", "1"),
        "",
        databases={"db": Database(cast(DatabaseServer, database), "")},
        caches={"cache": cast(Redis, cache)},
        addresses={"db": {"host": "db"}},
    )
    images = Images(Image("load", "2"), {}, {})
    engine = cast(Engine, SimpleNamespace(start=run, ended=list))
    agent, progress = cast(Agent, SimpleNamespace()), cast(Progress, SimpleNamespace())
    Starter(engine, project, None, images, agent, {}, progress).start(subject, {})
    return specs[0].env


def test_start__sets_the_urls_of_the_first_database_and_cache() -> None:
    assert start() == {"PORT": "8000", "DATABASE_URL": "postgresql://db", "REDIS_URL": "redis://cache"}
    assert start(env={"DB_HOST": "{db.host}"}).keys() == {"PORT", "DB_HOST", "REDIS_URL"}


def test_start__a_service_of_a_compose_file_keeps_its_own_defaults() -> None:
    assert start(service="web", env={"POSTGRES_USER": "shop"}) == {"PORT": "8000", "POSTGRES_USER": "shop"}
