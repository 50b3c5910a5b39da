"""Results of every kind, by the code that a run uses, in which each text and number can be replaced."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.mutations import list_paths
from tests.unit.factories import (
    PAIR,
    make_compared,
    make_comparison,
    make_count,
    make_paired,
    make_result,
    make_subject,
    make_trial,
    warn,
)

from bench_action.model.result import Finding, NotCompared, Replies, Result, RuleChange, Statement
from bench_action.model.warning import Code

_CELL = str(PAIR)


@functools.cache
def make_results() -> Mapping[str, dict[str, Any]]:
    """Make one result of each kind, as JSON."""
    statement = Statement(text="SELECT tag FROM item WHERE id = $1", calls=200, rows=200)
    lost = make_compared(
        make_paired(900, queries=210, statements=(statement,)),
        not_compared=(
            NotCompared(cell="web · list", status="base-failed", reason="it did not build", log=("one", "two")),
            NotCompared(cell="api · list", status="new", reason="base has no variant `api`"),
        ),
        rule_changes=(RuleChange(what="gate on requests/s", before="5 %", after="50 %"),),
        verdict_by_head_rules="unchanged",
        rules="base",
        compared=(_CELL,),
    )
    findings = (
        *lost.findings,
        Finding(code="declared-work", message="2 queries, 1 declared", cell=_CELL, before=1, after=2, fails=True),
        Finding(code="statement", message="new query: `SELECT 1`", cell=_CELL, before=0, after=1),
    )
    warnings = (
        *lost.warnings,
        warn(Code.STEAL, "the hypervisor took 9 % of the CPU"),
        warn(Code.VARIANT_FAILED, "web failed its check `home`", "web"),
        warn(Code.COUNTS_VARY, "queries vary", _CELL),
    )
    replies = Replies(
        statuses={"200": 9, "302": 1},
        bytes_min=1,
        bytes_mean=2,
        bytes_max=3,
        location="/a",
        digest="d",
        until_close=1,
        problem="p",
    )
    trials = (make_trial(replies=replies, warnings=(warnings[-1],)), *lost.trials)
    source = lost.source.model_copy(
        update={"base_sha": "b" * 40, "ref": "refs/heads/main", "event": "push", "committed_at": "2026-11-23T09:00:00Z"}
    )
    run = lost.run.model_copy(update={"config": "bench.yml", "key": "bench-action", "job": "ci/benchmark (3.13)"})
    rich = {"findings": findings, "warnings": warnings, "trials": trials, "source": source, "run": run}
    rich |= {"placement": {"application": "0", "services": "1"}, "control": {"variant": "aiohttp", "id": "c0ffee"}}
    invalid = (warn(Code.NOTHING_SERVED, "nothing was served", _CELL),)
    failed = make_subject("aiohttp", verified=False, failure="GET /: status 500, not 200")
    results = {
        "lost": lost.model_copy(update=rich),
        "unchanged": make_compared(make_paired(1003), compared=(_CELL,)),
        "variants": make_result(),
        "invalid": make_compared(make_paired(900), warnings=invalid, verdict="invalid"),
        "failed": make_result([make_count(), make_trial()], subjects=(failed,)),
        "warned": make_result([make_trial()], comparisons=(make_comparison(level="warn", verdict="measured"),)),
    }
    return {name: result.model_dump(mode="json") for name, result in results.items()}


def list_fields(tree: Any) -> list[tuple[str | int, ...]]:
    """List the fields that hold a text, with `*` for every index; keys of mappings of texts end with `key`.

    A name alone, such as `variant`, stands for all fields of that name.
    """
    fields = dict.fromkeys(_list_fields(tree))
    names = dict.fromkeys((str(field[-1]),) for field in fields if field[-1] not in {"*", "key"})
    return [*fields, *(name for name in names if sum(field[-1] == name[0] for field in fields) > 1)]


def _list_fields(tree: Any) -> Iterator[tuple[str | int, ...]]:
    for path in list_paths(tree):
        value = tree
        for part in path:
            value = value[part]
        general = tuple("*" if isinstance(part, int) else part for part in path)
        if isinstance(value, str):
            yield general
        if path and path[-1] in {"images", "placement", "cpu_ms", "timings", "statuses", "metrics"}:
            yield (*general, "key")


def put_text(tree: Any, place: tuple[str | int, ...], text: str) -> None:
    """Put a text into a field of a result, in every item of the lists on the way to it."""
    if len(place) == 1:
        _put_everywhere(tree, str(place[0]), text)
        if place == ("profile",):  # which the profiles themselves call their name
            _put_everywhere(tree["profiles"], "name", text)
        return
    _put(tree, place, text)


def _put(tree: Any, place: tuple[str | int, ...], text: str) -> None:
    first, *others = place
    if not others:
        if first == "key":
            for name in list(tree)[:1]:
                tree[text] = tree.pop(name)
        elif first == "*":
            tree[:] = [text for _ in tree]
        elif isinstance(tree.get(first), str):
            tree[first] = text
        return
    if first == "*":
        for item in tree:
            _put(item, tuple(others), text)
    elif isinstance(tree.get(first), dict | list):
        _put(tree[first], tuple(others), text)


def _put_everywhere(tree: Any, name: str, text: str) -> None:
    if isinstance(tree, dict):
        if isinstance(tree.get(name), str):
            tree[name] = text
        for value in tree.values():
            _put_everywhere(value, name, text)
    if isinstance(tree, list):
        for item in tree:
            _put_everywhere(item, name, text)


def read_result(tree: Any) -> Result:
    """Read a result. Raises ValidationError."""
    return Result.model_validate(tree)
