"""A result → its records: one for each cell of head that was validly measured. Pure."""

import hashlib
from collections.abc import Sequence

from bench_action.compare.summary import trial_values
from bench_action.history.record import Bounded, Record, WorkPerRequest, rounded, utc
from bench_action.model.result import Result, Source, Summary, Trial
from bench_action.model.warning import Code
from bench_action.stats.interval import estimate_ratio

# compared with the control: what a trend is read by, and as many as fit in a short record
COMPARED = ("requests_per_second", "latency_p50_us", "latency_p99_us", "cpu_ms_per_request")
_BOUND_DIGITS = 5  # an interval is not known any better, and a line is short
# counted, so they are in `work`
_WORK = ("queries_per_request", "rows_per_request", "cache_commands_per_request")


def make_records(result: Result) -> list[Record]:
    """None of a run whose instrument was unsound, nor of a cell without a valid trial alone."""
    if any(warned.code is Code.UNRELIABLE for warned in result.warnings):
        return []
    verified = {subject.variant for subject in result.subjects if subject.revision == "head" and subject.verified}
    return [
        _record(result, summary)
        for summary in result.summaries
        if summary.revision == "head" and summary.variant in verified and summary.trials > summary.invalid_trials
    ]


def _record(result: Result, summary: Summary) -> Record:
    run, source, machine = result.run, result.source, result.environment
    control = _control(result, summary)
    return Record(
        run_id=run.id,
        at=run.started_at,
        sha=source.head_sha,
        committed_at=_committed_at(source),
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
            name: _bounded(one.mean, one.ci_low, one.ci_high)
            for name, one in summary.metrics.items()
            if name not in _WORK
        },
        control=control,
        control_id=_control_id(result),
        work=_work(summary),
    )


def _committed_at(source: Source) -> str:
    """Empty for a date that no calendar has or that is before 1970, which git takes all the same."""
    try:
        return utc(source.committed_at) if source.committed_at else ""
    except ValueError:
        return ""


def _control(result: Result, summary: Summary) -> dict[str, Bounded]:
    """This cell ÷ the control's of the same profile, block by block; nothing for the control itself."""
    name = result.control.get("variant", "")
    if not name or name == summary.variant:
        return {}
    mine = _by_block(result.trials, summary.variant, summary.profile)
    its = _by_block(result.trials, name, summary.profile)
    blocks = sorted(set(mine) & set(its))
    found = {}
    for metric in COMPARED:
        shared = [block for block in blocks if metric in mine[block] and metric in its[block]]
        ratio = estimate_ratio([its[block][metric] for block in shared], [mine[block][metric] for block in shared])
        if ratio is not None:
            low, high = (ratio.interval.low, ratio.interval.high) if ratio.interval else (None, None)
            found[metric] = _bounded(ratio.ratio, low, high)
    return found


def _control_id(result: Result) -> str:
    """As the run says; else by what was started, so that unlike controls are never taken for one another."""
    name, identity = result.control.get("variant", ""), result.control.get("id", "")
    if not name or identity:
        return identity if name else ""
    images = [one.image_id for one in result.subjects if one.variant == name and one.revision == "head"]
    return hashlib.sha256("|".join([name, *images]).encode()).hexdigest()[:12]


def _by_block(trials: Sequence[Trial], variant: str, profile: str) -> dict[int, dict[str, float]]:
    return {
        trial.block: trial_values(trial)
        for trial in trials
        if trial.phase == "capacity"
        and trial.valid
        and (trial.variant, trial.revision, trial.profile) == (variant, "head", profile)
    }


def _work(summary: Summary) -> WorkPerRequest | None:
    if not all(name in summary.metrics for name in _WORK):
        return None
    queries, rows, commands = (rounded(summary.metrics[name].mean) for name in _WORK)
    return WorkPerRequest(queries=queries, rows=rows, cache_commands=commands)


def _bounded(value: float, low: float | None, high: float | None) -> Bounded:
    bounds = [None if bound is None else rounded(bound, _BOUND_DIGITS) for bound in (low, high)]
    return rounded(value), bounds[0], bounds[1]
