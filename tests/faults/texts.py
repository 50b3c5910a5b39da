"""Hostile texts in every field that is shown somewhere, and what the parsers of each format make of them."""

import contextlib
import functools
import io
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import xmlschema
from pydantic import ValidationError
from rich.console import Console
from tests.faults.case import Case, Group, Problem
from tests.faults.mutations import TEXTS
from tests.faults.oracles import (
    Outline,
    find_in_commands,
    find_in_junit,
    find_in_markdown,
    find_in_metrics,
    find_in_outputs,
    find_in_page,
    find_in_terminal,
    parse_page,
    read_junit_schema,
)
from tests.faults.results import list_fields, make_results, put_text, read_result
from tests.unit.history.places import make_record

from bench_action.cli import app, trend
from bench_action.github.commands import Commands
from bench_action.github.texts import make_marker
from bench_action.history.record import Record, UnchangedCode
from bench_action.model.errors import StackError
from bench_action.model.machine import Condition
from bench_action.model.result import Result
from bench_action.publish.history import render_issue
from bench_action.publish.result import Publisher, list_annotations, make_outputs
from bench_action.report.chart import render_svg
from bench_action.report.comment import LONGEST, Links, render_comment, render_failure
from bench_action.report.html import render_html
from bench_action.report.junit import render_junit
from bench_action.report.markdown import render_markdown
from bench_action.report.openmetrics import render_openmetrics
from bench_action.report.progress import PlainProgress
from bench_action.report.terminal import print_conditions, print_table, print_view
from bench_action.report.view import make_view
from bench_action.trend.change_points import ChangePoint, find_latest_change_points
from bench_action.trend.check import describe_change
from bench_action.trend.ledger import make_ledger, make_ledger_table
from bench_action.trend.ledger_page import render_ledger
from bench_action.trend.page import CommitLinks, render_site
from bench_action.trend.series import make_series

_RUN = "https://github.com/org/shop/actions/runs/12"
_SITE = "https://github.com/org/shop"
_OUTPUTS = frozenset(
    {"verdict", "result", "report", "compared", "regressions", "smallest-detectable", "requests-per-second"}
    | {"comment-url"}
)
_RECORD = ("run_id", "sha", "ref", "config", "key", "job", "preset", "engine", "tool_version", "fingerprint")
_RECORD_CELL = ("cpu_model", "variant", "profile", "control_id")
_CODE = UnchangedCode(verdict="regressed", alarms={"requests_per_second": "regressed"}, runner="self-hosted")
_ERROR = ("what", "where", "cause", "advice", "log")
_DATES = frozenset({"started_at", "committed_at"})  # read as such, and refused if they are none
_Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of something that is rendered. `kind`: a result's name, `record`, or `error`."""

    kind: str
    place: _Place

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(map(str, self.place))}"


@functools.cache
def list_all_fields() -> Sequence[Field]:
    """List every field that may hold a stranger's text."""
    fields = [Field("record", (name,)) for name in (*_RECORD, *_RECORD_CELL)]
    fields += [Field("record", ("unchanged", name)) for name in ("runner", "architecture")]
    fields += [Field("error", (name,)) for name in _ERROR]
    seen: set[_Place] = set()
    for kind, tree in make_results().items():
        texts = [place for place in list_fields(tree) if place[-1] not in _DATES]
        own = [place for place in texts if place not in seen or len(place) == 1]
        fields += [Field(kind, place) for place in own]
        seen |= set(own)
    return fields


@functools.cache
def _shuffle_cases(seed: int) -> Sequence[tuple[Field, str]]:
    """List each text in each field, in an order in which any part of the list has all texts and fields."""
    cases = list(itertools.product(list_all_fields(), TEXTS))
    random.Random(seed).shuffle(cases)
    return cases


def examine(case: Case) -> Iterator[Problem]:
    """Put one text into one field: no case is like another until each text was in each field."""
    cases = _shuffle_cases(case.seed)
    field, text = cases[case.number % len(cases)]
    try:
        for escaped in _RENDERINGS.get(field.kind, _find_in_result)(field, text, case.folder):
            yield Problem("wrong", f"{escaped}\n{field} = {text[:200]!r}")
    except (LookupError, ValueError):
        # a result that names what it does not have is only a fork's: see artifacts.py
        if len(field.place) == 1:
            raise


def _find_in_result(field: Field, text: str, folder: Path) -> Iterator[str]:
    tree = deepcopy(make_results()[field.kind])
    put_text(tree, field.place, text)
    try:
        result = read_result(tree)
    except ValidationError:
        return  # refused where results are read
    yield from _label("comment", _find_in_comment(result))
    yield from _label("report.md", find_in_markdown(render_markdown(make_view(result))))
    yield from _label("report.html", find_in_page(_render_page(result), _parse_usual_page(field.kind)))
    yield from _label("terminal", find_in_terminal(_print_result(result)))
    yield from _label("junit", find_in_junit(render_junit(result), _read_schema()))
    yield from _label("openmetrics", find_in_metrics(render_openmetrics(result)))
    yield from _label("workflow", _find_in_workflow(result, folder))
    for chart in make_view(result).charts:
        yield from _label("chart", find_in_junit(render_svg(chart), None))


def _label(format_name: str, found: Iterable[str]) -> Iterator[str]:
    yield from (f"{format_name}: {text}" for text in found)


def _find_in_comment(result: Result) -> Iterator[str]:
    text = render_comment(result, Links(_RUN))
    yield from find_in_markdown(text, addresses=(_RUN,))
    if len(text) > LONGEST:
        yield f"it has {len(text)} characters"
    yield from find_in_markdown(render_comment(result, Links(_RUN, foreign=True), longest=5000), addresses=(_RUN,))


def _render_page(result: Result) -> str:
    """Render the page without plotly's script, which would be parsed again for each text."""
    with mock.patch("plotly.offline.get_plotlyjs", return_value=""):
        return render_html(result)


@functools.cache
def _parse_usual_page(kind: str) -> Outline:
    return parse_page(_render_page(read_result(make_results()[kind])))


@functools.cache
def _read_schema() -> xmlschema.XMLSchema:
    return read_junit_schema()


def _print_result(result: Result) -> str:
    """Print a result as a run does: the lines of its trials, its warnings, and the view."""
    page = io.StringIO()
    console = Console(file=page, width=100, force_terminal=True, color_system="standard")
    progress = PlainProgress(console)
    for trial in result.trials[:3]:
        progress.trial_ended(trial)
    for warning in result.warnings:
        progress.warn(warning.message)
    print_view(make_view(result), console)
    return page.getvalue()


def _find_in_workflow(result: Result, folder: Path) -> Iterator[str]:
    """Publish a result as a step does, between hostile lines, and read its log, outputs and summary as the runner."""
    files = {"GITHUB_OUTPUT": folder / "output", "GITHUB_STEP_SUMMARY": folder / "summary"}
    for file in files.values():
        file.write_text("", encoding="utf-8")
    log = io.StringIO()
    commands = Commands(log, {name: str(file) for name, file in files.items()})
    commands.stop()
    log.write(_print_result(result))
    Publisher(commands, Links(_RUN), say=lambda line: print(line, file=log)).publish(result, folder)
    log.write(_print_result(result))
    sent = [_write_annotation(*annotation) for annotation in list_annotations(result)]
    yield from find_in_commands(log.getvalue(), sent)
    yield from find_in_outputs(files["GITHUB_OUTPUT"].read_text(encoding="utf-8"), _OUTPUTS)
    yield from find_in_markdown(files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8"))
    if set(make_outputs(result, folder)) - _OUTPUTS:
        yield "an output that the oracle does not know"


def _write_annotation(level: str, title: str, message: str) -> str:
    """Write an annotation as GitHub describes it ("Workflow commands": what must be escaped)."""
    message = message[:4096]
    for character in "%\r\n":
        message = message.replace(character, f"%{ord(character):02X}")
    for character in "%\r\n:,":
        title = title.replace(character, f"%{ord(character):02X}")
    return f"::{level} title={title}::{message}"


def _find_in_error(field: Field, text: str, folder: Path) -> Iterator[str]:
    """An error as a step and a terminal show it."""
    parts = dict.fromkeys(_ERROR[1:-1], "usual") | {str(field.place[0]): text}
    log = text.split("\n") if field.place == ("log",) else ["a line"]
    error = StackError(parts.pop("what", "what happened"), log=log, **{k: v for k, v in parts.items() if k != "log"})
    yield from _label("failure", find_in_markdown(render_failure(error, Links(_RUN)), addresses=(_RUN,)))
    page, output = io.StringIO(), folder / "output"
    with mock.patch.object(app, "Console", return_value=Console(file=page, width=100)):
        app._print_error(error)
    print_conditions([Condition("engine", "fatal", text, text)], Console(file=page, width=100))
    yield from _label("terminal", find_in_terminal(page.getvalue()))
    step = io.StringIO()
    commands = Commands(step, {"GITHUB_OUTPUT": str(output)})
    commands.stop()  # as a step does before it prints anything
    step.write(page.getvalue())
    Publisher(commands, Links(_RUN)).publish_failure(error)
    print(error, file=step)
    sent = [_write_annotation("error", "bench-action", str(error))]
    yield from _label("workflow", find_in_commands(step.getvalue(), sent))


def _find_in_record(field: Field, text: str, folder: Path) -> Iterator[str]:
    """A history with this text in all of its records: its site, its issue, and what a check prints."""
    records = _list_records()
    try:
        changed = [_put_into_record(record, field.place, text, n) for n, record in enumerate(records)]
    except ValidationError:
        return
    points = _find_points(changed)
    for name, page in _render_trend(changed, points):
        if name.endswith(".html"):
            yield from _label("trend page", find_in_page(page, _parse_usual_trend(name.partition("-")[0])))
        elif name.startswith("data/") and ("<" in page or "\u2028" in page):
            yield f"trend data: a tag in {name}"
        elif name.endswith(".svg"):
            yield from _label("badge", find_in_junit(page, None))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for point in points:
            trend._echo(describe_change(point, text))
        print_table(make_ledger_table(make_ledger(changed)), Console())
    yield from _label("terminal", find_in_terminal(printed.getvalue()))
    if points:
        marker = make_marker(f"trend {points[0].series.benchmark.id}")
        title, body = render_issue(points)
        yield from _label("issue", find_in_markdown(f"{marker}\n{title}\n\n{body}", ours=(marker,)))


def _put_into_record(record: Record, place: _Place, text: str, number: int) -> Record:
    value = f"{text}{number}" if place[0] in {"run_id", "sha"} else text
    tree = record.model_dump()
    (tree if len(place) == 1 else tree[str(place[0])])[str(place[-1])] = value
    return Record.model_validate_json(json.dumps(tree))  # as a history is read


@functools.cache
def _list_records() -> Sequence[Record]:
    """List the records of a benchmark that became slower."""
    start = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=60)
    records = []
    for day in range(60):
        speed = (200 if day < 40 else 140) * (1 + 0.004 * (day * 7 % 5 - 2))
        at = (start + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ")
        more: dict[str, Any] = {
            "sha": f"{day:040x}",
            "metrics": {"requests_per_second": (speed, speed - 1, speed + 1)},
            "control": {},
            "unchanged": _CODE,
        }
        records.append(make_record(f"run-{day}", at, config="bench.yml", key="k", job="ci/benchmark", **more))
    return records


def _find_points(records: Sequence[Record]) -> list[ChangePoint]:
    return [point for point in find_latest_change_points(make_series(records)) if point.direction == "worse"]


def _render_trend(records: Sequence[Record], points: Sequence[ChangePoint]) -> Iterator[tuple[str, str]]:
    with mock.patch("plotly.offline.get_plotlyjs", return_value=""):
        yield from render_site(make_series(records), points, CommitLinks(_SITE))
    for name, page in render_ledger(make_ledger(records), CommitLinks(_SITE)):
        yield f"ledger/{name}", page


@functools.cache
def _parse_usual_trend(kind: str) -> Outline:
    """Parse the usual page: the index, or that of any chart."""
    records = _list_records()
    pages = dict(_render_trend(records, _find_points(records)))
    charts = [name for name in pages if name.endswith(".html") and not name.endswith("index.html")]
    return parse_page(pages[kind if kind.endswith("index.html") else charts[0]])


_RENDERINGS: Mapping[str, Callable[[Field, str, Path], Iterator[str]]] = {
    "error": _find_in_error,
    "record": _find_in_record,
}
GROUPS = (Group("texts", "hostile texts in every field that is rendered", 6000, examine, cpu_s=60),)
