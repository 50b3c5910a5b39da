"""Two variants in one slot: they take turns, with services that write into the application's database."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.docker.conftest import make_owner
from tests.docker.footprint import Footprint
from tests.quiet import Quiet

from bench_action.config.load import Project
from bench_action.config.schema import Check, Profile, SeedStep, Service
from bench_action.engine.docker import DockerEngine
from bench_action.measure.measurer import Measurer
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell, make_solo_blocks
from bench_action.stack.stack import Stack, bring_up
from bench_action.verify.subjects import verify_subjects

pytestmark = pytest.mark.docker

NAMES = ("aiohttp", "again")
SHORT = Profile(path="/", connections=4, threads=2, duration=1, warmup=1)
# writes a row into the application's own database at each start, as an identity server does with its tables
WRITE = """\
psql "$URL" -qc 'CREATE TABLE IF NOT EXISTS keys (n int); INSERT INTO keys VALUES (1)' && echo written && exec sleep 900
"""
COUNT = """psql "$URL" -qAtc 'CREATE TABLE counted AS SELECT count(*) AS n FROM keys'"""
ADD = """\
import asyncio, asyncpg, os
async def add():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("INSERT INTO item (text) VALUES ('by a command')")
asyncio.run(add())
"""


def make_service(command: str, **keys: object) -> Service:
    body = {"kind": "other", "image": "postgres:17", "entrypoint": [], "env": {"URL": "{postgres.url}"}}
    return Service.model_validate({**body, "command": ["sh", "-c", command], **keys})


@pytest.fixture(scope="module")
def narrowed(project: Project) -> Project:
    """aiohttp twice, with a seed of three steps, and services before and after the database."""
    (project.folder / "more.sql").write_text("INSERT INTO item (text) VALUES ('when ready');", encoding="utf-8")
    services = {
        "keys": make_service(WRITE, depends_on=["postgres"], ready={"log": "^written$"}, memory="256m"),
        "count": make_service(COUNT, depends_on=["keys"], once=True),
    }
    seed = [SeedStep(file="seed.sql"), SeedStep(run=["python", "-c", ADD]), SeedStep(file="more.sql", after="ready")]
    after = {"depends_on": {"count": "service_completed_successfully"}}
    variant = project.config.variants["aiohttp"].model_copy(update=after)
    check = Check.model_validate({"name": "home", "request": {"path": "/"}, "expect": {"same": "all-variants"}})
    config = project.config.model_copy(
        update={
            "variants": dict.fromkeys(NAMES, variant),
            "services": {**project.config.services, **services},
            "checks": [check],
            "seed": seed,
        }
    )
    return replace(project, config=config)


@pytest.fixture(scope="module")
def turns(footprint: Footprint, narrowed: Project) -> Iterator[Stack]:
    engine = DockerEngine(make_owner(footprint), dict(os.environ))
    try:
        yield bring_up(engine, narrowed, {}, Quiet(), slots=1)
    finally:
        engine.remove()


def test_bring_up__variants_take_turns_in_one_slot(turns: Stack) -> None:
    assert turns.in_turns
    assert [subject.name for subject in turns.subjects] == ["aiohttp", "again"]
    assert [subject.slot for subject in turns.subjects] == ["a", "a"]
    assert [subject.name for subject in turns.present] == ["again"]
    assert [warning.code for warning in turns.warnings] == [Code.IN_TURNS]


def test_data__each_subject_has_what_all_steps_and_services_have_written(turns: Stack) -> None:
    for turn in turns.split_into_turns(turns.subjects):
        turns.admit(turn)
        for subject in turn:
            assert subject.database is not None
            assert subject.database.execute("SELECT count(*) FROM item") == ["22"], subject.name  # 20 of seed.sql
            assert subject.database.execute("SELECT n FROM counted") == ["1"], subject.name
            assert subject.database.execute("SELECT count(*) FROM keys") == ["2"], subject.name  # one for each start


def test_verify__compares_the_pages_of_variants_that_take_turns(turns: Stack, narrowed: Project) -> None:
    assert verify_subjects(turns, narrowed, Quiet()) == ()


def test_measurer__measures_each_subject_in_its_turn(turns: Stack) -> None:
    cells = [Cell(name, "head", "short") for name in NAMES]
    measurer = Measurer(turns, lambda _variant, _profile: SHORT, 10, 2, Quiet(), lambda _: None)
    blocks = make_solo_blocks(cells, blocks=1, warmup_s=1, seed=0, in_turns=True)
    trials = measurer.walk([block for block in blocks if block.phase == "capacity"])
    assert {trial.variant for trial in trials} == {*NAMES}
    assert all(trial.valid for trial in trials)
    assert all({"db", "cache", "keys"} <= {*trial.cpu_ms} for trial in trials)
    assert all(trial.service_memory_mib["keys"] > 0 for trial in trials)
