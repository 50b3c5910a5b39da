"""Trials → summaries → comparisons → verdict. Pure."""

from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import NamedTuple

from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Errors, Estimate, SubjectInfo, Summary, Trial, Verdict
from bench_action.model.warning import Code, Warned
from bench_action.model.wording import plural
from bench_action.stats.interval import CONFIDENCE, interval_of, ratio_of

# compared between variants; the rest is in the summaries
_COMPARED = ("requests_per_second", "latency_p50_us", "latency_p99_us", "cpu_ms_per_request", "memory_peak_mib")
_EXACT = ("queries_per_request", "rows_per_request", "cache_commands_per_request")
_RELEVANT = 0.01
_WIDE_SPREAD = 0.3


class Sides(NamedTuple):
    """Trials of two variants with one profile."""

    profile: str
    base: str
    head: str
    of_base: Sequence[Trial]
    of_head: Sequence[Trial]


def summarise(trials: Sequence[Trial], subjects: Sequence[SubjectInfo]) -> tuple[Summary, ...]:
    """One summary for each cell, in the order of `subjects`, then of profiles as they were measured."""
    profiles = sorted({trial.profile for trial in trials}, key=[trial.profile for trial in trials].index)
    startup_s = {(one.variant, one.revision): one.startup_s for one in subjects}
    cells = [(one.variant, one.revision, profile) for profile in profiles for one in subjects]
    by_cell = {cell: [t for t in trials if (t.variant, t.revision, t.profile) == cell] for cell in cells}
    return tuple(_summary(own, startup_s[cell[:2]]) for cell, own in by_cell.items() if own)


def compare_variants(
    trials: Sequence[Trial], pairs: Sequence[tuple[str, str]], profiles: Sequence[str]
) -> tuple[Comparison, ...]:
    """Every pair (base, head) for every profile. Variants are measured alone (`solo`), and nothing is gated."""
    found: list[Comparison | None] = []
    for profile in profiles:
        for base, head in pairs:
            of_base, of_head = ([t for t in trials if (t.variant, t.profile) == (v, profile)] for v in (base, head))
            sides = Sides(profile, base, head, of_base, of_head)
            found += [_solo(metric, sides) for metric in _COMPARED]
            found += [_exact(metric, sides) for metric in _EXACT]
    return tuple(comparison for comparison in found if comparison is not None)


def default_pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Where the configuration names no pairs: every other variant against the first."""
    return [(variants[0], other) for other in variants[1:]]


def warnings_of(trials: Sequence[Trial], summaries: Sequence[Summary]) -> tuple[Warned, ...]:
    """Warnings of the trials, one for each code and cell, and of the spread between them; what invalidates first."""
    groups: dict[tuple[Code, str], list[Warned]] = {}
    for trial in trials:
        for warned in trial.warnings:
            groups.setdefault((warned.code, warned.cell), []).append(warned)
    found = [_together(group) for group in groups.values()] + list(_wide_spreads(summaries))
    return tuple(sorted(found, key=lambda warned: not warned.code.invalidates))


def verdict_of(trials: Sequence[Trial], warnings: Sequence[Warned]) -> Verdict:
    """`measured` where every trial measured what was asked, else `invalid`; nothing is gated without a baseline."""
    sound = trials and all(trial.valid for trial in trials)
    return "measured" if sound and not any(warned.code.invalidates for warned in warnings) else "invalid"


def trial_values(trial: Trial) -> dict[str, float]:
    """The metrics that one trial gives."""
    requests = max(1, trial.requests)
    values = {
        f"{part}cpu_ms_per_request": trial.cpu_ms[name] / requests for part, name in _PARTS if name in trial.cpu_ms
    }
    if trial.phase == "count":
        work = trial.work
        return values | {
            "queries_per_request": work.queries / requests,
            "rows_per_request": work.rows / requests,
            "cache_commands_per_request": work.cache_commands / requests,
        }
    errors = trial.errors
    attempts = trial.requests + errors.connect + errors.read + errors.write
    values |= {
        "requests_per_second": trial.requests_per_second,
        "error_rate": errors.total / max(1, attempts),
        "db_connections_peak": float(trial.db_connections_peak),
    }
    if trial.latency is not None:
        values |= {f"latency_{p}_us": getattr(trial.latency, f"{p}_us") for p in ("p50", "p90", "p99", "p999")}
    if trial.memory_peak_mib is not None:
        values["memory_peak_mib"] = trial.memory_peak_mib
    return values


_PARTS = (("", "application"), ("db_", "db"), ("cache_", "cache"))


def _summary(trials: Sequence[Trial], startup_s: float) -> Summary:
    capacity = [trial for trial in trials if trial.phase == "capacity"]
    valid = [trial for trial in capacity if trial.valid]
    values: dict[str, list[float]] = {"startup_s": [startup_s]}
    for trial in [*valid, *(t for t in trials if t.phase == "count")]:
        for name, value in trial_values(trial).items():
            if trial.phase == "capacity" or name in _EXACT:
                values.setdefault(name, []).append(value)
    speeds = values.get("requests_per_second", [])
    first = trials[0]
    return Summary(
        variant=first.variant, revision=first.revision, profile=first.profile, trials=len(capacity),
        invalid_trials=len(capacity) - len(valid),
        requests=sum(t.requests for t in capacity) / len(capacity) if capacity else 0.0,
        errors=sum((trial.errors for trial in capacity), Errors()),
        spread=(max(speeds) - min(speeds)) / median(speeds) if len(speeds) > 1 and median(speeds) else None,
        metrics={name: _estimate(name, values[name]) for name in METRICS if name in values},
    )  # fmt: skip


def _estimate(name: str, values: Sequence[float]) -> Estimate:
    metric, interval = METRICS[name], interval_of(values)
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Estimate(
        median=median(values), mean=fmean(values), ci_low=low, ci_high=high, unit=metric.unit, better=metric.better
    )  # fmt: skip


def _solo(metric: str, sides: Sides) -> Comparison | None:
    base, head = _by_block(metric, sides.of_base), _by_block(metric, sides.of_head)
    blocks = sorted(set(base) & set(head))
    found = ratio_of([base[block] for block in blocks], [head[block] for block in blocks])
    if found is None:
        return None
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    significant = low is not None and high is not None and not low <= 1 <= high
    return Comparison(
        kind="variant", method="solo", metric=metric, profile=sides.profile, variant=sides.head, revision="head",
        base=sides.base, head=sides.head, base_value=found.base, head_value=found.head, ratio=found.ratio,
        difference=found.head - found.base, ci_low=low, ci_high=high, confidence=CONFIDENCE,
        smallest_detectable=found.smallest_detectable, blocks=len(blocks), gate=None, significant=significant,
        relevant=significant and abs(found.ratio - 1) >= _RELEVANT, verdict="measured",
    )  # fmt: skip


def _exact(metric: str, sides: Sides) -> Comparison | None:
    both = [
        [trial_values(t)[metric] for t in trials if t.phase == "count"] for trials in (sides.of_base, sides.of_head)
    ]
    if not all(both):
        return None
    (base_value, *_), (head_value, *_) = both
    ratio = head_value / base_value if base_value else None
    differs = base_value != head_value
    return Comparison(
        kind="variant", method="count", metric=metric, profile=sides.profile, variant=sides.head, revision="head",
        base=sides.base, head=sides.head, base_value=base_value, head_value=head_value,
        ratio=ratio, difference=head_value - base_value,
        ci_low=ratio, ci_high=ratio, confidence=1.0, smallest_detectable=0.0, blocks=1, gate=None,
        significant=differs, relevant=differs, verdict="measured",
    )  # fmt: skip


def _by_block(metric: str, trials: Sequence[Trial]) -> dict[int, float]:
    valid = [trial for trial in trials if trial.phase == "capacity" and trial.valid]
    return {trial.block: values[metric] for trial in valid if metric in (values := trial_values(trial))}


def _together(group: Sequence[Warned]) -> Warned:
    first = group[0]
    if len(group) == 1:
        return first
    return first.model_copy(update={"message": f"{first.message} (and in {plural(len(group) - 1, 'more trial')})"})


def _wide_spreads(summaries: Sequence[Summary]) -> Iterator[Warned]:
    for summary in summaries:
        if summary.spread is not None and summary.spread > _WIDE_SPREAD:
            code = Code.WIDE_SPREAD
            message = f"its runs differ by {summary.spread * 100:.0f} % of their median"
            yield Warned(code=code, message=message, advice=code.advice, cell=summary.cell)
