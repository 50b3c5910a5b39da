"""Render a result as JUnit XML: one suite for each cell, in which every gate is a test case."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from xml.etree import ElementTree as ET

from bench_action.model.result import Comparison, NotCompared, Result
from bench_action.report.change import fails_gate, is_uncompared, list_comparisons
from bench_action.report.pace import Pace, measure_pace
from bench_action.report.sentences import capitalise, describe_confidence, describe_loss, format_gate, name_metric
from bench_action.report.undecided import explain_undecided

# what XML 1.0 allows in a document, section 2.2
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\U0000e000-\ufffd\U00010000-\U0010ffff]")
_INVALID = "the measurement is invalid"


@dataclass(frozen=True, slots=True)
class TestCase:
    """One test case: `message` is one sentence, `detail` the rest; a test that passed may have both, too."""

    name: str
    outcome: Literal["passed", "failure", "error", "skipped"] = "passed"
    message: str = ""
    detail: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Suite:
    """A named group of test cases."""

    name: str
    cases: tuple[TestCase, ...]


def render_junit(result: Result) -> str:
    """Render JUnit XML in the dialect that Jenkins, GitLab and GitHub's reporters share."""
    suites = list_suites(result)
    cases = [case for suite in suites for case in suite.cases]
    root = ET.Element("testsuites", {"name": "bench-action", **_count(cases, skipped=False)})
    root.set("time", f"{result.run.duration_s:.3f}")
    for suite in suites:
        root.append(_render_suite(suite, result))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def list_suites(result: Result) -> tuple[Suite, ...]:
    """List the suites: the measurement, the checks of head, and the gates of each cell of head."""
    checks = tuple(
        TestCase(
            f"checks of {subject.name}",
            "error" if subject.failure else "passed",
            f"{subject.name} failed its checks and was not measured" if subject.failure else "",
            subject.failure,
            time_s=subject.startup_s,
        )
        for subject in result.subjects
        if subject.revision == "head"  # base's failure fails no run: the comparison with it is skipped
    )
    suites = [Suite("measurement", (_judge_measurement(result),))]
    suites += [Suite("checks", checks)] if checks else []
    cells = [*(c.cell for c in list_comparisons(result)), *(missing.cell for missing in result.not_compared)]
    cells += [finding.cell for finding in result.findings if finding.fails]
    pace = measure_pace(result)
    for cell in dict.fromkeys(cells):
        if cases := tuple(_list_cases(result, cell, pace)):
            suites.append(Suite(cell or "findings", _share_time(result, cell, cases)))
    return tuple(suites)


def _judge_measurement(result: Result) -> TestCase:
    """Report whether the figures can be trusted at all; every run has this test case."""
    grave = [
        f"{warning.cell}: {warning.message}".removeprefix(": ") for warning in result.warnings if warning.code.grave
    ]
    if result.verdict != "invalid":
        return TestCase("measurement is valid", message=f"verdict: {result.verdict}")
    return TestCase("measurement is valid", "error", grave[0] if grave else _INVALID, "\n".join(grave))


def _list_cases(result: Result, cell: str, pace: Pace) -> Iterator[TestCase]:
    for missing in result.not_compared:
        if missing.cell == cell:
            yield _explain_missing(missing)
    for c in list_comparisons(result):
        if c.cell == cell and c.gate is not None:
            yield _judge_gate(c, result, pace)
    for finding in result.findings:
        if finding.cell == cell and finding.fails:
            yield TestCase(finding.code, "failure", capitalise(finding.message))


def _explain_missing(missing: NotCompared) -> TestCase:
    """Skip a comparison that could not be made; head's own failure is an error among the checks as well."""
    outcome: Literal["error", "skipped"] = "error" if missing.status == "head-failed" else "skipped"
    return TestCase("comparison with base", outcome, missing.reason, "\n".join(missing.log))


def _judge_gate(c: Comparison, result: Result, pace: Pace) -> TestCase:
    case = TestCase(f"{name_metric(c)} ({c.method})", properties=_list_properties(c))
    if result.verdict == "invalid":
        return replace(case, outcome="skipped", message=_INVALID)
    if is_uncompared(c):
        return replace(case, outcome="skipped", message=f"not compared: {c.reason or 'no block of the pair counts'}")
    if c.verdict == "inconclusive":
        return replace(case, outcome="skipped", message=explain_undecided(c, result, pace))
    if c.verdict != "regressed":
        return replace(case, message=f"{c.verdict}{f': {c.reason}' if c.reason else ''}")
    sentence = f"{capitalise(describe_loss(c)).replace('`', '')} (gate {format_gate(c)})"
    detail = "Counted exactly." if c.exact else describe_confidence(c, pace)
    if not fails_gate(c):
        return replace(case, message=f"{sentence}; the gate only warns", detail=detail)
    return replace(case, outcome="failure", message=sentence, detail=detail)


def _list_properties(c: Comparison) -> tuple[tuple[str, str], ...]:
    values = {
        "metric": c.metric,
        "verdict": c.verdict,
        "base": c.base_value,
        "head": c.head_value,
        "ratio": c.ratio,
        "ratio_low": c.ci_low,
        "ratio_high": c.ci_high,
        "confidence": c.confidence,
        "gate": c.gate,
        "level": c.level,
        "blocks": c.blocks,
    }
    return tuple((name, f"{value}") for name, value in values.items() if value is not None)


def _share_time(result: Result, cell: str, cases: Sequence[TestCase]) -> tuple[TestCase, ...]:
    """Divide the time of a cell's paired trials among its test cases, so that they add up to it."""
    cells = {(c.variant, c.profile) for c in list_comparisons(result) if c.cell == cell}
    total_s = sum(trial.wall_s for trial in result.trials if (trial.variant, trial.profile) in cells)
    return tuple(replace(case, time_s=total_s / len(cases)) for case in cases)


def _render_suite(suite: Suite, result: Result) -> ET.Element:
    element = ET.Element("testsuite", {"name": _clean(suite.name), **_count(suite.cases)})
    element.set("time", f"{sum(case.time_s for case in suite.cases):.3f}")
    element.set("timestamp", datetime.fromisoformat(result.run.started_at).strftime("%Y-%m-%dT%H:%M:%S"))
    for case in suite.cases:
        element.append(_render_case(suite.name, case))
    return element


def _render_case(suite: str, case: TestCase) -> ET.Element:
    attributes = {"classname": _clean(suite), "name": _clean(case.name), "time": f"{case.time_s:.3f}"}
    element = ET.Element("testcase", attributes)
    if case.properties:
        properties = ET.SubElement(element, "properties")
        for name, value in case.properties:
            ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    text = _clean("\n".join(line for line in (case.message, case.detail) if line))
    if case.outcome != "passed":
        kind = {"type": case.outcome} if case.outcome != "skipped" else {}
        ET.SubElement(element, case.outcome, {"message": _clean(case.message), **kind}).text = text
    elif text:
        ET.SubElement(element, "system-out").text = text
    return element


def _count(cases: Sequence[TestCase], *, skipped: bool = True) -> dict[str, str]:
    """Count test cases by outcome; `skipped` is not an attribute of `testsuites` in Jenkins' schema."""
    outcomes = [case.outcome for case in cases]
    counts = {
        "tests": str(len(cases)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
    }
    return {**counts, "skipped": str(outcomes.count("skipped"))} if skipped else counts


def _clean(text: str) -> str:
    """Replace what XML cannot hold, not even escaped, by U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", text)
