"""Artifacts of forks, published by the step that may write: mutants of the zip file and of the result in it."""

import io
import json
import random
import resource
import zipfile
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from tests.faults.case import Case, Group, Problem, judge_ending
from tests.faults.mutations import NUMBERS, TEXTS, mutate_bytes, mutate_tree
from tests.faults.oracles import find_in_commands, find_in_markdown, find_in_outputs
from tests.faults.results import list_fields, make_results, put_text
from tests.faults.step import Step, find_github, run_step
from tests.github.double import GitHubDouble
from tests.github.state import make_zip

from bench_action.github.texts import make_marker

_NAME, _FILE = "results", "result.json"
_MOST_MEMORY_KIB = 700 * 1024
_ANNOTATIONS = ("::error title=", "::warning title=", "::notice title=")
_OURS = ("::add-mask::", "::group::", "::endgroup::", *_ANNOTATIONS)
_OUTPUTS = ("verdict", "result", "report", "compared", "regressions", "smallest-detectable", "requests-per-second")


def examine(case: Case) -> Iterator[Problem]:
    """Publish one artifact. What is published of it is only text."""
    chance, github = case.chance, find_github()
    archive = chance.choice(_MAKERS)(chance)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = _publish(case, github, archive)
    yield from judge_ending(step.ended.status, step.ended.log, (0, 1, 2, 5, 6))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    if grown_kib > _MOST_MEMORY_KIB:
        yield Problem("wrong", f"an artifact of {len(archive)} bytes took {grown_kib // 1024} MiB of memory")
    yield from (Problem("wrong", f"{text}") for text in _find_alive(github, step))


def _publish(case: Case, github: GitHubDouble, archive: bytes) -> Step:
    pull = github.state.pull(repo="stranger/shop")
    run = github.state.run(pull)
    github.state.artifact(run, _NAME, archive)
    head = {"head_sha": run.head_sha, "head_branch": run.head_branch}
    payload = {"workflow_run": {"id": run.id, **head, "head_repository": {"owner": {"login": "stranger"}}}}
    return run_step(github, case.folder, "workflow_run", payload, publish=_NAME)


def _find_alive(github: GitHubDouble, step: Step) -> Iterator[str]:
    run = "https://github.com/org/shop/actions/runs/"
    addresses = {f"{run}{number}" for number in github.state.runs} | {f"{run}7"}
    for comments in github.state.comments.values():
        if len(comments) > 1:
            yield f"{len(comments)} comments"
        for comment in comments:
            ours = {line for line in comment.body.splitlines() if line.startswith("<!-- bench-action")}
            yield from (f"comment: {text}" for text in find_in_markdown(comment.body, addresses, ours))
            if not comment.body.startswith(make_marker("bench-action")):
                yield "a comment that the next run does not find"
    yield from (f"summary: {text}" for text in find_in_markdown(step.summary, addresses))
    yield from find_in_outputs(step.outputs, (*_OUTPUTS, "comment-url"))
    yield from find_in_commands(step.ended.log, forms=_OURS)
    yield from (f"violation: {text}" for text in github.violations)


def _choose_result(chance: random.Random) -> Any:
    return deepcopy(chance.choice(list(make_results().values())))


def _mutate_result(chance: random.Random) -> bytes:
    return make_zip({_FILE: _dump(mutate_tree(_choose_result(chance), chance, most=chance.choice((1, 2, 6))))})


def _mutate_numbers(chance: random.Random) -> bytes:
    """Put extreme numbers, which the schema allows, into many places."""
    result = _choose_result(chance)
    share = chance.choice((0.002, 0.02, 0.3))
    return make_zip({_FILE: _dump(put_numbers(result, chance, share))})


def put_numbers(value: Any, chance: random.Random, share: float) -> Any:
    """Put extreme numbers of the same type into a share of the places that have one."""
    if isinstance(value, dict):
        return {name: put_numbers(item, chance, share) for name, item in value.items()}
    if isinstance(value, list):
        return [put_numbers(item, chance, share) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or chance.random() > share:
        return value
    return chance.choice([number for number in NUMBERS if isinstance(number, type(value))])


def _mutate_texts(chance: random.Random) -> bytes:
    result = _choose_result(chance)
    for _ in range(chance.choice((1, 3, 10))):
        put_text(result, chance.choice(list_fields(result)), chance.choice(TEXTS))
    return make_zip({_FILE: _dump(result)})


def _enlarge(chance: random.Random) -> bytes:
    """Repeat parts of a result very often."""
    result = _choose_result(chance)
    name = chance.choice([name for name, value in result.items() if isinstance(value, list) and value])
    result[name] = result[name] * (20_000 // len(result[name]))
    return make_zip({_FILE: _dump(result)})


def _mutate_json(chance: random.Random) -> bytes:
    return make_zip({_FILE: mutate_bytes(_dump(_choose_result(chance)), chance)})


def _mutate_zip(chance: random.Random) -> bytes:
    return mutate_bytes(make_zip({_FILE: _dump(_choose_result(chance)), "report.html": "x" * 99}), chance, most=4)


def _make_odd_zip(chance: random.Random) -> bytes:
    """Make zip files of forms that nobody needs: other compressions, names, bombs, repeated entries."""
    content = _dump(_choose_result(chance))
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    name = chance.choice((_FILE, f"../{_FILE}", f"/{_FILE}", f"a/{_FILE}", _FILE.upper(), f"{_FILE}\0", "\x1b[2J"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        match chance.randint(0, 4):
            case 0:
                archive.writestr(name, content)
            case 1:
                archive.writestr(_FILE, bytes(chance.choice((1, 40, 100)) * 2**20))
            case 2:
                archive.writestr(zipfile.ZipInfo(_FILE), content)
                archive.writestr(f"{_FILE}/x", content)
            case 3:
                for number in range(3000):
                    archive.writestr(f"{number}.txt", b"")
                archive.writestr(_FILE, content)
            case _:
                archive.writestr(_FILE, chance.choice(_ODD_CONTENTS))
    return buffer.getvalue()


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


_ODD_CONTENTS: Sequence[bytes] = (
    b"",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe{}",
    b'{"schema_version": 1e999}',
    b'{"schema_version": ' + b"9" * 10_000 + b"}",
    b'{"schema_version": NaN}',
    b'"\\ud800"',
)
_MAKERS: Sequence[Callable[[random.Random], bytes]] = (
    _mutate_result,
    _mutate_result,
    _mutate_numbers,
    _mutate_numbers,
    _mutate_texts,
    _mutate_texts,
    _enlarge,
    _mutate_json,
    _mutate_zip,
    _make_odd_zip,
)
GROUPS = (Group("artifacts", "artifacts of forks", 1000, examine, cpu_s=120),)
