"""Records: made from a run's result, rendered to a line and parsed from it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.factories import (
    make_compared,
    make_count,
    make_paired,
    make_result,
    make_subject,
    make_trial,
    two_variants,
    warn,
)
from tests.unit.history.places import make_record

from bench_action.history.record import (
    LONGEST_LINE,
    SHORT,
    Record,
    normalize_time,
    parse_line,
    render_line,
    round_digits,
)
from bench_action.history.recording import COMPARED, make_records
from bench_action.model.benchmark import Benchmark
from bench_action.model.errors import InputError
from bench_action.model.metric import METRICS
from bench_action.model.result import Finding, Source
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

CONTROL = {"variant": "django", "id": "c0ffee"}


def test_make_records__one_for_each_cell() -> None:
    result = make_result(source=Source(head_sha="b" * 40, ref="refs/heads/main"), control=CONTROL)
    django, aiohttp = make_records(result)
    assert (django.cell, aiohttp.cell) == ("django · article-500", "aiohttp · article-500")
    assert (aiohttp.run_id, aiohttp.at, aiohttp.sha) == (result.run.id, "2026-11-23T10:00:00Z", "b" * 40)
    assert aiohttp.blocks == 5
    assert aiohttp.metrics["requests_per_second"][0] == 1021
    assert aiohttp.work is not None
    assert (aiohttp.work.queries, aiohttp.work.rows, aiohttp.work.cache_commands) == (1, 20, 1)
    assert "queries_per_request" not in aiohttp.metrics


def test_make_records__ratio_to_the_control_by_block() -> None:
    speeds = ((200, 1000), (100, 510), (400, 1980), (200, 1010))  # the machine has another speed in every block
    trials = [
        make_trial(name, block, speed)
        for block, pair in enumerate(speeds, 1)
        for name, speed in zip(("django", "aiohttp"), pair, strict=True)
    ]
    django, aiohttp = make_records(make_result(trials, control=CONTROL))
    ratio, low, high = aiohttp.control["requests_per_second"]
    assert low is not None
    assert high is not None
    assert 4.8 < low < ratio < high < 5.3
    assert set(aiohttp.control) == set(COMPARED)
    assert (django.control, django.control_id, aiohttp.control_id) == ({}, "c0ffee", "c0ffee")


def test_make_records__without_a_control_or_without_its_id() -> None:
    (_, alone) = make_records(make_result())
    assert (alone.control, alone.control_id) == ({}, "")
    (_, named) = make_records(make_result(control={"variant": "django"}))
    subjects = (make_subject("django", image_id="sha256:" + "ef" * 32), make_subject("aiohttp"))
    (_, other) = make_records(make_result(control={"variant": "django"}, subjects=subjects))
    assert named.control
    assert named.control_id
    assert named.control_id != other.control_id


def test_make_records__leaves_out_invalid_measurements() -> None:
    bad = warn(Code.GENERATOR_SATURATED)
    trials = [*two_variants(), make_count("broken"), make_trial("broken", 1, warnings=(bad,))]
    assert [record.variant for record in make_records(make_result(trials))] == ["django", "aiohttp"]
    subjects = (make_subject("django", verified=False, failure="another answer"), make_subject("aiohttp"))
    assert [record.variant for record in make_records(make_result(subjects=subjects))] == ["aiohttp"]
    assert make_records(make_result(warnings=(warn(Code.UNRELIABLE),))) == []


def test_make_records__head_only() -> None:
    assert [record.variant for record in make_records(make_result(make_paired(1000)))] == ["aiohttp"]


def test_render_line__a_full_record_is_a_short_line() -> None:
    """Everything that a run on a large machine can measure, for a service of a monorepo in a leg of a matrix."""
    full: dict[str, Any] = dict.fromkeys(
        [name for name in METRICS if name in SHORT],
        (103_456.0, 99_123.0, 110_320.0),
    )
    full |= {"error_rate": (0.00123456, 0.0, 0.023456), "startup_s": (1.51234, None, None)}
    full |= {"db_connections_peak": (100.0, 100.0, 100.0)}
    record = make_record(
        "20261123-100000-abcdef",
        variant="aiohttp-tuned",
        metrics=full,
        control=dict.fromkeys(COMPARED, (0.987654, 0.97654, 1.0098)),
        committed_at="2026-11-23T09:58:00Z",
        config="services/checkout/bench.yml",
        key="checkout-service",
        job="trend/benchmark (3.13, ubuntu-24.04-arm)",
    )
    assert len(render_line(record).encode()) < LONGEST_LINE
    assert "\n" not in render_line(record)


finite = st.floats(allow_nan=False, allow_infinity=False)
estimates = st.tuples(finite, st.none() | finite, st.none() | finite)
names = st.sampled_from(sorted(METRICS)) | st.text(min_size=1)


@given(
    metrics=st.dictionaries(names, estimates),
    control=st.dictionaries(names, estimates),
    variant=st.text(),
    at=st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_render_line__parse_line_reads_the_same_record(metrics: Any, control: Any, variant: str, at: datetime) -> None:
    record = make_record(at=at.isoformat(), variant=variant, metrics=metrics, control=control, work=None)
    assert parse_line(render_line(record)) == record


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_round_digits__to_six_digits(value: float) -> None:
    assert abs(round_digits(value) / value - 1) <= 5.1e-6
    assert round_digits(round_digits(value)) == round_digits(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:00:00+00:00", "2026-11-23T10:00:00Z"),
        ("2026-11-01T00:30:00.5+01:00", "2026-10-31T23:30:00Z"),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
    ],
)
def test_normalize_time__writes_a_time_in_one_way(text: str, expected: str) -> None:
    assert normalize_time(text) == expected


@pytest.mark.parametrize(
    "text", ["2026-11-23T10:00:00", "yesterday", "", "1969-12-31T00:00:00Z", "0001-01-01T00:00:00+05:00"]
)
def test_normalize_time__refuses_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        normalize_time(text)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"schema_version": 1', "not valid JSON"),
        ("[]", "no `schema_version`"),
        ('{"schema_version": true}', "no `schema_version`"),
        ('{"schema_version": 1}', "`run`"),
        ('{"schema_version": 0}', "no bench-action has written"),
    ],
)
def test_parse_line__reports_what_is_broken_and_where(line: str, cause: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_line(line, "records/2026-11.jsonl, line 3")
    assert "broken" in caught.value.what
    assert cause in caught.value.cause
    assert "line 3" in str(caught.value)


def test_parse_line__refuses_infinity_and_fields_it_does_not_know() -> None:
    line = render_line(make_record())
    for bad in (line.replace("991.254", "Infinity"), line.replace("991.254", "NaN"), line[:-1] + ',"x":1}'):
        with pytest.raises(InputError, match="broken"):
            parse_line(bad)
    with pytest.raises(ValidationError):
        make_record(metrics={"requests_per_second": (float("nan"), None, None)})


def test_parse_line__reports_a_newer_version() -> None:
    with pytest.raises(InputError) as caught:
        parse_line('{"schema_version": 2, "anything": []}')
    assert "schema version 2" in caught.value.what
    assert "update bench-action" in caught.value.advice


def test_record__cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        make_record().sha = "b"  # type: ignore[misc]
    assert isinstance(make_record(), Record)


def test_render_line__without_names_has_none_of_their_fields() -> None:
    fields = json.loads(render_line(make_record()))
    assert not {"ct", "cfg", "key", "job"} & fields.keys()
    record = parse_line(json.dumps(fields))
    assert record.benchmark == Benchmark(preset="article", engine="docker")
    assert record.committed_at == ""


@pytest.mark.parametrize(
    ("given_date", "kept"),
    [("2026-11-23T12:00:00+02:00", "2026-11-23T10:00:00Z"), ("", ""), ("1901-01-01T00:00:00Z", ""), ("soon", "")],
)
def test_make_records__a_valid_commit_date_is_kept(given_date: str, kept: str) -> None:
    records = make_records(make_result(source=Source(head_sha="b" * 40, committed_at=given_date)))
    assert {record.committed_at for record in records} == {kept}


def test_make_records__names_the_benchmark() -> None:
    result = make_result()
    run = result.run.model_copy(update={"config": "a/bench.yml", "key": "a", "job": "trend/bench"})
    (first, _) = make_records(result.model_copy(update={"run": run}))
    assert first.benchmark == run.benchmark == Benchmark("a/bench.yml", "a", "trend/bench", "article", "docker")
    assert parse_line(render_line(first)) == first


SAME = Source(head_sha="b" * 40, base_sha="b" * 40)


def test_make_records__of_unchanged_code_have_what_the_run_found() -> None:
    result = make_compared(make_paired(1000), source=SAME)
    (record,) = make_records(result)
    assert record.unchanged is not None
    assert (record.unchanged.verdict, record.unchanged.alarms) == (result.verdict, {})
    found = {c.metric: c.smallest_detectable for c in result.comparisons if c.gate is not None}
    assert record.unchanged.detectable["requests_per_second"] == pytest.approx(found["requests_per_second"], rel=1e-4)
    assert "queries_per_request" not in record.unchanged.detectable, "it is exact"
    assert record.metrics
    assert parse_line(render_line(record)) == record


def test_make_records__other_runs_have_nothing_about_unchanged_code() -> None:
    others = (Source(head_sha="b" * 40, base_sha="c" * 40), Source(head_sha="b" * 40), Source())
    dirty = SAME.model_copy(update={"dirty": True})
    for source in (*others, dirty):
        (record,) = make_records(make_compared(make_paired(1000), source=source))
        assert record.unchanged is None
        assert '"same"' not in render_line(record)


def test_make_records__of_a_self_test_that_found_a_difference_have_its_alarms_and_no_metrics() -> None:
    result = make_compared(make_paired(900), verdict="invalid", warnings=(warn(Code.UNRELIABLE),))
    assert make_records(result) == []
    run = result.run.model_copy(update={"self_test": True})
    (record,) = make_records(result.model_copy(update={"run": run}))
    assert record.unchanged is not None
    assert record.unchanged.verdict == "invalid"
    assert record.unchanged.alarms["requests_per_second"] == "regressed"
    assert (record.metrics, record.control, record.work) == ({}, {}, None)


def test_make_records__of_a_run_that_judged_nothing_are_no_entry_of_the_ledger() -> None:
    alone = make_result([make_trial(block=n) for n in range(1, 6)], source=SAME)  # base did not start
    assert alone.verdict == "measured"
    (record,) = make_records(alone)
    assert (record.unchanged, record.blocks) == (None, 5)
    noted = make_compared(make_paired(1000), source=SAME, verdict="measured")  # a loss that no gate forbids
    assert [record.unchanged is not None for record in make_records(noted)] == [True]


@pytest.mark.parametrize(("code", "verdict"), [("work-deviates", "unchanged"), ("errors", "regressed")])
def test_make_records__a_finding_that_does_not_compare_with_base_is_no_false_alarm(code: str, verdict: str) -> None:
    finding = Finding(code=code, message="", cell="aiohttp · article-500", before=1, after=2, fails=True)
    (record,) = make_records(make_compared(make_paired(1000), source=SAME, findings=(finding,), verdict="regressed"))
    assert record.unchanged is not None
    assert record.unchanged.verdict == verdict


def test_make_records__of_unchanged_code_that_could_not_be_measured_count_too() -> None:
    bad = warn(Code.GENERATOR_SATURATED)
    result = make_result([make_trial("broken", 1, warnings=(bad,))], source=SAME)
    (record,) = make_records(result)
    assert (record.blocks, record.metrics) == (0, {})
    assert record.unchanged is not None
    assert record.unchanged.verdict == "invalid"
