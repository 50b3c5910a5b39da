"""Compare two stored results of the same kind of machine: figures, and no verdict. Pure.

Nothing here was measured paired. On one shared machine the same code differs by 10 % and more from one hour to the
next, and no interval over blocks includes that (docs/how-it-decides.md): only exact counts can be called changed.
"""

from collections.abc import Iterator, Sequence

from bench_action.compare.comparison import build_exact, build_solo
from bench_action.compare.counting import count_metric
from bench_action.compare.summary import trial_values
from bench_action.config.gates import EXACT
from bench_action.model.errors import InputError
from bench_action.model.result import Comparison, Result, Trial
from bench_action.plan.blocks import Cell, Pair
from bench_action.stats.interval import estimate_unpaired_ratio

_COMPARED = (
    "requests_per_second",
    "latency_p50_us",
    "latency_p99_us",
    "cpu_ms_per_request",
    "db_cpu_ms_per_request",
    "cache_cpu_ms_per_request",
    "total_cpu_ms_per_request",
    "memory_peak_mib",
)


def compare_results(base: Result, head: Result) -> tuple[Comparison, ...]:
    """Compare every metric of every cell that both results measured under the same load.

    Raises InputError if the two may not be compared, or have no such cell.
    """
    _require_comparable(base, head)
    cells = [
        (subject.variant, profile.name)
        for profile in head.profiles
        if profile in base.profiles
        for subject in head.subjects
    ]
    found = [
        comparison
        for variant, profile in dict.fromkeys(cells)
        for comparison in _compare_cell(base, head, variant, profile)
    ]
    if not found:
        raise InputError(
            "nothing to compare: the two results have no cell in common that was measured under the same load",
            cause="variants have other names, or profiles have another load",
            advice="compare results of one configuration",
        )
    return tuple(found)


def _require_comparable(base: Result, head: Result) -> None:
    for name, result in (("base", base), ("head", head)):
        if result.verdict == "invalid":
            raise InputError(f"{name} is invalid: its figures do not count", advice="measure it again")
    differences = [
        f"{what}: {before} and {after}"
        for what, before, after in (
            ("CPU", base.environment.cpu_model, head.environment.cpu_model),
            ("cores", base.environment.cores, head.environment.cores),
            ("memory in MiB", base.environment.memory_mib, head.environment.memory_mib),
            ("engine", base.run.engine, head.run.engine),
        )
        if before != after
    ]
    mixed = "+" in base.environment.fingerprint  # merged from runners of several kinds
    if differences or mixed or base.environment.fingerprint != head.environment.fingerprint:
        raise InputError(
            "the two results come from different machines, so their figures show no change of the code",
            cause="; ".join(differences) or "their fingerprints differ",
            advice="`bench-action run --baseline REF` measures both revisions on one machine, paired",
        )


def _compare_cell(base: Result, head: Result, variant: str, profile: str) -> Iterator[Comparison]:
    pair = Pair("revision", Cell(variant, "base", profile), Cell(variant, "head", profile))
    before, after = ([t for t in result.trials if t.cell == str(pair.head) and t.valid] for result in (base, head))
    for metric in _COMPARED:
        base_values, head_values = _take_values(before, metric), _take_values(after, metric)
        if (figures := estimate_unpaired_ratio(base_values, head_values)) is not None:
            yield build_solo(metric, pair, figures, min(len(base_values), len(head_values)))
    for metric in EXACT:
        counts = [count_metric([t for t in trials if t.phase == "count"], metric) for trials in (before, after)]
        if counts[0] is not None and counts[1] is not None:
            yield build_exact(metric, pair, counts[0], counts[1])


def _take_values(trials: Sequence[Trial], metric: str) -> list[float]:
    values = [trial_values(trial) for trial in trials if trial.phase == "capacity"]
    return [value[metric] for value in values if metric in value]
