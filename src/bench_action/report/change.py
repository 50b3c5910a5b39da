"""Choose which comparisons of base and head a report shows, in which order, and which of their sizes mean something."""

from bench_action.compare.verdict import is_loss
from bench_action.model.result import Comparison, Result
from bench_action.stats.interval import LEAST_BLOCKS

# the order in which a headline looks for its metric
_FIRST = (
    "requests_per_second",
    "latency_p50_us",
    "latency_p50_at_rate_us",
    "latency_p90_at_rate_us",
    "slo_rate",
    "cpu_ms_per_request",
    "total_cpu_ms_per_request",
    "queries_per_request",
    "cache_commands_per_request",
    "db_cpu_ms_per_request",
)
_WIDEST = 4  # if the ends of an interval differ by more than this factor, it gives no size


def list_comparisons(result: Result) -> list[Comparison]:
    """List the comparisons of two revisions, the most telling metric first."""
    comparisons = [comparison for comparison in result.comparisons if comparison.kind == "revision"]
    return sorted(comparisons, key=lambda c: _FIRST.index(c.metric) if c.metric in _FIRST else len(_FIRST))


def list_losses(result: Result) -> list[Comparison]:
    """List everything that matters and got worse: first what fails a gate. Empty for an invalid measurement."""
    if result.verdict == "invalid":
        return []
    return [*(c for c in list_comparisons(result) if fails_gate(c)), *list_allowed_losses(result)]


def list_allowed_losses(result: Result) -> list[Comparison]:
    """List what matters, certainly got worse and fails no gate: by metric, the largest change of each first."""
    losses = [c for c in list_comparisons(result) if is_loss(c) and not fails_gate(c)]
    order = [c.metric for c in losses]
    return sorted(losses, key=lambda c: (order.index(c.metric), -abs(relative_change(c))))


def fails_gate(c: Comparison) -> bool:
    """Return whether a comparison breaks a gate whose level is `fail`."""
    return c.verdict == "regressed" and c.level == "fail"


def is_uncompared(c: Comparison) -> bool:
    """Return whether a metric has a gate, but too few blocks to judge it or to call it inconclusive."""
    if c.gate is None or c.method == "count":
        return False
    if c.verdict == "inconclusive":
        return c.blocks < LEAST_BLOCKS
    certain = c.ci_low is not None and c.ci_high is not None and not c.ci_low <= 1 <= c.ci_high
    return c.verdict == "measured" and not certain


def has_meaning(c: Comparison) -> bool:
    """Return whether a comparison has enough blocks, and blocks that agree enough, to give a size."""
    if c.method == "count":
        return True
    wide = c.ci_low is not None and c.ci_high is not None and c.ci_high > _WIDEST * c.ci_low
    return c.blocks >= LEAST_BLOCKS and not wide


def meaningful_detectable(c: Comparison) -> float | None:
    """Return the smallest detectable change as a fraction; None if it is unknown, or so large that it says nothing."""
    return c.smallest_detectable if c.smallest_detectable is not None and c.smallest_detectable <= 1 else None


def relative_change(c: Comparison) -> float:
    """Return the change of head against base as a fraction of base."""
    return (c.ratio if c.ratio is not None else 1.0) - 1
