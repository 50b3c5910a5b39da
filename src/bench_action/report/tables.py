"""The tables of a report, in words."""

from collections.abc import Sequence

from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Result, Summary, Trial
from bench_action.report import numbers
from bench_action.report.table import Table

_WORK = (
    "queries_per_request",
    "rows_per_request",
    "cache_commands_per_request",
    "cpu_ms_per_request",
    "db_cpu_ms_per_request",
    "cache_cpu_ms_per_request",
    "db_connections_peak",
    "memory_peak_mib",
    "startup_s",
)


def subject(one: Summary | Trial) -> str:
    """Head is the normal case and not named."""
    return one.variant if one.revision == "head" else f"{one.variant}@{one.revision}"


def capacity(result: Result) -> Table:
    """The article's table (Connections, Library, Requests, Timeouts, Req/sec), extended."""
    connections = {profile.name: profile.connections for profile in result.profiles}
    variants_only = [c for c in result.comparisons if c.kind == "variant" and c.metric == "requests_per_second"]
    against = {(c.profile, c.head): c for c in variants_only}
    rows = []
    for s in result.summaries:
        found = against.get((s.profile, s.variant)) if s.revision == "head" else None
        rows.append(
            (
                str(connections[s.profile]),
                subject(s),
                numbers.count(s.requests),
                _per_run(s, s.errors.timeout),
                speed(s),
                _per_run(s, s.errors.total - s.errors.timeout),
                _latency(s, "latency_p50_us"),
                _latency(s, "latency_p99_us"),
                numbers.percent(s.spread),
                numbers.ratio(found, f" {found.base}" if found else ""),
            )
        )
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


def speed(summary: Summary) -> str:
    """Requests/s, as people read them."""
    estimate = summary.metrics.get("requests_per_second")
    return numbers.count(estimate.mean) if estimate else "invalid" if summary.trials else "not measured"


def ahead(c: Comparison) -> str:
    """Which of a pair is faster, and how many times."""
    ratio = c.ratio or 1.0
    first, second, times = (c.head, c.base, ratio) if ratio >= 1 else (c.base, c.head, 1 / ratio)
    return f"on {c.profile}, {first} serves {numbers.factor(times)} × the requests/s of {second}"


def _per_run(summary: Summary, total: int) -> str:
    return numbers.count(total / max(1, summary.trials))


def _latency(summary: Summary, name: str) -> str:
    estimate = summary.metrics.get(name)
    return numbers.latency(estimate.median if estimate else None)


def resources(summaries: Sequence[Summary]) -> Table:
    """What each request costs, and what each subject takes."""
    shown = [name for name in _WORK if any(name in summary.metrics for summary in summaries)]
    rows = []
    for summary in summaries:
        metrics = summary.metrics
        cells = [
            numbers.metric_value(metrics[name].median, metrics[name].unit) if name in metrics else numbers.ratio(None)
            for name in shown
        ]
        rows.append((summary.profile, subject(summary), *cells))
    headings = ("Profile", "Library", *(METRICS[name].title for name in shown))
    return Table(headings, (False, False, *(True,) * len(shown)), tuple(rows))


def against_each_other(comparisons: Sequence[Comparison]) -> Table:
    """Variants against one another."""
    rows = []
    for c in (one for one in comparisons if one.kind == "variant"):
        metric = METRICS[c.metric]
        values = (numbers.metric_value(value, metric.unit) for value in (c.base_value, c.head_value))
        exact = c.exact
        ratio = ("differs" if c.significant else "the same") if exact else numbers.ratio(c)
        sure = "exact" if exact else ("yes" if c.significant else "no")
        shown = c.smallest_detectable is not None and c.smallest_detectable <= 1
        detectable = numbers.percent(c.smallest_detectable if shown else None)
        rows.append((c.profile, f"{c.head} ÷ {c.base}", metric.title, *values, ratio, sure, detectable))
    headings = ("Profile", "Pair", "Metric", "Second", "First", "Ratio (99 % interval)", "Sure", "Detectable change")
    return Table(headings, (False, False, False, True, True, False, False, True), tuple(rows))


def single_runs(trials: Sequence[Trial]) -> Table:
    """Every single run, in the order in which they were made."""
    rows = []
    for number, t in enumerate(trials, start=1):
        p99 = t.latency.p99_us if t.latency else None
        rows.append(
            (
                str(number),
                t.phase,
                str(t.block),
                subject(t),
                t.profile,
                f"{t.duration_s:.2f} s",
                numbers.count(t.requests),
                numbers.count(t.requests_per_second),
                numbers.latency(p99),
                numbers.count(t.errors.timeout),
                numbers.count(t.errors.total - t.errors.timeout),
                f"{t.bytes_read:,}",
                f"{t.connections_live} of {t.connections_asked}",
                numbers.percent(t.generator_busy),
                "yes" if t.valid else "no",
            )
        )
    headings = (
        "Run",
        "Phase",
        "Block",
        "Library",
        "Profile",
        "Lasted",
        "Requests",
        "Req/sec",
        "p99",
        "Timeouts",
        "Errors",
        "Bytes read",
        "Connections",
        "wrk busy",
        "Valid",
    )
    numeric = (True, False, True, False, False, *(True,) * 9, False)
    return Table(headings, numeric, tuple(rows))


def environment(result: Result) -> Table:
    """Where this was measured."""
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
