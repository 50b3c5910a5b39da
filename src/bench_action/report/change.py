"""What a run says of base against head, in words and as a table: for readers who know no statistics."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import fmean

from bench_action.compare.evidence import FAULTS
from bench_action.compare.verdict import is_loss
from bench_action.config.gates import ALONE
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Result
from bench_action.model.wording import plural
from bench_action.report import numbers
from bench_action.report.table import Table
from bench_action.stats.interval import LEAST_BLOCKS

# what a headline begins with, where several metrics are worse
_FIRST = (
    "requests_per_second",
    "latency_p50_us",
    "cpu_ms_per_request",
    "queries_per_request",
    "cache_commands_per_request",
    "db_cpu_ms_per_request",
)
_NONE = "–"
_LONGEST_MIN = 30  # nobody waits longer for a pull request's check
_SMALLEST_GATE, _WIDEST_GATE = 0.02, 0.25
_WIDEST = 4  # an interval whose ends differ by more than this factor says nothing of a size
_MARKS = {"improved": "🟢", "unchanged": "🟢", "inconclusive": "⚪"}
_AT_VERDICT = 4  # of a row without its cell
_SIZE, _INTERVAL, DETECTABLE = "Change", "99 % interval", "Detectable change"


def compared(result: Result) -> list[Comparison]:
    """Comparisons of two revisions, the most telling metric first."""
    found = [one for one in result.comparisons if one.kind == "revision"]
    return sorted(found, key=lambda one: _FIRST.index(one.metric) if one.metric in _FIRST else len(_FIRST))


def losses(result: Result) -> list[Comparison]:
    """What certainly got worse by something that matters, and fails no gate: the largest of the first metric first."""
    found = [one for one in compared(result) if is_loss(one) and not _fails(one)]
    order = [one.metric for one in found]
    return sorted(found, key=lambda one: (order.index(one.metric), -abs(_size(one))))


def is_uncompared(c: Comparison) -> bool:
    """Whether a gated metric was neither judged nor left undecided by what its blocks showed."""
    if c.gate is None or c.method == "count":
        return False
    if c.verdict == "inconclusive":
        return c.blocks < LEAST_BLOCKS
    return c.verdict == "measured" and not _excludes_no_change(c)


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
            before, after = (numbers.plain(value) for value in (c.base_value, c.head_value))
            return f"each request of `{c.variant}` on `{c.profile}` makes {after} {_counted(c)} instead of {before}"
        case _:
            return f"{metric_of(c)} of {cell_of(c)} rose by {size}"


def because(lost: Sequence[Comparison]) -> str:
    """What was counted exactly says more than what it did to the clock: `: 21 queries a request instead of 1`."""
    first = lost[0]
    for c in lost[1:]:
        if c.method == "count" and (c.variant, c.profile) == (first.variant, first.profile):
            before, after = (numbers.plain(value) for value in (c.base_value, c.head_value))
            return f": {after} {_counted(c)} per request instead of {before}"
    return ""


def gain(c: Comparison) -> str:
    """The opposite."""
    size = f"{_percent(abs(_size(c)))} %"
    if c.metric == "requests_per_second":
        return f"`{c.variant}` is {size} faster on `{c.profile}`"
    if c.metric == "latency_p50_us":
        return f"`{c.variant}` answers {numbers.latency(abs(c.difference))} sooner on `{c.profile}`"
    if c.method == "count":
        before, after = (numbers.plain(value) for value in (c.base_value, c.head_value))
        return f"each request of `{c.variant}` on `{c.profile}` makes {after} {_counted(c)} instead of {before}"
    return f"{cell_of(c)} needs {size} less {metric_of(c)}"


def certainties(result: Result) -> tuple[str, ...]:
    """How sure each loss is: those that fail a gate, then the others."""
    return tuple(f"{_capital(loss(c))}: {confidence(c, result)}" for c in worse(result) if c.method != "count")


def worse(result: Result) -> list[Comparison]:
    """Everything that got worse by something that matters, in the order of the headline; nothing if it is invalid."""
    if result.verdict == "invalid":
        return []
    return [*(one for one in compared(result) if _fails(one)), *losses(result)]


def confidence(c: Comparison, result: Result) -> str:
    """How sure a loss is, and why it fails no gate where it fails none."""
    text = f"99 % interval {_interval(c)}, from {_blocks(c, result)}."
    if _fails(c):
        return text
    if c.gate is None:
        return f"{text} No gate looks at {METRICS[c.metric].title}."
    return f"{text} Its gate of {numbers.limit(c.gate)} only warns." if c.verdict == "regressed" else text


def causes(result: Result) -> tuple[str, ...]:
    """What changed together with a loss, cell by cell; nothing where the whole measurement is invalid."""
    return () if result.verdict == "invalid" else tuple(_causes(result, compared(result)))


def explanations(result: Result) -> tuple[str, ...]:
    """What is missing or undecided, and why; nothing where the whole measurement is invalid."""
    return () if result.verdict == "invalid" else tuple(_explanations(result))


def _explanations(result: Result) -> Iterator[str]:
    found = compared(result)
    yield from _uncompared(result, found)
    for c in found:
        if c.gate is not None and c.verdict == "inconclusive" and not is_uncompared(c):
            yield _open(c, result)
    if result.run.self_test:
        yield from _self_test(found)


def _causes(result: Result, found: Sequence[Comparison]) -> Iterator[str]:
    lost = {(one.variant, one.profile) for one in found if is_loss(one)}
    for variant, profile in sorted(lost):
        own = {one.metric: one for one in found if (one.variant, one.profile) == (variant, profile)}
        changed = [f.message for f in result.findings if f.cell == f"{variant} · {profile}" and f.code != "statement"]
        if changed:
            yield f"`{variant} · {profile}`, counted exactly: {'; '.join(changed)}."
            continue
        latency, cpu = own.get("latency_p50_us"), own.get("cpu_ms_per_request")
        if latency is not None and cpu is not None and is_loss(latency) and not cpu.relevant:
            yield f"`{variant} · {profile}` needs no more CPU for a request than before, so it waits for something."
        elif cpu is not None and is_loss(cpu):
            yield f"`{variant} · {profile}` does the same work, but the application's own code takes more CPU."


def _uncompared(result: Result, found: Sequence[Comparison]) -> Iterator[str]:
    """Why metrics were not compared, and what to do about it: the one place where both are said.

    Without cells of which nothing was compared: they have one reason for all.
    """
    cells = {one.cell for one in result.not_compared}
    alike: dict[tuple[str, str], list[Comparison]] = {}
    for c in found:
        if is_uncompared(c) and f"{c.variant} · {c.profile}" not in cells:
            alike.setdefault((cell_of(c), c.reason or "no block of the pair counts"), []).append(c)
    for (cell, why), own in alike.items():
        metrics = " and ".join(metric_of(c) for c in own)
        verb = "was" if len(own) == 1 else "were"
        yield f"{_capital(metrics)} of {cell} {verb} not compared: {why}.{_fault_advice(own[0], result)}"


def _open(c: Comparison, result: Result) -> str:
    why = f" ({c.reason})" if c.reason else ""
    size = f": the change is {_signed(_size(c))}, 99 % interval {_interval(c)}" if has_meaning(c) else ""
    return f"Not sure about {metric_of(c)} of {cell_of(c)}{why}{size}. {_more(c, result)}{_fault_advice(c, result)}"


def _fault_advice(c: Comparison, result: Result) -> str:
    """What to do about duets that cannot compare rates, where that is the reason."""
    if c.metric != "requests_per_second" or not c.reason:
        return ""
    cell = f"{c.variant} · {c.profile}"
    return next((f" {one.advice}" for one in result.warnings if one.cell == cell and one.code in FAULTS), "")


def _more(c: Comparison, result: Result) -> str:
    """What would decide it: more time where that is possible, else a gate that this much time can decide."""
    if c.blocks_wanted is not None and c.blocks_wanted >= 10_000:
        return "It lies at the gate itself, so no amount of time decides it: choose another gate."
    block_s = _block_s(result, c)
    if c.blocks_wanted is not None and block_s and c.metric not in ALONE:
        pairs = len({(one.variant, one.profile) for one in compared(result)})
        more_s = (c.blocks_wanted - c.blocks) * block_s * pairs
        minutes = math.ceil((result.timings.get("measure", 0.0) + more_s) / 60)
        if minutes <= _LONGEST_MIN:
            return f"`--max-minutes {minutes}` would decide it."
    if c.smallest_detectable is None or c.smallest_detectable > _WIDEST_GATE:
        return "More blocks are needed, or a quieter machine."
    wide = math.ceil(100 * max(_SMALLEST_GATE, c.smallest_detectable, 1.5 * (c.gate or 0.0)))
    return f"A gate of {wide} % can be decided in the time of this run."


def _self_test(found: Sequence[Comparison]) -> Iterator[str]:
    false = [one for one in found if one.verdict in {"regressed", "improved"}]
    judged = sum(one.gate is not None and not is_uncompared(one) for one in found)
    yield (
        f"The same code was measured as base and as head: {plural(len(false), 'false alarm')} in "
        f"{plural(judged, 'comparison')}."
    )
    for c in found:
        if c.method in {"duet", "interleaved"} and c.gate is not None and _shown(c.smallest_detectable):
            seen = numbers.percent(c.smallest_detectable)
            yield f"On this machine, 95 of 100 such runs detect a loss of {seen} in {metric_of(c)} of {cell_of(c)}."


def gates(result: Result) -> tuple[str, ...]:
    """How sharp each gate is on throughput and CPU: an estimate has an error, so no gate is a cliff."""
    found = [c for c in compared(result) if c.fires and c.gate and c.metric not in ALONE]
    return tuple(
        f"The gate of {numbers.limit(c.gate or 0.0)} on {metric_of(c)} of {cell_of(c)} fires in "
        f"{_listed(c.fires or ())} of 100 such runs for true losses of 0.8, 0.9 and 1.0 of it."
        for c in found
    )


def _listed(shares: Sequence[float]) -> str:
    return ", ".join(f"{share * 100:.0f}" for share in shares)


def table(result: Result) -> Table:
    """Every compared metric of every cell that matters: base, head, change with interval, verdict."""
    found = [one for one in compared(result) if one.gate is not None or one.relevant]
    return rows_of(found, valid=result.verdict != "invalid")


def rows_of(found: Sequence[Comparison], *, valid: bool = True) -> Table:
    """A row for each comparison, cell by cell, in the order given; a cell is named once.

    `valid`: whether the measurement is; if not, no figure of it supports a verdict.
    """
    rows: list[tuple[str, ...]] = []
    last = ""
    for one in sorted(found, key=lambda one: (one.variant, one.profile)):
        cell = f"{one.variant} · {one.profile}"
        row = _row(one)
        rows.append(
            (
                "" if cell == last else cell,
                *row[:_AT_VERDICT],
                row[_AT_VERDICT] if valid else "⚪ invalid",
                *row[_AT_VERDICT + 1 :],
            )
        )
        last = cell
    headings = ("Cell", "Metric", "Base", "Head", _SIZE, "Verdict", _INTERVAL, DETECTABLE)
    return Table(headings, (False, False, True, True, True, False, False, True), tuple(rows))


def _row(c: Comparison) -> tuple[str, ...]:
    metric = METRICS[c.metric]
    values = [numbers.metric_value(value, metric.unit) for value in (c.base_value, c.head_value)]
    if c.method == "count":
        moved = _signed(c.difference, plain=True) if c.significant else "varies" if c.difference else "same"
        exact = ("exact", "any") if c.confidence == 1 else (_interval(c), numbers.percent(c.smallest_detectable))
        return (metric_of(c), *values, moved, _verdict(c), *exact)
    if is_uncompared(c) or not has_meaning(c):
        values = values if c.base_value else [_NONE, _NONE]
        return (metric_of(c), *values, _NONE, _verdict(c), _NONE, _NONE)
    detectable = numbers.percent(c.smallest_detectable) if _shown(c.smallest_detectable) else _NONE
    return (metric_of(c), *values, _signed(_size(c)), _verdict(c), _interval(c), detectable)


def _verdict(c: Comparison) -> str:
    """What a row ends with."""
    gate = numbers.limit(c.gate or 0.0)
    if is_uncompared(c):
        return "⚪ not compared"
    if c.gate is None:
        return "🟡 no gate" if is_loss(c) else "no gate"
    if c.verdict == "measured":
        return f"🟡 within the gate ({gate})" if is_loss(c) else "🟢 too small to matter"
    if c.verdict == "regressed":
        return f"🔴 regressed (gate {gate})" if c.level == "fail" else f"🟡 worse (warns at {gate})"
    return f"{_MARKS[c.verdict]} {c.verdict}" + (f" (gate {gate})" if c.verdict == "inconclusive" else "")


def _interval(c: Comparison) -> str:
    """Of the change: `+0.2 to +1.4 %`."""
    if c.ci_low is None or c.ci_high is None or not has_meaning(c):
        return _NONE
    return f"{_signed(c.ci_low - 1).removesuffix(' %')} to {_signed(c.ci_high - 1)}"


def has_meaning(c: Comparison) -> bool:
    """Whether there are blocks enough, and blocks that agree enough, for a size to say something."""
    if c.method == "count":
        return True
    wide = c.ci_low is not None and c.ci_high is not None and c.ci_high > _WIDEST * c.ci_low
    return c.blocks >= LEAST_BLOCKS and not wide


def _shown(detectable: float | None) -> bool:
    return detectable is not None and detectable <= 1


def _blocks(c: Comparison, result: Result) -> str:
    block_s = _block_s(result, c)
    time = f" in {numbers.duration(c.blocks * block_s)}" if block_s else ""
    return f"{plural(c.blocks, 'paired block')}{time}"


def _block_s(result: Result, c: Comparison) -> float | None:
    """What a block of this comparison took on average, from one start to the next."""
    phase = "latency" if c.metric in ALONE else c.method
    own = [t for t in result.trials if t.phase == phase and (t.variant, t.profile) == (c.variant, c.profile)]
    starts = sorted({t.block: datetime.fromisoformat(t.started_at) for t in own}.items())
    gaps = [(later[1] - earlier[1]).total_seconds() for earlier, later in pairwise(starts)]
    return fmean(gaps) if gaps else None


def _fails(c: Comparison) -> bool:
    return c.verdict == "regressed" and c.level == "fail"


def _excludes_no_change(c: Comparison) -> bool:
    return c.ci_low is not None and c.ci_high is not None and not c.ci_low <= 1 <= c.ci_high


def _size(c: Comparison) -> float:
    return (c.ratio if c.ratio is not None else 1.0) - 1


def _signed(fraction: float, *, plain: bool = False) -> str:
    """`+6.1 %`, `−0.4 %`; `plain`: `+20`."""
    sign = "+" if fraction > 0 else "−" if fraction < 0 else "±"
    return f"{sign}{numbers.plain(abs(fraction))}" if plain else f"{sign}{_percent(abs(fraction))} %"


def _percent(fraction: float) -> str:
    value = fraction * 100
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def metric_of(c: Comparison) -> str:
    """What a metric is called in a sentence; a latency with one connection is another metric than one under load."""
    title = METRICS[c.metric].title
    return f"{title}, one connection" if c.metric in ALONE and c.metric.startswith("latency") else title


def cell_of(c: Comparison) -> str:
    """A cell in a sentence: quoted."""
    return f"`{c.variant} · {c.profile}`"


def _counted(c: Comparison) -> str:
    return METRICS[c.metric].title.removesuffix("/request")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
