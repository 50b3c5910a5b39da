"""The environment that a subject is started with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config
from bench_action.engine.protocol import Engine, Exit, Handle, Program, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.model.progress import Progress
from bench_action.stack.images import Image, Images
from bench_action.stack.redis import Redis
from bench_action.stack.server import DatabaseServer
from bench_action.stack.starter import Starter
from bench_action.stack.subject import Database, Subject

pytestmark = pytest.mark.unit

WEB = Handle("1", "web", "subject", "web", 8000)


class Recorder:
    """An engine whose parts run these words; it keeps what is started, and what is started again with which seed."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.specs: list[ServiceSpec] = []
        self.again: list[tuple[Handle, Mapping[str, str] | None]] = []
        self.pinned: list[Sequence[int]] = []

    def start(self, spec: ServiceSpec) -> Handle:
        self.specs.append(spec)
        return WEB

    def restart(self, handle: Handle) -> None:
        self.again.append((handle, None))

    def replace(self, handle: Handle, spec: ServiceSpec) -> Handle:
        self.again.append((handle, {"PYTHONHASHSEED": spec.env["PYTHONHASHSEED"]}))
        return replace(handle, id=f"{handle.id}'")

    def pin(self, _handle: Handle, cpus: Sequence[int]) -> None:
        self.pinned.append(cpus)

    def describe_program(self, _handle: Handle) -> Program:
        return Program(self.words, self.specs[0].env.keys())

    def ended(self) -> list[Exit]:
        return []


def make(engine: Recorder, **keys: Any) -> tuple[Starter, Subject]:
    """Make a starter, and a variant with these keys next to a database and a cache."""
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
    agent, progress = cast(Agent, SimpleNamespace()), cast(Progress, SimpleNamespace())
    return Starter(cast(Engine, engine), project, None, images, agent, {}, progress), subject


def start(**keys: Any) -> Mapping[str, str]:
    """Start a variant with these keys, and return its environment."""
    engine = Recorder()
    starter, subject = make(engine, **keys)
    starter.start(subject, {})
    return engine.specs[0].env


def test_start__sets_the_urls_of_the_first_database_and_cache() -> None:
    assert start() == {"PORT": "8000", "DATABASE_URL": "postgresql://db", "REDIS_URL": "redis://cache"}
    assert start(env={"DB_HOST": "{db.host}"}).keys() == {"PORT", "DB_HOST", "REDIS_URL"}


def test_start__a_service_of_a_compose_file_keeps_its_own_defaults() -> None:
    assert start(service="web", env={"POSTGRES_USER": "shop"}) == {"PORT": "8000", "POSTGRES_USER": "shop"}


def test_start__again_with_a_hash_seed_keeps_the_handle_that_it_gets_then() -> None:
    engine = Recorder("gunicorn", "app")
    starter, subject = make(engine)
    started: dict[str, Handle] = {}
    assert not starter.takes_hash_seed(subject)  # it has not run yet
    assert starter.start(subject, started).handle == WEB
    assert starter.takes_hash_seed(subject)
    again = starter.start(subject, started, [0, 1], 7)
    assert engine.again == [(WEB, {"PYTHONHASHSEED": "7"})]
    assert (again.handle.id, started, engine.pinned) == ("1'", {"web": again.handle}, [[0, 1]])
    starter.start(subject, {}, [0, 1], 8)  # in another slot
    assert [spec.env.get("PYTHONHASHSEED") for spec in engine.specs] == [None, "8"]


def test_takes_hash_seed__not_if_its_user_has_set_one() -> None:
    engine = Recorder("gunicorn", "app")
    starter, subject = make(engine, env={"PYTHONHASHSEED": "random"})
    starter.start(subject, {})
    assert not starter.takes_hash_seed(subject)


def test_takes_hash_seed__not_if_a_new_container_might_repeat_long_work() -> None:
    starter, subject = make(Recorder("sh", "-c", "pip install --requirement r.txt && python app.py"))
    starter.start(subject, {})
    assert starter.takes_hash_seed(replace(subject, startup_s=9.0))
    assert not starter.takes_hash_seed(replace(subject, startup_s=40.0))


def test_start__again_without_a_hash_seed_is_the_same_container() -> None:
    engine = Recorder("node", "server.js")
    starter, subject = make(engine)
    started: dict[str, Handle] = {}
    starter.start(subject, started)
    assert not starter.takes_hash_seed(subject)
    assert starter.start(subject, started).handle == WEB
    assert engine.again == [(WEB, None)]
