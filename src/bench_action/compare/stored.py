"""Two stored results of like machines, side by side: what differs, and no verdict. Pure.

Nothing here was measured paired. On one shared machine the same code differs by 10 % and more from one hour to the
next, and no interval over blocks knows of it (docs/how-it-decides.md): only exact counts can be called changed.
"""

from collections.abc import Iterator, Sequence

from bench_action.compare.counting import count_metric
from bench_action.compare.summary import trial_values
from bench_action.config.gates import EXACT
from bench_action.model.errors import InputError
from bench_action.model.result import Comparison, ProfileInfo, Result, Trial, cell_name
from bench_action.stats.interval import CONFIDENCE, estimate_unpaired_ratio

_COMPARED = (
    "requests_per_second",
    "latency_p50_us",
    "latency_p99_us",
    "cpu_ms_per_request",
    "db_cpu_ms_per_request",
    "cache_cpu_ms_per_request",
    "memory_peak_mib",
)
_RELEVANT = 0.01


def compare_results(base: Result, head: Result) -> tuple[Comparison, ...]:
    """Every metric of every cell that both have measured alike. Raises InputError where nothing may be compared."""
    _refuse_unlike(base, head)
    profiles = [one for one in head.profiles if one in base.profiles]
    found = [
        comparison
        for profile in profiles
        for variant in dict.fromkeys(subject.variant for subject in head.subjects)
        for comparison in _of_cell(base, head, variant, profile)
    ]
    if not found:
        raise InputError(
            "the two results have no cell in common that was measured alike",
            cause="variants have other names, or profiles another load",
            advice="compare results of one configuration",
        )
    return tuple(found)


def _refuse_unlike(base: Result, head: Result) -> None:
    for name, result in (("base", base), ("head", head)):
        if result.verdict == "invalid":
            raise InputError(f"{name} is invalid: its figures count for nothing", advice="measure it again")
    unlike = [
        f"{what}: {one} and {other}"
        for what, one, other in (
            ("CPU", base.environment.cpu_model, head.environment.cpu_model),
            ("cores", base.environment.cores, head.environment.cores),
            ("memory in MiB", base.environment.memory_mib, head.environment.memory_mib),
            ("engine", base.run.engine, head.run.engine),
        )
        if one != other
    ]
    if unlike or base.environment.fingerprint != head.environment.fingerprint:
        raise InputError(
            "the two results are of unlike machines, whose figures say nothing of the code",
            cause="; ".join(unlike) or "their fingerprints differ",
            advice="`bench-action run --baseline REF` measures both revisions on one machine, paired",
        )


def _of_cell(base: Result, head: Result, variant: str, profile: ProfileInfo) -> Iterator[Comparison]:
    before, after = ([t for t in result.trials if _is_of(t, variant, profile.name)] for result in (base, head))
    names = {revision: cell_name(variant, revision, profile.name) for revision in ("base", "head")}
    for metric in _COMPARED:
        found = estimate_unpaired_ratio(_values(before, metric, "capacity"), _values(after, metric, "capacity"))
        if found is None:
            continue
        low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
        significant = low is not None and high is not None and not low <= 1 <= high
        yield Comparison(
            kind="revision",
            method="solo",
            metric=metric,
            profile=profile.name,
            variant=variant,
            revision="head",
            **names,
            base_value=found.base,
            head_value=found.head,
            ratio=found.ratio,
            difference=found.head - found.base,
            ci_low=low,
            ci_high=high,
            confidence=CONFIDENCE,
            smallest_detectable=found.smallest_detectable,
            blocks=min(len(before), len(after)),
            gate=None,
            significant=significant,
            relevant=significant and abs(found.ratio - 1) >= _RELEVANT,
            verdict="measured",
        )
    for metric in EXACT:
        one, other = (count_metric(_counts(trials), metric) for trials in (before, after))
        if one is None or other is None:
            continue
        differs, exact = other.change_from(one) != 0, one.exact and other.exact
        yield Comparison(
            kind="revision",
            method="count",
            metric=metric,
            profile=profile.name,
            variant=variant,
            revision="head",
            **names,
            base_value=one.per_request,
            head_value=other.per_request,
            ratio=other.per_request / one.per_request if one.per_request else None,
            difference=other.per_request - one.per_request,
            ci_low=None,
            ci_high=None,
            confidence=1.0 if exact else CONFIDENCE,
            smallest_detectable=0.0 if exact else None,
            blocks=min(len(one.values), len(other.values)),
            gate=None,
            significant=differs,
            relevant=differs,
            verdict="measured",
        )


def _counts(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.phase == "count"]


def _is_of(trial: Trial, variant: str, profile: str) -> bool:
    return (trial.variant, trial.revision, trial.profile) == (variant, "head", profile) and trial.valid


def _values(trials: Sequence[Trial], metric: str, phase: str) -> list[float]:
    own = [trial_values(trial) for trial in trials if trial.phase == phase]
    return [values[metric] for values in own if metric in values]
