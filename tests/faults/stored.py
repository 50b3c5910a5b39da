"""Results that somebody edited, or a stranger wrote, and what the commands for stored results make of them."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.faults.artifacts import put_numbers
from tests.faults.case import Case, Group, Problem, judge_ending
from tests.faults.command import run_command
from tests.faults.mutations import TEXTS, mutate_bytes, mutate_tree
from tests.faults.oracles import find_in_terminal
from tests.faults.results import list_fields, make_results, put_text

_COMMANDS = (
    ("report", "{}"),
    ("report", "--format", "markdown", "{}"),
    ("report", "--format", "html", "--output", "report.html", "{}"),
    ("report", "--format", "junit", "{}"),
    ("report", "--format", "json", "{}"),
    ("compare", "usual.json", "{}"),
    ("compare", "{}", "usual.json"),
    ("trend", "append", "--store", "store", "{}"),
)


def examine(case: Case) -> Iterator[Problem]:
    """Run one command on a mutated result."""
    chance = case.chance
    usual = deepcopy(chance.choice(list(make_results().values())))
    _write(case.folder / "usual.json", usual)
    (case.folder / "odd.json").write_bytes(_mutate(usual, chance))
    command = _COMMANDS[case.number % len(_COMMANDS)]
    ended = run_command(case.folder, *(word.format("odd.json") for word in command))
    yield from judge_ending(ended.status, ended.log, (0, 2))
    if "--format" not in command:
        yield from (Problem("wrong", f"{' '.join(command)}: {text}") for text in find_in_terminal(ended.log))


def _mutate(result: Any, chance: random.Random) -> bytes:
    match chance.randint(0, 3):
        case 0:
            return json.dumps(mutate_tree(result, chance, most=chance.choice((1, 2, 6))), default=str).encode()
        case 1:
            return json.dumps(put_numbers(result, chance, chance.choice((0.002, 0.02, 0.3)))).encode()
        case 2:
            for _ in range(chance.choice((1, 3))):
                put_text(result, chance.choice(list_fields(result)), chance.choice(TEXTS))
            return json.dumps(result).encode()
        case _:
            return mutate_bytes(json.dumps(result).encode(), chance)


def _write(path: Path, result: Any) -> None:
    path.write_text(json.dumps(result), encoding="utf-8")


GROUPS = (Group("stored", "stored results, mutated", 1000, examine, cpu_s=120),)
