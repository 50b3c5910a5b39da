"""Derive a cell's work per request from its repeated counts. Pure.

Counting the same requests twice gives the same number, unless something works on its own (a scheduler) or only now and
then (a cache that expires, a pool that pings a connection). Rules and their false alarms: docs/how-it-decides.md.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench_action.config.gates import SERVICES
from bench_action.model.metric import METRICS
from bench_action.model.result import Trial, split_route
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.plan.blocks import COUNTS, PAIRED_PHASES, Pair

_FIELDS = {"queries_per_request": "queries", "rows_per_request": "rows", "cache_commands_per_request": "cache_commands"}
_STRAY = 2  # fewer than this many more in a whole count are never a change, unless it is one for every request
_MARGIN = 0.5  # of the wider range: how far apart two ranges must be
_HALF = 0.5
_UNUSED = 0.05  # at least one request in twenty uses a service, or its cost per request means nothing


@dataclass(frozen=True, slots=True)
class Count:
    """Work of one kind in each count of a cell: `totals`, each for `requests` requests.

    `idle` is the least, mean and most work that would have been done in that time without requests. `exact`: every
    count gave the same whole number for each request, and there was no idle work, so there is nothing to estimate.
    """

    totals: tuple[float, ...]
    requests: int
    exact: bool
    idle: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def values(self) -> tuple[float, ...]:
        """The work per request in each count, less the mean of idle work."""
        return tuple(max(0.0, total - self.idle[1]) / self.requests for total in self.totals)

    @property
    def per_request(self) -> float:
        """The mean over the counts."""
        return fmean(self.values)

    @property
    def low(self) -> float:
        """The least of all counts, per request."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most of all counts, per request."""
        return max(self.values)

    def change_from(self, base: "Count") -> float:
        """Compute the difference of the means, per request; 0 if it is no larger than what varies by itself."""
        difference = self.per_request - base.per_request
        if self.exact and base.exact:
            return difference
        sure = self.is_above(base) if difference > 0 else base.is_above(self)
        return difference if sure else 0.0

    def deviates(self, declared: float) -> bool:
        """Whether it differs from what was declared per request; a count that varies must differ by at least 0.5."""
        if self.exact:
            return self.per_request != declared
        least, most = min(self.totals) - self.idle[2], max(self.totals) - self.idle[0]
        inside = least <= declared * self.requests <= most
        return not inside and abs(self.per_request - declared) >= _HALF

    def is_above(self, other: "Count") -> bool:
        """Whether every count is above all of the other's, by more than chance or idle work can explain."""
        distance = min(self.totals) - max(other.totals) * self.requests / other.requests
        return distance >= self._find_margin(other) and distance > self._find_background(other)

    def compute_detectable(self, base: "Count") -> float:
        """Compute how far above base's mean its own would have to be, per request, to be above all of base's counts.

        For counts that vary as these two do, at least one of which is not exact.
        """
        apart = max(self._find_margin(base), self._find_background(base))
        below = fmean(self.totals) - min(self.totals)
        above = max(base.totals) - fmean(base.totals)
        return (apart + below) / self.requests + above / base.requests

    def _find_margin(self, other: "Count") -> float:
        """Find how far apart two ranges must be at least: strays, and half of the wider range."""
        width = max((max(count.totals) - min(count.totals)) / count.requests for count in (self, other)) * self.requests
        return max(min(_STRAY, self.requests), _MARGIN * width)

    def _find_background(self, other: "Count") -> float:
        """Find what idle work could explain: the most of this one, the least of the other."""
        return self.idle[2] - other.idle[0] * self.requests / other.requests


def select_counts(trials: Sequence[Trial], variant: str, revision: str, profile: str) -> list[Trial]:
    """Select the counts of one cell, in the order in which they were made; none if one of them is invalid."""
    key = ("count", variant, revision, profile)
    own = [t for t in trials if (t.phase, t.variant, t.revision, t.profile) == key]
    return own if all(trial.valid for trial in own) else []


def count_metric(counts: Sequence[Trial], metric: str) -> Count | None:
    """Derive a metric from the counts of one cell; None if there is no count, or one without a reply."""
    field, counts = _FIELDS[metric], _drop_first(counts)
    idle = [(getattr(trial.idle, field), trial.idle_s) for trial in counts if trial.idle is not None]
    return _build_count([(trial, getattr(trial.work, field)) for trial in counts], idle)


def find_unused_services(trials: Sequence[Trial], pair: Pair) -> set[str]:
    """Find the metrics of services that no request of a pair uses, by both counts: they are noise, never decided."""
    sides = [select_counts(trials, cell.variant, cell.revision, cell.profile) for cell in (pair.base, pair.head)]
    found = set()
    for metric, work in SERVICES.items():
        counts = [count for count in (count_metric(side, work) for side in sides) if count is not None]
        if len(counts) == len(sides) and max(count.per_request for count in counts) < _UNUSED:
            found.add(metric)
    return found | ({"total_cpu_ms_per_request"} if _has_no_service(trials, pair, found) else set())


def _has_no_service(trials: Sequence[Trial], pair: Pair, unused: Collection[str]) -> bool:
    """Whether a pair's subjects used CPU under load, and no service that requests use did.

    `unused`: the metrics of services that requests do not use.
    """
    loaded = [trial for trial in trials if trial.pair == str(pair) and trial.phase in PAIRED_PHASES]
    names = {name for trial in loaded for name in trial.cpu_ms}
    idle = {metric.partition("_")[0] for metric in unused}  # `db`, `cache`
    return "application" in names and not names - {"application", "generator"} - idle


def count_statements(counts: Sequence[Trial]) -> Mapping[str, Count]:
    """Count how often each query was run, by its normalised text. A query that a count does not list was not run."""
    counts = _drop_first(counts)
    by_trial = [{statement.text: statement.calls for statement in trial.statements} for trial in counts]
    without_requests = [
        ({statement.text: statement.calls for statement in trial.idle_statements}, trial.idle_s)
        for trial in counts
        if trial.idle is not None
    ]
    found = {}
    for text in dict.fromkeys(text for calls in by_trial for text in calls):
        pairs = [(trial, calls.get(text, 0)) for trial, calls in zip(counts, by_trial, strict=True)]
        idle = [(calls.get(text, 0), idle_s) for calls, idle_s in without_requests]
        if (count := _build_count(pairs, idle)) is not None:
            found[text] = count
    return found


def count_no_calls(counts: Sequence[Trial]) -> Count:
    """Stand in for a statement that none of these counts has."""
    return Count((0.0,) * len(_drop_first(counts)), max(1, min(trial.requests for trial in counts)), exact=True)


def is_settled(counts: Sequence[Trial]) -> bool:
    """Whether the counts of a cell agree, so that it need not be counted again; of a mix, those of each request."""
    routes = dict.fromkeys(trial.route for trial in counts if trial.route)
    groups = [[trial for trial in counts if trial.route == route] for route in routes or ("",)]
    return all(map(_is_settled, groups))


def _is_settled(counts: Sequence[Trial]) -> bool:
    if len(counts) >= COUNTS or any(not trial.valid or not trial.requests for trial in counts):
        return True
    # the data of requests of a mix differ, and so does how many rows they read; both sides get the same
    names = [name for name in _FIELDS if name != "rows_per_request" or not counts[0].route]
    metrics = [count_metric(counts, name) for name in names]
    return len(counts) > 1 and all(count is not None and count.exact for count in metrics)


def warn_of_varying_counts(trials: Sequence[Trial]) -> Iterator[RunWarning]:
    """Warn of each cell whose counts differ from one another; of a mix, of each request that does."""
    mixes = {split_route(trial.profile)[0] for trial in trials if trial.route}
    own = (trial for trial in trials if trial.phase == "count" and trial.profile not in mixes)
    cells = dict.fromkeys((trial.variant, trial.revision, trial.profile) for trial in own)
    for cell in cells:
        counts = select_counts(trials, *cell)
        if len(counts) > 1 and (varying := list(_describe_variation(counts))):
            yield Code.COUNTS_VARY.warn("; ".join(varying), counts[0].cell)


def _describe_variation(counts: Sequence[Trial]) -> Iterator[str]:
    named = False
    for metric in ("queries_per_request", "cache_commands_per_request"):
        count = count_metric(counts, metric)
        if count is not None and not count.exact and (count.idle[2] or not _agree(count)):
            yield f"{METRICS[metric].title} {_describe_range(count)}"
            named = True
    widths = [(max(count.totals) - min(count.totals), text) for text, count in count_statements(counts).items()]
    width, text = max(widths, default=(0.0, ""))
    if width and named:
        yield f"mostly by `{text[:100].replace('`', chr(39))}`"


def _agree(count: Count) -> bool:
    return math.isclose(count.low, count.high, abs_tol=1e-9)


def _describe_range(count: Count) -> str:
    """Say between which numbers counts vary, with as many decimals as show that, and in how many counts."""
    counted = f"{plural(len(count.totals), 'count')} of {plural(count.requests, 'request')}"
    idle = f", less {count.idle[1]:.2g} for idle work" if count.idle[1] else ""
    if _agree(count):
        return f"is {count.per_request:.2f} in {counted}{idle}"
    decimals = max(2, math.ceil(-math.log10(count.high - count.low)))
    low, mean, high = (f"{value:.{decimals}f}" for value in (count.low, count.per_request, count.high))
    return f"varies from {low} to {high} (mean {mean} in {counted}{idle})"


def _drop_first(counts: Sequence[Trial]) -> Sequence[Trial]:
    """Drop the first of more than two counts: requests of the warm-up may still have been running during it."""
    return counts[1:] if len(counts) > 2 else counts


def _build_count(pairs: Sequence[tuple[Trial, int]], idle: Sequence[tuple[int, float]]) -> Count | None:
    """Build a Count from the work in each trial; `idle` is work without requests, and in how many seconds."""
    if not pairs or any(not trial.requests for trial, _ in pairs):
        return None
    requests = min(trial.requests for trial, _ in pairs)
    totals = tuple(total * requests / trial.requests for trial, total in pairs)
    count_s = fmean(trial.wall_s for trial, _ in pairs)
    rates = [work / seconds for work, seconds in idle if seconds > 0]
    mean = sum(work for work, _ in idle) / sum(seconds for _, seconds in idle) if rates else 0.0
    idle_work = (min(rates, default=0.0) * count_s, mean * count_s, max(rates, default=0.0) * count_s)
    exact = not idle_work[2] and len(set(totals)) == 1 and totals[0] % requests == 0
    return Count(totals, requests, exact, idle_work)
