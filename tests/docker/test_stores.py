"""Services that cannot be copied, and that jobs, a setup or a seed fill: each slot's own holds the same data."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.docker.conftest import make_owner
from tests.docker.footprint import Footprint
from tests.quiet import Quiet

from bench_action.config.load import Project
from bench_action.config.schema import SeedStep, Service
from bench_action.engine.docker import DockerEngine
from bench_action.stack.stack import Stack, bring_up

pytestmark = pytest.mark.docker

NAMES = ("aiohttp", "again")
FILL = """\
psql postgresql://postgres:store@store/ -qc 'CREATE TABLE IF NOT EXISTS thing (n int); INSERT INTO thing VALUES (1)'
"""
ADD = """\
import asyncio, asyncpg
async def add():
    connection = await asyncpg.connect("postgresql://postgres:store@store/postgres")
    await connection.execute("INSERT INTO thing VALUES (2)")
asyncio.run(add())
"""


@pytest.fixture(scope="module")
def filled(project: Project) -> Project:
    """aiohttp twice, with a database server whose kind is not known, which a job and a step of the seed fill."""
    image = {"kind": "other", "image": "postgres:17"}
    services = {
        "store": Service.model_validate({**image, "port": 5432, "env": {"POSTGRES_PASSWORD": "store"}}),
        "fill": Service.model_validate(
            {**image, "entrypoint": [], "command": ["sh", "-c", FILL], "depends_on": ["store"], "once": True}
        ),
    }
    after = {"depends_on": {"fill": "service_completed_successfully"}}
    variant = project.config.variants["aiohttp"].model_copy(update=after)
    config = project.config.model_copy(
        update={
            "variants": dict.fromkeys(NAMES, variant),
            "services": {**project.config.services, **services},
            "checks": [],
            "seed": [SeedStep(file="seed.sql"), SeedStep(run=["python", "-c", ADD])],
        }
    )
    return replace(project, config=config)


@pytest.fixture(scope="module")
def stack(footprint: Footprint, filled: Project) -> Iterator[Stack]:
    engine = DockerEngine(make_owner(footprint), dict(os.environ))
    try:
        yield bring_up(engine, filled, {}, Quiet())
    finally:
        engine.remove()


def test_bring_up__fills_the_stores_of_all_slots(stack: Stack) -> None:
    found = {}
    for slot in stack.slots:
        command = ["psql", "-U", "postgres", "-Atc", "SELECT count(*), sum(n) FROM thing"]
        found[slot.name] = stack.engine.exec(slot.handles["store"], command)
    assert found == {"a": (0, "4|6\n"), "b": (0, "4|6\n")}  # by two subjects


def test_bring_up__the_databases_that_are_copied_hold_each_subjects_data_once(stack: Stack) -> None:
    for subject in stack.subjects:
        assert subject.database is not None
        assert subject.database.execute("SELECT count(*) FROM item") == ["20"]
