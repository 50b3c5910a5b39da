"""Say what changed between base and head, and how sure that is, for readers who know no statistics."""

from collections.abc import Iterator, Mapping, Sequence

from bench_action.compare.verdict import is_loss
from bench_action.config.gates import ALONE, AT_RATE
from bench_action.model.metric import METRICS
from bench_action.model.result import INITIAL_DATA_OF, Comparison, Finding, Result, name_route
from bench_action.model.wording import format_change, percent, plural
from bench_action.report import numbers
from bench_action.report.change import fails_gate, has_meaning, list_comparisons, list_losses, relative_change
from bench_action.report.pace import Pace, measure_pace

_VERBS = {"rows_per_request": "reads"}  # what a request does to what is counted; the others it makes
_ONE = {"queries": "query", "rows": "row", "cache commands": "cache command"}
_PART_NAMES = {"db": "the database", "cache": "the cache"}
_COUNTED = frozenset({"work-changed", "n-plus-one"})  # codes of findings that are counted; others were seen
_CPU = {
    "cpu_ms_per_request": ("needs", "CPU"),
    "total_cpu_ms_per_request": ("and its services need", "CPU"),
    "db_cpu_ms_per_request": ("needs", "database CPU"),
}


def describe_loss(c: Comparison) -> str:
    """Begin a sentence on a loss: `aiohttp` is 6.1 % slower on `list-items`, without a size if none is known."""
    return _describe_sized_loss(c) if has_meaning(c) else f"{name_metric(c)} of `{c.cell}` got worse"


def _describe_sized_loss(c: Comparison) -> str:
    size = percent(abs(relative_change(c)))
    match c.metric:
        case "requests_per_second":
            return f"`{c.variant}` is {size} slower on `{c.profile}`"
        case "latency_p50_us" | "latency_p50_at_rate_us":
            at = " at a fixed rate" if c.metric in AT_RATE else ""
            return f"`{c.variant}` answers {numbers.latency(abs(c.difference))} later on `{c.profile}`{at}"
        case "slo_rate":
            return f"`{c.variant}` holds its objective {_describe_highest(c)} on `{c.profile}`"
        case metric if metric in _CPU:
            return _describe_cpu(c, f"{size} more")
        case "queries_per_request" | "rows_per_request" | "cache_commands_per_request":
            return _describe_count(c)
        case _:
            return f"{name_metric(c)} of `{c.cell}` rose by {size}"


def describe_gain(c: Comparison) -> str:
    """Begin a sentence on a gain: `aiohttp` is 6.1 % faster on `list-items`, without a size if none is known."""
    return _describe_sized_gain(c) if has_meaning(c) else f"{name_metric(c)} of `{c.cell}` got better"


def _describe_sized_gain(c: Comparison) -> str:
    size = percent(abs(relative_change(c)))
    if c.metric == "requests_per_second":
        return f"`{c.variant}` is {size} faster on `{c.profile}`"
    if c.metric in {"latency_p50_us", "latency_p50_at_rate_us"}:
        at = " at a fixed rate" if c.metric in AT_RATE else ""
        return f"`{c.variant}` answers {numbers.latency(abs(c.difference))} sooner on `{c.profile}`{at}"
    if c.metric == "slo_rate":
        return f"`{c.variant}` holds its objective {_describe_highest(c)} on `{c.profile}`"
    if c.method == "count":
        return _describe_count(c)
    if c.metric in _CPU:
        return _describe_cpu(c, f"{size} less")
    return f"{name_metric(c)} of `{c.cell}` fell by {size}"


def _describe_cpu(c: Comparison, size: str) -> str:
    subject, what = _CPU[c.metric]
    return f"`{c.variant}` {subject} {size} {what} for each request of `{c.profile}`"


def _describe_highest(c: Comparison) -> str:
    return f"up to {numbers.count(c.head_value)} instead of {numbers.count(c.base_value)} requests/s"


def _describe_count(c: Comparison) -> str:
    before, after = numbers.plain(c.base_value), numbers.plain(c.head_value)
    verb = _VERBS.get(c.metric, "makes")
    return f"each request of `{c.variant}` on `{c.profile}` {verb} {after} {_name_work(c, after)} instead of {before}"


def add_reason(losses: Sequence[Comparison]) -> str:
    """Continue a headline with the exact count behind its loss, if any: `: 21 queries per request instead of 1`.

    Of a mix, the count of one of its requests.
    """
    first = losses[0]
    counts = [c for c in losses[1:] if c.method == "count" and first.cell in {c.cell, c.whole_cell}]
    if not counts:
        return ""
    c = counts[0]
    before, after = numbers.plain(c.base_value), numbers.plain(c.head_value)
    work = f"{after} {_name_work(c, after)}"
    if first.method == "count":
        return f", and {work} instead of {before}"
    if c.cell != first.cell:
        return f": its request `{c.route}` makes {work} instead of {before}"
    return f": {work} per request instead of {before}"


def list_causes(result: Result) -> tuple[str, ...]:
    """List what changed together with a loss, cell by cell. Empty for an invalid measurement."""
    return () if result.verdict == "invalid" else tuple(_causes(result, list_comparisons(result)))


def _causes(result: Result, comparisons: Sequence[Comparison]) -> Iterator[str]:
    findings: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if finding.code != "statement":
            findings.setdefault(finding.cell, []).append(finding)
    cells: dict[str, dict[str, Comparison]] = {}
    for c in comparisons:
        cells.setdefault(c.cell, {})[c.metric] = c
    lost = sorted({c.cell for c in comparisons if is_loss(c)})
    for cell in lost:
        if any(other.startswith(name_route(cell, "")) and other in findings for other in lost):
            continue  # what is known of one request of a mix explains the whole
        if changed := findings.get(cell):
            yield _describe_findings(cell, changed, cells[cell])
            continue
        yield from _explain_loss(result, cell, cells[cell])


def _describe_findings(cell: str, findings: Sequence[Finding], metrics: Mapping[str, Comparison]) -> str:
    """Describe what was found of a cell, and whether all of that was counted, with counts that agree."""
    exact = all(finding.code in _COUNTED for finding in findings) and all(
        c.exact for c in metrics.values() if c.method == "count"
    )
    messages = "; ".join(finding.message for finding in findings)
    return f"`{cell}`{', counted exactly' if exact else ''}: {messages}."


def _explain_loss(result: Result, cell: str, metrics: Mapping[str, Comparison]) -> Iterator[str]:
    """Explain a loss of a cell in which nothing that was counted has changed."""
    if changes_data(result) and _has_one_image(result, next(iter(metrics.values())).variant):
        yield f"`{cell}` is the same image as in base, and begins with other data: a lost index, or more rows?"
        return
    latency, cpu = metrics.get("latency_p50_us"), metrics.get("cpu_ms_per_request")
    waits = any(is_loss(c) for metric, c in metrics.items() if metric in AT_RATE and metric.startswith("latency"))
    at_rate = metrics.get("cpu_ms_per_request_at_rate")
    calm = at_rate is not None and at_rate.verdict == "unchanged"
    if waits and latency is None and calm:
        yield f"`{cell}` needs no more CPU at a fixed rate than before, so it spends the time waiting."
    elif waits and latency is not None and latency.verdict == "unchanged" and (calm or _is_unchanged(cpu)):
        yield f"`{cell}` takes no longer with one connection, so requests wait for each other: a pool, a lock, a queue?"
    elif latency is not None and is_loss(latency) and _is_calm(cpu):
        yield f"`{cell}` needs no more CPU per request than before, so it spends the time waiting."
    elif cpu is not None and is_loss(cpu):
        same = " does the same work, but" if _is_counted_same(metrics) else ":"
        yield f"`{cell}`{same} the application's own code takes more CPU."
    elif (database := metrics.get("db_cpu_ms_per_request")) is not None and is_loss(database):
        same = "makes the same queries, but the" if _is_counted_same(metrics) else "makes queries for which the"
        yield f"`{cell}` {same} database needs more CPU: a lost index, or a plan?"
    elif (total := metrics.get("total_cpu_ms_per_request")) is not None and is_loss(total):
        where = "needs no more CPU itself, but its services do" if _is_calm(cpu) else "needs more CPU in its services"
        yield f"`{cell}` {where}{_name_costlier_part(result, cell)}."


def changes_data(result: Result) -> bool:
    """Whether head begins with other data than base."""
    return any(change.what == "seed" or change.what.startswith(INITIAL_DATA_OF) for change in result.rule_changes)


def _has_one_image(result: Result, variant: str) -> bool:
    """Whether base and head run the same image of a variant, so that its code is not the cause."""
    images = [subject.image_id for subject in result.subjects if subject.variant == variant]
    return len(images) > 1 and len({*images}) == 1


def _name_costlier_part(result: Result, cell: str) -> str:
    """Name the service or worker whose CPU/request grew most, with both figures; empty if none is known."""
    costs: dict[str, dict[str, float]] = {}
    for side in ("base", "head"):
        own = [t for t in result.trials if t.phase == "duet" and t.side == side and t.valid and t.pair == cell]
        requests = sum(trial.requests for trial in own)
        for part in dict.fromkeys(name for trial in own for name in trial.cpu_ms) if requests else ():
            costs.setdefault(part, {})[side] = sum(trial.cpu_ms.get(part, 0.0) for trial in own) / requests
    grown = {
        part: both["head"] - both.get("base", 0.0)
        for part, both in costs.items()
        if "head" in both and part not in {"application", "generator"}
    }
    if not grown or max(grown.values()) <= 0:
        return ""
    part = max(grown, key=lambda each: grown[each])
    before, after = (numbers.metric_value(costs[part].get(side, 0.0), "ms") for side in ("base", "head"))
    return f": {_PART_NAMES.get(part, part)}, {before} → {after} per request"


def _is_unchanged(c: Comparison | None) -> bool:
    return c is not None and c.verdict == "unchanged"


def _is_calm(c: Comparison | None) -> bool:
    """Whether a loss of a gated metric that would matter is ruled out."""
    return c is not None and (c.verdict == "unchanged" or bool(c.reason and c.significant and not is_loss(c)))


def _is_counted_same(metrics: Mapping[str, Comparison]) -> bool:
    """Whether the queries of a cell were counted, and no count of its work has changed."""
    return "queries_per_request" in metrics and not any(c.significant for c in metrics.values() if c.method == "count")


def list_certainties(result: Result) -> tuple[str, ...]:
    """Say for each loss how sure it is: first the losses that fail a gate, then the others."""
    losses = [c for c in list_losses(result) if c.method != "count"]
    pace = measure_pace(result)
    return tuple(f"{capitalise(describe_loss(c))}: {describe_confidence(c, pace)}" for c in losses)


def describe_confidence(c: Comparison, pace: Pace) -> str:
    """Say how sure a loss is, and why it fails no gate if it fails none."""
    seconds = pace.find_block_s(c)
    time = f" in {numbers.duration(c.blocks * seconds)}" if seconds else ""
    blocks = f"{plural(c.blocks, 'paired block')}{time}"
    text = f"99 % interval {format_interval(c)}, from {blocks}."
    if not has_meaning(c):
        text = f"{blocks} disagree too much to give a size."
    if fails_gate(c):
        return text
    if c.gate is None:
        return f"{text} {capitalise(METRICS[c.metric].title)} has no gate."
    return f"{text} Its gate of {format_gate(c)} only warns." if c.verdict == "regressed" else text


def format_interval(c: Comparison) -> str:
    """Format the interval of a change: `+0.2 to +1.4 %`; counts that did not vary have one without a width."""
    if c.ci_low is None or c.ci_high is None or not has_meaning(c):
        return numbers.NONE
    if c.ci_low == c.ci_high:
        return format_change(c.ci_low - 1)
    return f"{format_change(c.ci_low - 1).removesuffix(' %')} to {format_change(c.ci_high - 1)}"


def format_gate(c: Comparison) -> str:
    """Format the limits of a gate: `10 %`, or `10 % and 200 µs` if a change must reach both."""
    size = percent(c.gate or 0.0, exact=True)
    return f"{size} and {numbers.metric_value(c.gate_absolute, METRICS[c.metric].unit)}" if c.gate_absolute else size


def name_metric(c: Comparison) -> str:
    """Name a metric in a sentence; a latency with one connection differs from the latency under load."""
    title = METRICS[c.metric].title
    return f"{title} with one connection" if c.metric in ALONE and c.metric.startswith("latency") else title


def _name_work(c: Comparison, number: str) -> str:
    """Name what was counted, after its number."""
    name = METRICS[c.metric].title.removesuffix("/request")
    return _ONE[name] if number == "1" else name


def capitalise(text: str) -> str:
    """Return text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]
