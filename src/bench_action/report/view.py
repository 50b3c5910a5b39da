"""The view model: what every format shows, already in words, from a Result. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Result, Summary, Trial
from bench_action.model.warning import Warned
from bench_action.report import numbers

_WORK = (
    "queries_per_request", "rows_per_request", "cache_commands_per_request", "cpu_ms_per_request",
    "db_cpu_ms_per_request", "cache_cpu_ms_per_request", "db_connections_peak", "memory_peak_mib", "startup_s",
)  # fmt: skip

_METHOD = (
    "The block is the sample: intervals are Student's t over blocks, never over requests.",
    "Requests, Timeouts, Req/sec and Errors are averages over the runs of a cell.",
    "Timeouts are late replies, which are among Requests; Errors are failed reads and writes, and replies above 399.",
    "Req/sec counts successful replies only. p50 and p99 are medians over the runs.",
    "Spread is the fastest run minus the slowest, as a share of the median.",
    "Latencies are closed-loop and corrected by wrk for coordinated omission; replies after the timeout are missing.",
    "This compares variants with one another; it is no test for a small change of one of them.",
)


@dataclass(frozen=True, slots=True)
class Table:
    """Headings, whether each column holds numbers (set to the right), and rows."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: requests/s with its interval."""

    label: str
    value: float
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """The value, as people read it."""
        return numbers.count(self.value)


@dataclass(frozen=True, slots=True)
class Chart:
    """Requests/s of all variants with one profile."""

    profile: str
    title: str
    bars: tuple[Bar, ...]

    @property
    def file_name(self) -> str:
        """Where its picture lies, beside the report."""
        return f"requests-per-second-{self.profile}.svg"


@dataclass(frozen=True, slots=True)
class Concern:
    """All warnings of one code, with the advice that they share."""

    grave: bool
    warnings: tuple[Warned, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a report shows, in its order."""

    trusted: bool
    headline: str
    statements: tuple[str, ...]
    concerns: tuple[Concern, ...]
    results: Table
    charts: tuple[Chart, ...]
    work: Table
    comparisons: Table
    trials: Table
    method: tuple[str, ...]
    environment: Table
    command: str


def make_view(result: Result) -> View:
    """Everything in words."""
    statements = tuple(_statement(c) for c in result.comparisons if c.metric == "requests_per_second")
    return View(
        trusted=result.verdict != "invalid",
        headline=_headline(result),
        statements=statements,
        concerns=_concerns(result.warnings),
        results=_results(result),
        charts=tuple(_chart(result, profile.name) for profile in result.profiles),
        work=_work(result.summaries),
        comparisons=_comparisons(result.comparisons),
        trials=_trials(result.trials),
        method=_method(result),
        environment=_environment(result),
        command=result.run.command,
    )


def _concerns(warnings: Sequence[Warned]) -> tuple[Concern, ...]:
    """Grave ones first, then in the order in which they were found."""
    codes = sorted(dict.fromkeys(warned.code for warned in warnings), key=lambda code: not code.grave)
    return tuple(Concern(code.grave, tuple(w for w in warnings if w.code is code), code.advice) for code in codes)


def _headline(result: Result) -> str:
    if result.verdict == "invalid":
        causes = [warned.message for warned in result.warnings if warned.code.invalidates]
        return "this measurement cannot be trusted" + (f": {causes[0]}" if causes else "")
    if failed := [one.variant for one in result.subjects if one.failure]:
        return f"{', '.join(failed)} does not do the same work and was not measured"
    if ahead := [_ahead(c) for c in result.comparisons if c.metric == "requests_per_second"]:
        return "; ".join(dict.fromkeys(ahead[:2]))
    return ", ".join(f"{s.variant} {_speed(s)} requests/s" for s in result.summaries)


def _ahead(c: Comparison) -> str:
    """Which of a pair is faster, and how many times."""
    ratio = c.ratio or 1.0
    ahead, behind, times = (c.head, c.base, ratio) if ratio >= 1 else (c.base, c.head, 1 / ratio)
    return f"on {c.profile}, {ahead} serves {numbers.factor(times)} × the requests/s of {behind}"


def _statement(c: Comparison) -> str:
    """One sentence on a pair: by how much, how sure."""
    ahead = _ahead(c)
    if c.ci_low is None or c.ci_high is None:
        return f"{ahead[0].upper()}{ahead[1:]} (one block, so there is no interval)."
    low, high = (c.ci_low, c.ci_high) if (c.ratio or 1.0) >= 1 else (1 / c.ci_high, 1 / c.ci_low)
    bounds = f"{numbers.factor(low)} to {numbers.factor(high)}"
    sure = "" if c.significant else "; it includes no difference"
    interval = f"the {numbers.percent(c.confidence)} interval is {bounds}{sure}"
    return f"{ahead[0].upper()}{ahead[1:]}: {interval}, from {c.blocks} blocks."


def _results(result: Result) -> Table:
    """The article's table (Connections, Library, Requests, Timeouts, Req/sec), extended."""
    connections = {profile.name: profile.connections for profile in result.profiles}
    against = {(c.profile, c.head): c for c in result.comparisons if c.metric == "requests_per_second"}
    rows = []
    for s in result.summaries:
        found = against.get((s.profile, s.variant))
        rows.append(
            (
                str(connections[s.profile]), s.variant, numbers.count(s.requests), _per_run(s, s.errors.timeout),
                _speed(s), _per_run(s, s.errors.total - s.errors.timeout), _latency(s, "latency_p50_us"),
                _latency(s, "latency_p99_us"), numbers.percent(s.spread),
                numbers.ratio(found, f" {found.base}" if found else ""),
            )
        )  # fmt: skip
    headings = (
        "Connections",
        "Library",
        "Requests",
        "Timeouts",
        "Req/sec",
        "Errors",
        "p50",
        "p99",
        "Spread",
        "Against",
    )
    return Table(headings, (True, False, *(True,) * 7, False), tuple(rows))


def _speed(summary: Summary) -> str:
    estimate = summary.metrics.get("requests_per_second")
    return numbers.count(estimate.mean) if estimate else "invalid"


def _per_run(summary: Summary, total: int) -> str:
    return numbers.count(total / max(1, summary.trials))


def _latency(summary: Summary, name: str) -> str:
    estimate = summary.metrics.get(name)
    return numbers.latency(estimate.median if estimate else None)


def _chart(result: Result, profile: str) -> Chart:
    own = [s for s in result.summaries if s.profile == profile and "requests_per_second" in s.metrics]
    bars = []
    for summary in own:
        estimate = summary.metrics["requests_per_second"]
        bars.append(Bar(summary.variant, estimate.mean, estimate.ci_low, estimate.ci_high))
    return Chart(profile, f"requests/s, {profile}", tuple(bars))


def _work(summaries: Sequence[Summary]) -> Table:
    shown = [name for name in _WORK if any(name in summary.metrics for summary in summaries)]
    rows = []
    for summary in summaries:
        metrics = summary.metrics
        cells = [
            numbers.metric_value(metrics[name].median, metrics[name].unit) if name in metrics else numbers.ratio(None)
            for name in shown
        ]
        rows.append((summary.profile, summary.variant, *cells))
    headings = ("Profile", "Library", *(METRICS[name].title for name in shown))
    return Table(headings, (False, False, *(True,) * len(shown)), tuple(rows))


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for c in comparisons:
        metric = METRICS[c.metric]
        values = (numbers.metric_value(value, metric.unit) for value in (c.base_value, c.head_value))
        exact = c.method == "count"
        ratio = ("differs" if c.significant else "the same") if exact else numbers.ratio(c)
        sure = "exact" if exact else ("yes" if c.significant else "no")
        detectable = numbers.percent(c.smallest_detectable)
        rows.append((c.profile, f"{c.head} ÷ {c.base}", metric.title, *values, ratio, sure, detectable))
    headings = ("Profile", "Pair", "Metric", "Second", "First", "Ratio (99 % interval)", "Sure", "Would have seen")
    return Table(headings, (False, False, False, True, True, False, False, True), tuple(rows))


def _trials(trials: Sequence[Trial]) -> Table:
    """Every single run, in the order in which they were made."""
    rows = []
    for number, t in enumerate(trials, start=1):
        p99 = t.latency.p99_us if t.latency else None
        rows.append(
            (
                str(number), t.phase, str(t.block), t.variant, t.profile, f"{t.duration_s:.2f} s",
                numbers.count(t.requests), numbers.count(t.requests_per_second), numbers.latency(p99),
                numbers.count(t.errors.timeout), numbers.count(t.errors.total - t.errors.timeout),
                f"{t.bytes_read:,}", f"{t.connections_live} of {t.connections_asked}",
                numbers.percent(t.generator_busy), "yes" if t.valid else "no",
            )
        )  # fmt: skip
    headings = ("Run", "Phase", "Block", "Library", "Profile", "Lasted", "Requests", "Req/sec", "p99", "Timeouts",
                "Errors", "Bytes read", "Connections", "wrk busy", "Valid")  # fmt: skip
    numeric = (True, False, True, False, False, *(True,) * 9, False)
    return Table(headings, numeric, tuple(rows))


def _method(result: Result) -> tuple[str, ...]:
    blocks = max((trial.block for trial in result.trials), default=0)
    order = f"Each cell was loaded alone, once in each of {blocks} blocks, each block in its own random order"
    return (f"{order} (seed {result.run.seed}).", *_METHOD)


def _environment(result: Result) -> Table:
    e, run, source = result.environment, result.run, result.source
    commit = f"{source.head_sha[:12]}{' with local changes' if source.dirty else ''}" if source.head_sha else ""
    facts = [
        ("CPU", f"{e.cpu_model}, {e.cores} cores"),
        ("Memory", f"{e.memory_mib / 1024:.1f} GiB"),
        ("Kernel", e.kernel),
        ("Engine", f"{run.engine}, {e.docker}"),
        ("Steal", f"{e.steal_percent:.2f} %"),
        ("Fingerprint", e.fingerprint),
        ("Images", ", ".join(f"{name} ({_short_id(image)})" for name, image in e.images.items())),
        ("Commit", commit),
        ("Tool", f"bench-action {run.tool_version}"),
        ("Run", f"{run.id}, {run.started_at}, {run.duration_s:.0f} s"),
        ("Time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.timings.items())),
    ]
    return Table(("What", "Value"), (False, False), tuple((name, value) for name, value in facts if value))


def _short_id(image: str) -> str:
    """An image's id as `docker images` shows it; what the local engine runs is told in words already."""
    return image.removeprefix("sha256:")[:12] if image.startswith("sha256:") else image
