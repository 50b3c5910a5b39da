"""Histories that somebody edited, merged or broke, and records that no run would write."""

import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tests.faults.case import Case, Group, Problem, judge_ending
from tests.faults.command import run_command
from tests.faults.mutations import NUMBERS, TEXTS, mutate_bytes, mutate_lines, mutate_tree
from tests.faults.oracles import find_in_terminal
from tests.git import git
from tests.unit.factories import make_result, make_trial
from tests.unit.history.places import Memory, make_history, make_record

from bench_action.history import DEFAULT_BRANCH
from bench_action.history.layout import INDEX
from bench_action.history.record import Record, UnchangedCode, render_line

_RUNS = 45
_PENDING, _UNFINISHED = ".pending", ".unfinished"  # what a killed writer left
_TIMES = (
    "1970-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "2099-06-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-23",
    "2016-12-31T23:59:60Z",
    "now",
)
_LINES = (
    "null",
    "{}",
    "[]",
    "0",
    '"a"',
    "{",
    "\x00",
    '{"schema_version": 2}',
    '{"schema_version": true}',
    "<<<<<<< HEAD",
)
_Files = dict[str, bytes]


def examine(case: Case) -> Iterator[Problem]:
    """Append to a history, check it, draw it, replay a gate, and count errors of it. What it had stays in it."""
    chance = case.chance
    files = chance.choice(_MUTATIONS)(dict(_make_files()), chance)
    store = case.folder / "store"
    _write(store, files, as_repository=case.number % 20 == 0)
    result = case.folder / "result.json"
    result.write_text(_make_run(f"new-{case.number}"), encoding="utf-8")
    append = ("trend", "append", str(result))
    commands: list[tuple[str, ...]] = [append, ("trend", "check"), ("trend", "backtest", "--gate", "5%"), append]
    if case.number % 5 == 0:
        commands.append(("trend", "render", "--output", str(case.folder / "site")))
        commands.append(("ledger", "--output", str(case.folder / "ledger")))
    for words in commands:
        ended = run_command(case.folder, *words, "--store", str(store))
        yield from judge_ending(ended.status, ended.log, (0, 1, 2, 6))
        yield from (Problem("wrong", f"{words[:2]}: {text}") for text in find_in_terminal(ended.log))
        if words is append and not (store / ".git").exists():
            yield from _find_lost(files, store, ended.status, ended.log)


def _find_lost(before: _Files, store: Path, status: int, log: str) -> Iterator[Problem]:
    """Find the lines that an append lost; one that was refused changes nothing.

    The change of a killed writer is carried out first, and may replace anything.
    """
    if _PENDING in {Path(name).parts[0] for name in before}:
        return
    after = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    if status:
        changed = [name for name in before if before[name] != after.get(name) and not name.startswith(_UNFINISHED)]
        if changed:
            yield Problem("lost", f"a refused append changed {changed}\n{log}")
    lines = {line for content in after.values() for line in content.split(b"\n")}
    recent = [name for name in before if name in _make_files() and name.startswith("records/")]
    lost = {line for name in recent for line in before[name].split(b"\n") if line.strip()} - lines
    if not status and lost:
        yield Problem("lost", f"an append lost {len(lost)} lines, such as {min(lost)[:200]!r}\n{log}", len(lost))


def _write(store: Path, files: Mapping[str, bytes], *, as_repository: bool) -> None:
    for name, content in files.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(content)
    store.mkdir(exist_ok=True)
    if as_repository:
        git(store, "init", "--quiet", "--initial-branch", DEFAULT_BRANCH)
        git(store, "add", "--all", "--force")
        git(store, "commit", "--quiet", "--allow-empty", "--message", "history")
        git(store, "switch", "--quiet", "--create", "main")


@functools.cache
def _make_files() -> Mapping[str, bytes]:
    """Make the files of a history with a change, all of whose records are recent."""
    return _store(_list_records())


@functools.cache
def _list_records() -> tuple[Record, ...]:
    now = datetime.now(UTC)
    records = []
    for day in range(_RUNS):
        speed = (200 if day < 30 else 150) * (1 + 0.004 * (day * 7 % 5 - 2))
        at = (now - timedelta(days=_RUNS - day)).strftime("%Y-%m-%dT%H:%M:%SZ")
        more: dict[str, Any] = {"metrics": {"requests_per_second": (speed, speed - 1, speed + 1)}}
        more["unchanged"] = UnchangedCode(verdict="unchanged") if day % 3 == 0 else None
        records.append(make_record(f"run-{day}", at, sha=f"{day:040x}", config="bench.yml", **more))
    return tuple(records)


def _store(records: Sequence[Record]) -> _Files:
    place = Memory()
    make_history(place, now=lambda: datetime(9999, 1, 1, tzinfo=UTC)).append(records)
    return dict(place.files)


def _make_run(run_id: str) -> str:
    result = make_result([make_trial(block=block, speed=150 + block / 9) for block in range(1, 6)])
    at = datetime.now(UTC).isoformat(timespec="seconds")
    run = result.run.model_copy(update={"id": run_id, "started_at": at, "config": "bench.yml"})
    return result.model_copy(update={"run": run}).model_dump_json()


def _mutate_index(files: _Files, chance: random.Random) -> _Files:
    index = mutate_tree(json.loads(files[INDEX]), chance)
    return {**files, INDEX: json.dumps(index, default=str).encode(errors="replace")}


def _mutate_any_bytes(files: _Files, chance: random.Random) -> _Files:
    name = chance.choice(sorted(files))
    return {**files, name: mutate_bytes(files[name], chance)}


def _mutate_record(files: _Files, chance: random.Random) -> _Files:
    """Change a record in a way that the index has: without one, it is made from the records."""
    name = chance.choice([name for name in files if name.startswith("records/")])
    lines = files.pop(name).decode().split("\n")
    at = chance.randrange(len(lines) - 1)
    changed = mutate_tree(json.loads(lines[at]), chance)
    if chance.random() < 0.3 and isinstance(changed, dict):
        changed["at"] = chance.choice(_TIMES)
    lines[at] = json.dumps(changed)
    del files[INDEX]
    return {**files, name: "\n".join(lines).encode(errors="replace")}


def _mutate_record_lines(files: _Files, chance: random.Random) -> _Files:
    name = chance.choice([name for name in files if name.startswith("records/")])
    text = mutate_lines(files[name].decode(), chance, _LINES)
    if chance.random() < 0.7:
        del files[INDEX]
    return {**files, name: text.encode(errors="replace")}


def _move_files(files: _Files, chance: random.Random) -> _Files:
    """Remove, rename and add files; a change of a killed writer is among them."""
    name = chance.choice(sorted(files))
    content = files.pop(name)
    other = chance.choice(
        (
            "index.html",
            "records/2026-13.jsonl",
            "records/0000-01.jsonl",
            "records/a/b.jsonl",
            f"{_PENDING}/{name}",
            f"{_PENDING}/{INDEX}",
            f"{_PENDING}/records/2026-10.jsonl",
            f"{_UNFINISHED}/x",
            name,
            f"{name}.orig",
        )
    )
    return {**files, other: chance.choice((content, b"", b"\x00", b"{}"))}


def _write_odd_records(files: _Files, chance: random.Random) -> _Files:
    """Store records that are valid, with texts and numbers that no run has."""
    records = list(_list_records())
    for _ in range(chance.choice((1, 5, 40))):
        at = chance.randrange(len(records))
        fields = records[at].model_dump()
        names = chance.sample(sorted(fields), chance.choice((1, 2, 5)))
        changed = {name: _choose(fields[name], chance) for name in names}
        try:
            record = Record.model_validate({**fields, **changed})
            render_line(record).encode()
        except (ValidationError, ValueError):
            continue
        records[at] = record
    return _store(records)


def _choose(value: Any, chance: random.Random) -> Any:
    if isinstance(value, str):
        return chance.choice(TEXTS)
    if isinstance(value, dict):
        names = [*value, chance.choice(TEXTS)]
        numbers = [number for number in NUMBERS if isinstance(number, float)]
        return {chance.choice(names): tuple(chance.choice(numbers) for _ in range(3)) for _ in range(2)}
    return chance.choice(NUMBERS)


_MUTATIONS: Sequence[Callable[[_Files, random.Random], _Files]] = (
    _mutate_index,
    _mutate_any_bytes,
    _mutate_record,
    _mutate_record,
    _mutate_record_lines,
    _move_files,
    _write_odd_records,
    _write_odd_records,
)
GROUPS = (Group("histories", "histories, mutated", 1000, examine, cpu_s=120),)
