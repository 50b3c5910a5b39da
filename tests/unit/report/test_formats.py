"""The formats that other systems read: JUnit XML and OpenMetrics text."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.unit.factories import (
    make_compared,
    make_comparison,
    make_paired,
    make_result,
    make_subject,
    make_trial,
    warn,
)

from bench_action.model.result import Finding, NotCompared, Result
from bench_action.model.warning import Code
from bench_action.report.junit import render_junit
from bench_action.report.openmetrics import render_openmetrics

pytestmark = pytest.mark.unit

_SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
_NEW = NotCompared(cell="aiohttp · article-500", status="new", reason="base does not have it")


def make_self_test() -> Result:
    result = make_compared(make_paired(1000))
    return result.model_copy(update={"run": result.run.model_copy(update={"self_test": True})})


_RUNS = {
    "regressed": make_compared(make_paired(900, queries=21)),
    "unchanged": make_compared(make_paired(1000)),
    "self-test": make_self_test(),
    "too few blocks": make_compared(make_paired(900)[:8]),
    "without base": make_result(),
    "empty": make_result([]),
    "first adoption": make_result([make_trial()], not_compared=(_NEW,)),
    "invalid": make_compared(make_paired(900), verdict="invalid", warnings=(warn(Code.CONNECT_ERRORS),)),
    "failed check": make_result(subjects=(make_subject("aiohttp", verified=False, failure="GET /: 500, not 200"),)),
}
each_run = pytest.mark.parametrize("result", _RUNS.values(), ids=_RUNS)


def read_xml(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  # our own


def read_cases(result: Result) -> dict[tuple[str, str], ET.Element]:
    text = render_junit(result)
    _SCHEMA.validate(text)
    return {(case.attrib["classname"], case.attrib["name"]): case for case in read_xml(text).iter("testcase")}


def read_samples(result: Result) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(render_openmetrics(result))  # type: ignore[no-untyped-call]
    return {(s.name, frozenset(s.labels.items())): float(s.value) for family in families for s in family.samples}


@each_run
def test_junit__of_every_kind_of_run_is_valid_and_its_counts_are_true(result: Result) -> None:
    text = render_junit(result)
    _SCHEMA.validate(text)
    root = read_xml(text)
    for element in (root, *root.iter("testsuite")):
        cases = list(element.iter("testcase"))
        counts = {name: sum(case.find(name) is not None for case in cases) for name in ("failure", "error", "skipped")}
        assert int(element.attrib["tests"]) == len(cases) > 0
        assert (int(element.attrib["failures"]), int(element.attrib["errors"])) == (counts["failure"], counts["error"])
        assert int(element.get("skipped", counts["skipped"])) == counts["skipped"]
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(names) == len(set(names)), "GitLab keeps one test case of each name"


@each_run
def test_junit__fails_when_the_run_does(result: Result) -> None:
    cases = read_cases(result)
    assert any(case.find("failure") is not None for case in cases.values()) == (result.verdict == "regressed")
    broken = result.verdict == "invalid" or any(subject.failure for subject in result.subjects)
    assert any(case.find("error") is not None for case in cases.values()) == broken


def test_junit__a_failure_has_the_report_s_sentence_and_the_figures() -> None:
    case = read_cases(_RUNS["regressed"])["aiohttp · article-500", "requests/s (duet)"]
    failure = case.find("failure")
    assert failure is not None
    assert "aiohttp is 10 % slower on article-500" in failure.attrib["message"].replace("\u00a0", " ")
    assert "99 % interval" in (failure.text or "")
    properties = {item.attrib["name"]: item.attrib["value"] for item in case.iter("property")}
    assert 0.88 < float(properties["ratio_low"]) < float(properties["ratio"]) < float(properties["ratio_high"]) < 0.92
    assert properties["verdict"] == "regressed"
    assert float(properties["gate"]) > 0


def test_junit__a_base_that_failed_its_checks_is_skipped_and_no_error() -> None:
    failed = make_subject("aiohttp", revision="base", verified=False, failure="GET /: 500, not 200")
    missing = NotCompared(cell="aiohttp · article-500", status="base-failed", reason="base failed its checks")
    result = make_result([make_trial()], subjects=(make_subject("aiohttp"), failed), not_compared=(missing,))
    cases = read_cases(result)
    assert not [case for case in cases.values() if case.find("error") is not None]
    assert cases["aiohttp · article-500", "comparison with base"].find("skipped") is not None
    assert [name for suite, name in cases if suite == "checks"] == ["checks of aiohttp"]


def test_junit__the_time_of_a_cell_is_that_of_its_trials() -> None:
    result = _RUNS["unchanged"]
    total_s = sum(float(c.attrib["time"]) for (suite, _), c in read_cases(result).items() if "article" in suite)
    assert total_s == pytest.approx(sum(trial.wall_s for trial in result.trials), abs=0.01)


@pytest.mark.parametrize(
    ("changes", "outcome", "text"),
    [
        ({"level": "warn"}, "system-out", "only warns"),
        ({"verdict": "inconclusive", "reason": "the blocks disagree"}, "skipped", "the blocks disagree"),
        ({"verdict": "inconclusive", "blocks": 1, "reason": "one block"}, "skipped", "not compared: one block"),
        ({"verdict": "unchanged"}, "system-out", "unchanged"),
        ({"verdict": "regressed"}, "failure", "slower"),
    ],
)
def test_junit__a_gate_is_judged_as_the_exit_status_is(changes: dict[str, object], outcome: str, text: str) -> None:
    result = make_result([make_trial()], comparisons=(make_comparison(**changes),))
    element = read_cases(result)["aiohttp · article-500", "requests/s (duet)"].find(outcome)
    assert element is not None
    assert text in (element.text or "")


def test_junit__a_finding_that_fails_is_a_failure() -> None:
    finding = Finding(
        code="declared-work", message="2 queries, 1 declared", cell="aiohttp · a", before=1, after=2, fails=True
    )
    case = read_cases(make_result(findings=(finding,), verdict="regressed"))["aiohttp · a", "declared-work"]
    assert case.find("failure") is not None


@given(st.text())
def test_formats__no_text_breaks_them(text: str) -> None:
    cell = NotCompared(cell=f"a · {text}", status="base-failed", reason=text, log=(text,))
    result = make_result([], not_compared=(cell,), subjects=(make_subject("aiohttp", failure=text),))
    _SCHEMA.validate(render_junit(result))
    comparison = make_comparison(variant=text, profile=text)
    read_samples(make_result([], comparisons=(comparison,)))


@each_run
def test_openmetrics__of_every_kind_of_run_is_read_by_the_parser(result: Result) -> None:
    text = render_openmetrics(result)
    assert text.endswith("\n# EOF\n")
    samples = read_samples(result)
    assert samples["bench_action_verdict", frozenset({("bench_action_verdict", result.verdict)})] == 1
    assert sum(value for (name, _), value in samples.items() if name == "bench_action_verdict") == 1


def test_openmetrics__has_base_units_and_bounds() -> None:
    result = _RUNS["regressed"]
    samples = read_samples(result)
    cell = {("variant", "aiohttp"), ("revision", "head"), ("profile", "article-500")}
    assert samples["bench_action_memory_peak_bytes", frozenset(cell)] == 64 * 2**20
    assert samples["bench_action_latency_seconds", frozenset(cell | {("percentile", "50")})] == pytest.approx(0.048)
    (c,) = [c for c in result.comparisons if c.metric == "requests_per_second" and c.method == "duet"]
    pair = cell | {("base", "aiohttp@base"), ("metric", c.metric), ("method", "duet")}
    found = [samples[f"bench_action_{name}_ratio", frozenset(pair)] for name in ("change_low", "change", "change_high")]
    assert found == pytest.approx([c.ci_low, c.ratio, c.ci_high])
    state = frozenset(pair | {("bench_action_change_verdict", "regressed")})
    assert samples["bench_action_change_verdict", state] == 1
