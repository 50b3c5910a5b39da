"""What a run says of base against head, in words and as a table: for readers who know no statistics."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import fmean

from bench_action.config.gates import ALONE
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Result
from bench_action.model.wording import plural
from bench_action.report import numbers
from bench_action.report.table import Table

# what a headline begins with, where several metrics are worse
_FIRST = (
    "requests_per_second", "latency_p50_us", "cpu_ms_per_request", "queries_per_request", "cache_commands_per_request",
    "db_cpu_ms_per_request",
)  # fmt: skip
_NONE = "–"
_MARKS = {
    "regressed": "🔴",
    "improved": "🟢",
    "unchanged": "🟢",
    "inconclusive": "⚪",
    "invalid": "⚪",
    "measured": "⚪",
}


def compared(result: Result) -> list[Comparison]:
    """Comparisons of two revisions, the most telling metric first."""
    found = [one for one in result.comparisons if one.kind == "revision"]
    return sorted(found, key=lambda one: _FIRST.index(one.metric) if one.metric in _FIRST else len(_FIRST))


def mark(verdict: str) -> str:
    """A sign for a verdict."""
    return _MARKS[verdict]


def headline(result: Result) -> str:
    """The one line that somebody reads who reads no more. For a run that compared revisions and can be trusted."""
    found = compared(result)
    if worse := [one for one in found if one.verdict == "regressed" and one.level == "fail"]:
        more = len({(one.variant, one.profile) for one in worse}) - 1
        return loss(worse[0]) + _because(worse) + (f", and {plural(more, 'other cell')} lost too" if more else "")
    if failing := [finding for finding in result.findings if finding.fails]:
        return f"{failing[0].cell}: {failing[0].message}"
    if result.run.self_test:
        return f"the instrument is sound here: {_seen(found)}"
    open_ones = [one for one in found if one.verdict == "inconclusive" and one.level == "fail"]
    if open_ones:
        return f"not sure yet about {_metric(open_ones[0])} of {_cell(open_ones[0])}"
    if better := [one for one in found if one.verdict == "improved" and one.level == "fail"]:
        return gain(better[0])
    return f"no change found, and {_seen(found)}"


def loss(c: Comparison) -> str:
    """A loss as a sentence's beginning: `aiohttp is 6.1 % slower on list-items`."""
    size = f"{_percent(abs(_size(c)))} %"
    match c.metric:
        case "requests_per_second":
            return f"`{c.variant}` is {size} slower on `{c.profile}`"
        case "latency_p50_us":
            return f"`{c.variant}` answers {numbers.latency(abs(c.difference))} later on `{c.profile}`"
        case "cpu_ms_per_request":
            return f"`{c.variant}` needs {size} more CPU for each request of `{c.profile}`"
        case "queries_per_request" | "rows_per_request" | "cache_commands_per_request":
            noun = METRICS[c.metric].title.removesuffix("/request")
            before, after = (numbers.plain(value) for value in (c.base_value, c.head_value))
            return f"each request of `{c.variant}` on `{c.profile}` makes {after} {noun} instead of {before}"
        case _:
            return f"`{c.variant}` on `{c.profile}`: {_metric(c)} rose by {size}"


def _because(worse: Sequence[Comparison]) -> str:
    """What was counted exactly says more than what it did to the clock: `: 21 queries instead of 1`."""
    first = worse[0]
    for c in worse[1:]:
        if c.method == "count" and (c.variant, c.profile) == (first.variant, first.profile):
            noun = METRICS[c.metric].title.removesuffix("/request")
            return f": {numbers.plain(c.head_value)} {noun} a request instead of {numbers.plain(c.base_value)}"
    return ""


def gain(c: Comparison) -> str:
    """The opposite."""
    size = f"{_percent(abs(_size(c)))} %"
    if c.metric == "requests_per_second":
        return f"`{c.variant}` is {size} faster on `{c.profile}`"
    return f"`{c.variant}` on `{c.profile}`: {size} less {_metric(c)}"


def sentences(result: Result) -> tuple[str, ...]:
    """How sure, why, and what is missing. For a run that compared revisions."""
    return tuple(_sentences(result))


def _sentences(result: Result) -> Iterator[str]:
    found = compared(result)
    for c in (one for one in found if one.verdict == "regressed" and one.level == "fail"):
        if c.method != "count":
            yield f"Sure: {loss(c)}; the 99 % interval is {_interval(c)}, from {_blocks(c, result)}."
    yield from _reasons(result, found)
    for c in (one for one in found if one.verdict == "inconclusive" and one.level == "fail"):
        yield _open(c, result)
    for c in (one for one in found if one.verdict == "regressed" and one.level == "warn"):
        yield f"Warning only: {loss(c)} ({_interval(c)})."
    if result.run.self_test:
        yield from _self_test(found)


def _reasons(result: Result, found: Sequence[Comparison]) -> Iterator[str]:
    """What changed together with a loss."""
    lost = {(one.variant, one.profile) for one in found if one.verdict == "regressed"}
    for variant, profile in sorted(lost):
        own = {one.metric: one for one in found if (one.variant, one.profile) == (variant, profile)}
        changed = [f.message for f in result.findings if f.cell == f"{variant} · {profile}" and f.code != "statement"]
        if changed:
            yield f"`{variant}` on `{profile}`, counted exactly: {'; '.join(changed)}."
            continue
        latency, cpu = own.get("latency_p50_us"), own.get("cpu_ms_per_request")
        if latency is not None and cpu is not None and latency.verdict == "regressed" and not cpu.relevant:
            yield f"`{variant}` on `{profile}`: a request costs no more CPU than before, so it waits for something."
        elif cpu is not None and cpu.verdict == "regressed":
            yield f"`{variant}` on `{profile}`: work is the same, but the application's own code takes more CPU."


def _open(c: Comparison, result: Result) -> str:
    text = f"Not sure: {_metric(c)} of {_cell(c)} changed by {_interval(c)}"
    block_s = _block_s(result, c)
    if c.blocks_wanted is None or block_s is None:
        return f"{text}; a longer run may tell."
    if c.blocks_wanted >= 10_000:
        return f"{text}; it lies at the gate itself, so no time will decide it: choose another gate."
    more_s = (c.blocks_wanted - c.blocks) * block_s
    return f"{text}; about {numbers.duration(more_s)} more would decide (--max-minutes, or a preset with more blocks)."


def _self_test(found: Sequence[Comparison]) -> Iterator[str]:
    false = [one for one in found if one.verdict in {"regressed", "improved"}]
    told = (
        f"{plural(len(false), 'false alarm')} among {plural(sum(one.gate is not None for one in found), 'comparison')}"
    )
    yield f"The same code was measured twice: {told}."
    for c in found:
        if c.method in {"duet", "interleaved"} and c.gate is not None and c.smallest_detectable is not None:
            seen = numbers.percent(c.smallest_detectable)
            yield f"On this machine, {_metric(c)} of {_cell(c)}: a loss of {seen} is found in 95 of 100 such runs."


def gates(result: Result) -> tuple[str, ...]:
    """How sharp each gate is on throughput and CPU: an estimate has an error, so no gate is a cliff."""
    found = [c for c in compared(result) if c.fires and c.gate and c.metric not in ALONE]
    return tuple(
        f"The gate of {numbers.percent(c.gate)} on {_metric(c)} of {_cell(c)} fires in {_listed(c.fires or ())} of 100 "
        "such runs for true losses of 0.8, 0.9 and 1.0 of it."
        for c in found
    )


def _listed(shares: Sequence[float]) -> str:
    return ", ".join(f"{share * 100:.0f}" for share in shares)


def table(result: Result) -> Table:
    """Every compared metric of every cell that matters: base, head, change with interval, verdict."""
    return rows_of([one for one in compared(result) if one.gate is not None or one.relevant])


def rows_of(found: Sequence[Comparison]) -> Table:
    """A row for each comparison, cell by cell, in the order given; a cell is named once."""
    rows: list[tuple[str, ...]] = []
    last = ""
    for one in sorted(found, key=lambda one: (one.variant, one.profile)):
        rows.append(("" if _cell(one) == last else _cell(one), *_row(one)))
        last = _cell(one)
    headings = ("Cell", "Metric", "Base", "Head", "Change", "Verdict", "99 % interval", "Would have seen")
    return Table(headings, (False, False, True, True, True, False, False, True), tuple(rows))


def _row(c: Comparison) -> tuple[str, ...]:
    metric = METRICS[c.metric]
    values = (numbers.metric_value(value, metric.unit) for value in (c.base_value, c.head_value))
    exact = c.method == "count"
    change = _signed(c.difference, plain=True) if exact and c.difference else _signed(_size(c))
    gate = (
        ""
        if c.gate is None
        else f" (gate {numbers.percent(c.gate)})"
        if c.verdict in {"regressed", "inconclusive"}
        else ""
    )
    verdict = "not gated" if c.gate is None else f"{mark(c.verdict)} {c.verdict}{gate}"
    interval, seen = _interval(c), c.smallest_detectable
    if c.verdict == "measured" and c.gate is not None:
        verdict, interval, seen = "not compared", _NONE, None  # a warning says why
    return (
        _metric(c), *values, "same" if exact and not c.difference else change, verdict,
        "exact" if exact else interval, "any" if exact else numbers.percent(seen),
    )  # fmt: skip


def _seen(found: Sequence[Comparison]) -> str:
    """`1.6 % would have been seen`: the least sharp of the throughputs, or of CPU/request."""
    for metric in ("requests_per_second", "cpu_ms_per_request"):
        sizes = [c.smallest_detectable for c in found if c.metric == metric and c.smallest_detectable is not None]
        if sizes:
            return f"{numbers.percent(max(sizes))} would have been seen"
    return "work per request is the same"


def _interval(c: Comparison) -> str:
    """Of the change: `+0.2 % to +1.4 %`."""
    if c.ci_low is None or c.ci_high is None:
        return _NONE
    return f"{_signed(c.ci_low - 1)} to {_signed(c.ci_high - 1)}"


def _blocks(c: Comparison, result: Result) -> str:
    block_s = _block_s(result, c)
    time = f" in {numbers.duration(c.blocks * block_s)}" if block_s is not None else ""
    return f"{plural(c.blocks, 'paired block')}{time}"


def _block_s(result: Result, c: Comparison) -> float | None:
    """What a block of this comparison took on average, from one start to the next."""
    phase = "latency" if c.method == "interleaved" and c.metric != "requests_per_second" else c.method
    own = [t for t in result.trials if t.phase == phase and (t.variant, t.profile) == (c.variant, c.profile)]
    starts = sorted({t.block: datetime.fromisoformat(t.started_at) for t in own}.items())
    gaps = [(later[1] - earlier[1]).total_seconds() for earlier, later in pairwise(starts)]
    return fmean(gaps) if gaps else None


def _size(c: Comparison) -> float:
    return (c.ratio if c.ratio is not None else 1.0) - 1


def _signed(fraction: float, *, plain: bool = False) -> str:
    """`+6.1 %`, `−0.4 %`; `plain`: `+20`."""
    sign = "+" if fraction > 0 else "−" if fraction < 0 else "±"
    return f"{sign}{numbers.plain(abs(fraction))}" if plain else f"{sign}{_percent(abs(fraction))} %"


def _percent(fraction: float) -> str:
    value = fraction * 100
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def _metric(c: Comparison) -> str:
    title = METRICS[c.metric].title
    return f"{title}, one connection" if c.method == "interleaved" and c.metric in ALONE else title


def _cell(c: Comparison) -> str:
    return f"{c.variant} · {c.profile}"
