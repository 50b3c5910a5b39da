"""Make records from a result: one for each cell of head with a valid measurement. Pure."""

import hashlib
from collections.abc import Sequence

from bench_action.compare.summary import trial_values
from bench_action.compare.verdict import decide_verdict, is_judged
from bench_action.history.record import (
    SHORT,
    Estimate,
    Record,
    UnchangedCode,
    WorkPerRequest,
    normalize_time,
    round_digits,
)
from bench_action.model.result import Result, Source, Summary, Trial, Verdict, split_route
from bench_action.model.warning import Code
from bench_action.stats.interval import estimate_ratio

# compared with the control: the metrics that a trend is read by, as many as fit in a short record
COMPARED = ("requests_per_second", "latency_p50_us", "latency_p99_us", "cpu_ms_per_request")
_BOUND_DIGITS = 5  # an interval is no more precise than this, and lines should be short
# counted, so they are in `work`
_WORK = ("queries_per_request", "rows_per_request", "cache_commands_per_request")


def make_records(result: Result) -> list[Record]:
    """Make the records: none if the run is unreliable, and none of a cell without a valid trial of head.

    A run whose missing shards leave cells unmeasured has no records: it is appended once, so these cells would never
    reach the history.

    If head was compared with itself and anything was judged, every cell has a record, as errors are what counts; it has
    no metrics if these do not count.
    """
    if find_missing_cells(result):
        return []
    reliable = not any(warned.code is Code.UNRELIABLE for warned in result.warnings)
    verified = {subject.variant for subject in result.subjects if subject.revision == "head" and subject.verified}
    own = [summary for summary in result.summaries if summary.revision == "head" and summary.variant in verified]
    counts = [reliable and summary.trials > summary.invalid_trials for summary in own]
    unchanged = result.is_unchanged_code and _is_judged(result)
    return [
        _make_record(result, summary, counts=valid, unchanged=unchanged)
        for summary, valid in zip(own, counts, strict=True)
        if valid or unchanged
    ]


def find_missing_cells(result: Result) -> tuple[str, ...]:
    """Find the cells of head that a shard was to measure and that no shard in the result has measured."""
    planned = (cell for shard in result.shards[:1] for share in shard.shares for cell in share)
    measured = {cell for shard in result.shards for cell in shard.cells}
    return tuple(cell for cell in dict.fromkeys(planned) if cell not in measured)


def _is_judged(result: Result) -> bool:
    """Return whether the run judged a gate, or should have; without a base, it cannot."""
    gated = (c for c in result.comparisons if c.gate is not None)
    return _judge_unchanged_code(result) != "measured" or any(is_judged(c) or c.verdict != "measured" for c in gated)


def _make_record(result: Result, summary: Summary, *, counts: bool, unchanged: bool) -> Record:
    run, source, machine = result.run, result.source, result.find_environment(summary.cell)
    return Record(
        run_id=run.id,
        at=run.started_at,
        sha=source.head_sha,
        committed_at=_read_commit_time(source),
        ref=source.ref,
        config=run.config,
        key=run.key,
        job=run.job,
        preset=run.preset,
        engine=run.engine,
        tool_version=run.tool_version,
        fingerprint=machine.fingerprint,
        cpu_model=machine.cpu_model,
        variant=summary.variant,
        profile=summary.profile,
        blocks=summary.trials - summary.invalid_trials,
        metrics={
            name: _round_estimate(metric.mean, metric.ci_low, metric.ci_high)
            for name, metric in summary.metrics.items()
            if name in SHORT and counts
        },
        control=_compare_with_control(result, summary) if counts else {},
        control_id=_identify_control(result),
        work=_read_work(summary) if counts else None,
        unchanged=_read_unchanged_code(result, summary) if unchanged else None,
    )


def _read_unchanged_code(result: Result, summary: Summary) -> UnchangedCode:
    """Read what a run that compared head with itself found in a cell."""
    machine = result.find_environment(summary.cell)
    place = (summary.variant, summary.profile)
    own = [c for c in result.comparisons if c.kind == "revision" and (c.variant, split_route(c.profile)[0]) == place]
    return UnchangedCode(
        verdict=_judge_unchanged_code(result),
        # of the requests of a mix, the worst counts
        alarms={c.metric: c.verdict for alarm in ("improved", "regressed") for c in own if c.verdict == alarm},
        detectable={
            c.metric: round_digits(c.smallest_detectable, _BOUND_DIGITS)
            for c in sorted(own, key=lambda c: c.smallest_detectable or 0.0)
            if c.gate is not None and c.smallest_detectable
        },
        runner=machine.runner,
        architecture=machine.architecture,
        cores=machine.cores,
    )


def _judge_unchanged_code(result: Result) -> Verdict:
    """Return the verdict on the comparison with base: that head deviates from declared work says nothing about it."""
    findings = [finding for finding in result.findings if finding.code != "work-deviates"]
    if result.verdict != "regressed" or len(findings) == len(result.findings):
        return result.verdict
    return decide_verdict(result.trials, result.warnings, result.comparisons, findings)


def _read_commit_time(source: Source) -> str:
    """Read when head was committed; empty for a date that is invalid or before 1970, both of which git accepts."""
    try:
        return normalize_time(source.committed_at) if source.committed_at else ""
    except ValueError:
        return ""


def _compare_with_control(result: Result, summary: Summary) -> dict[str, Estimate]:
    """Divide this cell by the control's of the same profile, block by block; empty for the control itself."""
    name = result.control.get("variant", "")
    if not name or name == summary.variant:
        return {}
    values = _values_by_block(result.trials, summary.variant, summary.profile)
    controls = _values_by_block(result.trials, name, summary.profile)
    blocks = sorted(set(values) & set(controls))
    ratios = {}
    for metric in COMPARED:
        shared = [block for block in blocks if metric in values[block] and metric in controls[block]]
        ratio = estimate_ratio(
            [controls[block][metric] for block in shared], [values[block][metric] for block in shared]
        )
        if ratio is not None:
            low, high = (ratio.interval.low, ratio.interval.high) if ratio.interval else (None, None)
            ratios[metric] = _round_estimate(ratio.ratio, low, high)
    return ratios


def _identify_control(result: Result) -> str:
    """Return the control's id; without one, a hash of its images, so that different controls are never mixed up."""
    name, identity = result.control.get("variant", ""), result.control.get("id", "")
    if not name or identity:
        return identity if name else ""
    images = [subject.image_id for subject in result.subjects if subject.variant == name and subject.revision == "head"]
    return hashlib.sha256("|".join([name, *images]).encode()).hexdigest()[:12]


def _values_by_block(trials: Sequence[Trial], variant: str, profile: str) -> dict[int, dict[str, float]]:
    return {
        trial.block: trial_values(trial)
        for trial in trials
        if trial.phase == "capacity"
        and trial.valid
        and (trial.variant, trial.revision, trial.profile) == (variant, "head", profile)
    }


def _read_work(summary: Summary) -> WorkPerRequest | None:
    if not all(name in summary.metrics for name in _WORK):
        return None
    queries, rows, commands = (round_digits(summary.metrics[name].mean) for name in _WORK)
    return WorkPerRequest(queries=queries, rows=rows, cache_commands=commands)


def _round_estimate(value: float, low: float | None, high: float | None) -> Estimate:
    bounds = [None if bound is None else round_digits(bound, _BOUND_DIGITS) for bound in (low, high)]
    return round_digits(value), bounds[0], bounds[1]
