"""What a database runs at its first start is each revision's own, on a real engine."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.docker.conftest import TINY_APP, make_owner
from tests.docker.footprint import Footprint
from tests.quiet import Quiet

from bench_action.config.baseline import load_base
from bench_action.config.load import load_project
from bench_action.config.rules import apply_rules
from bench_action.engine.docker import DockerEngine
from bench_action.stack.stack import Stack, bring_up

pytestmark = pytest.mark.docker

CONFIG = """\
services:
  db:
    image: postgres:17
    env: {POSTGRES_DB: shop, POSTGRES_USER: seller}
    files: {/docker-entrypoint-initdb.d: db}
variants:
  tiny: {build: app, ready: {path: /health}}
profiles:
  page: {path: /, connections: 4, threads: 2, duration: 1s}
"""
ROLE = "psql -v ON_ERROR_STOP=1 -U seller -d shop -c 'CREATE ROLE app LOGIN' -c 'CREATE SCHEMA own AUTHORIZATION app'\n"
TABLE = "CREATE TABLE own.item (id serial PRIMARY KEY, name text); ALTER TABLE own.item OWNER TO app;\n"
FILL = "INSERT INTO own.item (name) SELECT 'item ' || n FROM generate_series(1, {}) AS n;\n"
NUMBERS = "SELECT count(*), min(tableowner) FROM own.item, pg_tables WHERE tablename = 'item'"


def write_tree(folder: Path, files: Mapping[str, str]) -> Path:
    shutil.copytree(TINY_APP, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "db").mkdir()
    for name, text in files.items():
        (folder / "db" / name).write_text(text, encoding="utf-8")
    (folder / "bench.yml").write_text(CONFIG, encoding="utf-8")
    return folder


@contextmanager
def bring_up_both(
    footprint: Footprint, folder: Path, base: Mapping[str, str], head: Mapping[str, str]
) -> Iterator[Stack]:
    before = footprint.left()
    own = load_project(write_tree(folder / "head", head) / "bench.yml", "quick")
    judged, found, _ = apply_rules(own, load_base(own, write_tree(folder / "base", base)), "base")
    engine = DockerEngine(make_owner(footprint), dict(os.environ))
    try:
        yield bring_up(engine, judged, {}, Quiet(), base=found)
    finally:
        engine.remove()
    assert footprint.left() == before


def query(stack: Stack, revision: str, text: str) -> list[str]:
    database = stack.subject("tiny", revision).database
    assert database is not None
    return database.execute(text)


def test_bring_up__each_revision_begins_with_its_own_initial_data(footprint: Footprint, tmp_path: Path) -> None:
    base = {"1-role.sh": ROLE, "2-table.sql": TABLE, "3-rows.sql": FILL.format(20)}
    head = base | {"3-rows.sql": FILL.format(30), "4-index.sql": "CREATE INDEX by_name ON own.item (name);\n"}
    with bring_up_both(footprint, tmp_path, base, head) as stack:
        assert stack.lacks == {}
        indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 'item'"
        for _ in range(2):
            assert query(stack, "base", NUMBERS) == ["20|app"]
            assert query(stack, "head", NUMBERS) == ["30|app"]
            assert [query(stack, revision, indexes) for revision in ("base", "head")] == [["1"], ["2"]]
            query(stack, "head", "DELETE FROM own.item")
            stack.renew(*stack.subjects)


def test_bring_up__the_same_initial_data_are_loaded_once(footprint: Footprint, tmp_path: Path) -> None:
    files = {"1-role.sh": ROLE, "2-table.sql": TABLE, "3-rows.sql": FILL.format(20)}
    with bring_up_both(footprint, tmp_path, files, files) as stack:
        base, head = (stack.subject("tiny", revision) for revision in ("base", "head"))
        assert base.template == head.template
        assert [query(stack, revision, NUMBERS) for revision in ("base", "head")] == [["20|app"]] * 2


def test_bring_up__initial_data_of_base_that_fail_cost_only_base(footprint: Footprint, tmp_path: Path) -> None:
    head = {"1-role.sh": ROLE, "2-table.sql": TABLE, "3-rows.sql": FILL.format(30)}
    with bring_up_both(footprint, tmp_path, head | {"3-rows.sql": "SELECT nowhere;\n"}, head) as stack:
        assert stack.lacks["tiny"].status == "base-failed"
        assert any('column "nowhere" does not exist' in line for line in stack.lacks["tiny"].log)
        assert query(stack, "head", NUMBERS) == ["30|app"]
