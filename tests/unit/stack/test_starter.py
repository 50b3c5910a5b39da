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
from bench_action.stack.hash_seed import ITSELF, NO_HASH_SEED, HashSeed
from bench_action.stack.images import Image, Images
from bench_action.stack.redis import Redis
from bench_action.stack.server import DatabaseServer
from bench_action.stack.slots import Slot
from bench_action.stack.starter import Starter
from bench_action.stack.subject import Database, Subject

pytestmark = pytest.mark.unit

WEB = Handle("1", "web", "subject", "web", 8000)
SEVEN = HashSeed(7, {ITSELF})


class Recorder:
    """An engine whose parts run these words; it keeps what is started, and what is started again with which seed.

    What is restarted has True in place of a seed.
    """

    def __init__(self, *words: str) -> None:
        self.words = words
        self.specs: list[ServiceSpec] = []
        self.again: list[tuple[str, str | bool | None]] = []
        self.pinned: list[Sequence[int]] = []
        self.limits: list[float] = []

    def run_once(self, _spec: ServiceSpec, timeout_s: float) -> None:
        self.limits.append(timeout_s)

    def start(self, spec: ServiceSpec) -> Handle:
        self.specs.append(spec)
        return WEB if spec.name == "web" else replace(WEB, id=spec.name, name=spec.name)

    def restart(self, handle: Handle) -> None:
        self.again.append((handle.id, True))

    def replace(self, handle: Handle, spec: ServiceSpec) -> Handle:
        self.again.append((handle.id, spec.env.get("PYTHONHASHSEED")))
        return replace(handle, id=f"{handle.id}'")

    def pin(self, _handle: Handle, cpus: Sequence[int]) -> None:
        self.pinned.append(cpus)

    def describe_program(self, _handle: Handle) -> Program:
        return Program(self.words, self.specs[0].env.keys())

    def ended(self) -> list[Exit]:
        return []


def make(
    engine: Recorder, services: Mapping[str, Any] | None = None, seed: Sequence[Any] = (), **keys: Any
) -> tuple[Starter, Subject]:
    """Make a starter, and a variant with these keys next to a database and a cache, and its companions."""
    body = {"services": services or {}, "seed": list(seed), "variants": {"web": {"image": "x", **keys}}}
    config = Config.model_validate(body)
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
    images = Images(Image("load", "2"), {}, {name: Image("y", "3") for name in services or {}})
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
    assert not starter.list_seedable(subject)  # it has not run yet
    assert starter.start(subject, started).handle == WEB
    assert list(starter.list_seedable(subject)) == [ITSELF]
    again = starter.start(subject, started, [0, 1], SEVEN)
    assert engine.again == [("1", "7")]
    assert (again.handle.id, started, engine.pinned) == ("1'", {"web": again.handle}, [[0, 1]])
    starter.start(subject, {}, [0, 1], HashSeed(8, {ITSELF}))  # in another slot
    assert [spec.env.get("PYTHONHASHSEED") for spec in engine.specs] == [None, "8"]


def test_start__a_hash_seed_does_not_outlast_its_block() -> None:
    """Next to a subject that takes none, it would be the same one in every block."""
    engine = Recorder("gunicorn", "app")
    starter, subject = make(engine)
    started: dict[str, Handle] = {}
    for seed in (SEVEN, NO_HASH_SEED, NO_HASH_SEED, SEVEN, NO_HASH_SEED):
        starter.start(subject, started, [], seed)
    assert [spec.env.get("PYTHONHASHSEED") for spec in engine.specs] == ["7"]
    assert engine.again == [("1", None), ("1'", True), ("1'", "7"), ("1''", None)]


def test_start__companions_have_the_hash_seed_too() -> None:
    engine = Recorder("gunicorn", "app")
    services = {"worker": {"build": ".", "worker": True}, "proxy": {"build": "proxy", "worker": True}}
    starter, subject = make(engine, services)
    started: dict[str, Handle] = {}
    starter.start(subject, started)
    assert sorted(starter.list_seedable(subject)) == [ITSELF, "proxy", "worker"]
    starter.start(subject, started, [], HashSeed(7, {ITSELF, "worker"}))
    assert sorted(engine.again) == [("1", "7"), ("proxy", True), ("worker", "7")]
    assert sorted(handle.id for handle in started.values()) == ["1'", "proxy", "worker'"]


def test_list_seedable__nothing_that_has_one_from_its_user() -> None:
    engine = Recorder("gunicorn", "app")
    starter, subject = make(engine, env={"PYTHONHASHSEED": "random"})
    starter.start(subject, {})
    assert not starter.list_seedable(subject)


def test_list_seedable__no_companion_that_is_not_built_and_may_install_something_at_its_start() -> None:
    starter, subject = make(
        Recorder("sh", "-c", "pip install celery && python -m celery"), {"jobs": {"image": "x", "worker": True}}
    )
    starter.start(subject, {})
    assert list(starter.list_seedable(subject)) == [ITSELF]


def test_start__again_without_a_hash_seed_is_the_same_container() -> None:
    engine = Recorder("node", "server.js")
    starter, subject = make(engine)
    started: dict[str, Handle] = {}
    starter.start(subject, started)
    assert not starter.list_seedable(subject)
    assert starter.start(subject, started).handle == WEB
    assert engine.again == [("1", True)]


def test_fill__a_command_of_the_seed_has_an_hour_and_a_setup_ten_minutes() -> None:
    engine = Recorder()
    starter, subject = make(engine, seed=[{"run": ["load"]}], setup=["migrate"])
    slot = Slot(cast(Engine, engine), "a")
    starter._fill(subject, slot)
    assert engine.limits == [600, 3600]
