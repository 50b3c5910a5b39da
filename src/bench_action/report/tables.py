"""Lay out what each subject did alone, and where it was measured."""

from collections.abc import Callable, Iterator, Sequence

from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, ProfileInfo, Result, ShardInfo, Summary, Trial
from bench_action.model.wording import percent
from bench_action.report import numbers
from bench_action.report.change import meaningful_detectable
from bench_action.report.table import Table

AGAINST = "Against"
# columns of a trial for which a comment has no room
DETAILS = ("Lasted", "Timeouts", "Bytes read", "wrk busy")
CONNECTIONS = "Connections"
_CAPACITY = ("Requests", "Timeouts", "Req/sec", "Errors", "p50", "p99", "Spread", AGAINST)
_TRIALS = (
    *("Phase", "Cell", "Lasted", "Requests", "Req/sec", "p99"),
    *("Timeouts", "Errors", "Bytes read", "Connections", "wrk busy", "Valid"),
)
_WORK = (
    "queries_per_request",
    "rows_per_request",
    "cache_commands_per_request",
    "cpu_ms_per_request",
    "db_cpu_ms_per_request",
    "cache_cpu_ms_per_request",
    "total_cpu_ms_per_request",
)
_FOOTPRINT = ("db_connections_peak", "memory_peak_mib", "startup_s")
# parts whose CPU is a metric → what people call them
_KNOWN = {"db": "database", "cache": "cache"}


def name_subject(measured: Summary | Trial) -> str:
    """Name a variant with its revision; head is the normal case and not named."""
    return measured.variant if measured.revision == "head" else f"{measured.variant}@{measured.revision}"


def format_speed(summary: Summary) -> str:
    """Format requests/s, or say why they are missing."""
    estimate = summary.metrics.get("requests_per_second")
    return numbers.count(estimate.mean) if estimate else "invalid" if summary.trials else "not measured"


def describe_lead(c: Comparison) -> str:
    """Say which of two variants is faster, and by what factor."""
    ratio = c.ratio or 1.0
    first, second, times = (c.head, c.base, ratio) if ratio >= 1 else (c.base, c.head, 1 / ratio)
    return f"on {c.profile}, {first} serves {numbers.factor(times)} × the requests/s of {second}"


def tabulate_capacity(result: Result) -> Table:
    """Lay out the article's table (Connections, Library, Requests, Timeouts, Req/sec), extended."""
    profiles = {profile.name: profile for profile in result.profiles}
    variants = [c for c in result.comparisons if c.kind == "variant" and c.metric == "requests_per_second"]
    against = {(c.profile, c.head): c for c in variants}

    def row(s: Summary) -> tuple[str, ...]:
        comparison = against.get((s.profile, s.variant)) if s.revision == "head" else None
        runs = max(1, s.trials)
        return (
            numbers.NONE if profiles[s.profile].script else str(profiles[s.profile].connections),
            name_subject(s),
            numbers.count(s.requests),
            numbers.count(s.errors.timeout / runs),
            format_speed(s),
            numbers.count((s.errors.total - s.errors.timeout) / runs),
            *(
                numbers.latency(estimate.median if (estimate := s.metrics.get(name)) else None)
                for name in ("latency_p50_us", "latency_p99_us")
            ),
            percent(s.spread),
            numbers.ratio(comparison, f" {comparison.base}" if comparison else ""),
        )

    # the article's own word
    who = "Library" if result.run.preset == "article" else "Variant"
    rows = _group_by_profile(_sort_by_profile(result), row, lambda name: _describe_profile(profiles[name]))
    table = Table((CONNECTIONS, who, *_CAPACITY), (False, False, *(True,) * 7, False), rows)
    return table if against else table.leave_out(AGAINST)


def tabulate_hosts(result: Result) -> Table:
    """Lay out how busy the CPUs of each host were while a subject was loaded alone, and what limited it."""
    hosts = list(dict.fromkeys(name for summary in result.summaries for name in summary.host_busy))
    measured = [summary for summary in _sort_by_profile(result) if summary.host_busy]

    def row(s: Summary) -> tuple[str, ...]:
        return (name_subject(s), *(percent(s.host_busy.get(name)) for name in hosts), s.bottleneck or "nothing busy")

    headings = ("Variant", *(f"CPU of {name}" for name in hosts), "Limited by")
    return Table(headings, (False, *(True,) * len(hosts), False), _group_by_profile(measured, row))


def _sort_by_profile(result: Result) -> list[Summary]:
    """Sort summaries by profile as the configuration lists them, as blocks have them in any order."""
    places = {profile.name: place for place, profile in enumerate(result.profiles)}
    return sorted(result.summaries, key=lambda summary: places.get(summary.profile, len(places)))


def _describe_profile(profile: ProfileInfo) -> str:
    """Name a profile with its load."""
    if profile.script:
        return f"{profile.name}, {profile.script}{f' at {profile.rate}' if profile.rate else ''}"
    return f"{profile.name}, {profile.connections} connections"


def tabulate_work(summaries: Sequence[Summary]) -> Table:
    """Lay out what each request costs: queries, rows, cache commands, and CPU of each part."""
    others = {f"{name} CPU": name for name in _list_services(summaries) if name not in _KNOWN}

    def values(summary: Summary) -> tuple[str, ...]:
        used = (summary.services.get(name) for name in others.values())
        return tuple(_format_use(use.cpu_ms_per_request if use is not None else None, "ms") for use in used)

    return _tabulate_metrics(summaries, _WORK, tuple(others), values)


def tabulate_footprint(summaries: Sequence[Summary]) -> Table:
    """Lay out what each subject takes: database connections, memory of each part, time to start."""
    names = [name for name in _list_services(summaries) if any(_read_memory(s, name) is not None for s in summaries)]

    def values(summary: Summary) -> tuple[str, ...]:
        return tuple(_format_use(_read_memory(summary, name), "MiB") for name in names)

    titles = tuple(f"{_KNOWN.get(name, name)} memory" for name in names)
    return _tabulate_metrics(summaries, _FOOTPRINT, titles, values)


def _list_services(summaries: Sequence[Summary]) -> list[str]:
    """List the services and workers of all subjects."""
    return list(dict.fromkeys(name for summary in summaries for name in summary.services))


def _read_memory(summary: Summary, name: str) -> float | None:
    use = summary.services.get(name)
    return use.memory_mib if use is not None else None


def _format_use(value: float | None, unit: str) -> str:
    return numbers.NONE if value is None else numbers.metric_value(value, unit)


def _tabulate_metrics(
    summaries: Sequence[Summary],
    names: Sequence[str],
    titles: tuple[str, ...],
    more: Callable[[Summary], tuple[str, ...]],
) -> Table:
    """Lay out metrics, and more values with their titles; no row if there is neither."""
    shown = [name for name in names if any(name in summary.metrics for summary in summaries)]

    def row(summary: Summary) -> tuple[str, ...]:
        metrics = summary.metrics
        values = (
            numbers.metric_value(metrics[name].median, metrics[name].unit) if name in metrics else numbers.NONE
            for name in shown
        )
        return (name_subject(summary), *values, *more(summary))

    headings = ("Variant", *(METRICS[name].title.removesuffix("/request") for name in shown), *titles)
    rows = _group_by_profile(summaries, row) if shown or titles else ()
    return Table(headings, (False, *(True,) * (len(headings) - 1)), rows)


def _group_by_profile(
    summaries: Sequence[Summary], row: Callable[[Summary], tuple[str, ...]], name: Callable[[str], str] = str
) -> tuple[tuple[str, ...], ...]:
    """Lay out a row for each summary; below a heading for each profile if there are several."""
    profiles = dict.fromkeys(summary.profile for summary in summaries)
    if len(profiles) == 1:
        return tuple(map(row, summaries))
    return tuple(
        values
        for profile in profiles
        for values in ((name(profile),), *(row(s) for s in summaries if s.profile == profile))
    )


def tabulate_variants(comparisons: Sequence[Comparison]) -> Table:
    """Lay out each pair of variants that was compared, below a heading for each pair and profile."""
    headings = ("Metric", "First", "Second", "Ratio (99 % interval)", "Certain", "Detectable change")
    rows = _variant_rows([c for c in comparisons if c.kind == "variant"])
    return Table(headings, (False, True, True, True, False, True), tuple(rows))


def _variant_rows(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, ...]]:
    last = ""
    for c in comparisons:
        pair = f"{c.head} ÷ {c.base} · {c.profile}"
        if pair != last:
            yield (pair,)
            last = pair
        metric = METRICS[c.metric]
        values = (numbers.metric_value(value, metric.unit) for value in (c.head_value, c.base_value))
        ratio = ("differs" if c.significant else "the same") if c.exact else numbers.ratio(c)
        certain = "exact" if c.exact else ("yes" if c.significant else "no")
        yield (metric.title, *values, ratio, certain, percent(meaningful_detectable(c)))


def tabulate_trials(trials: Sequence[Trial]) -> Table:
    """Lay out every single run, in the order in which they were made."""
    numeric = (False, False, *(True,) * 9, False)
    return Table(_TRIALS, numeric, tuple(_format_trial(trial) for trial in trials))


def _format_trial(t: Trial) -> tuple[str, ...]:
    return (
        t.place,
        t.cell,
        f"{t.duration_s:.2f} s",
        numbers.count(t.requests),
        numbers.count(t.requests_per_second),
        numbers.latency(t.latency.p99_us if t.latency else None),
        numbers.count(t.errors.timeout),
        numbers.count(t.errors.total - t.errors.timeout),
        f"{t.bytes_read:,}",
        f"{t.connections_live} of {t.connections_asked}",
        percent(t.generator_busy),
        "yes" if t.valid else "no",
    )


def _describe_shard(shard: ShardInfo) -> str:
    """Say what a shard measured, and on which machine."""
    machine = shard.environment
    return f"{machine.cpu_model}, {machine.cores} cores, {shard.duration_s:.0f} s: {', '.join(shard.cells)}"


def tabulate_environment(result: Result) -> Table:
    """Lay out where this was measured, and with what."""
    environment, run, source = result.environment, result.run, result.source
    commit = f"{source.head_sha[:12]}{' with local changes' if source.dirty else ''}" if source.head_sha else ""
    # the local engine's images are described in words, not by an id
    images = {
        name: i.removeprefix("sha256:")[:12] if i.startswith("sha256:") else i for name, i in environment.images.items()
    }
    facts = [
        ("CPU", f"{environment.cpu_model}, {environment.cores} cores"),
        *((f"Host of {h.roles}", f"{h.cpu_model}, {h.cores} CPUs") for h in environment.hosts),
        ("Memory", f"{environment.memory_mib / 1024:.1f} GiB"),
        ("Kernel", environment.kernel),
        ("Engine", f"{run.engine}, {environment.docker}"),
        ("Stolen CPU time", f"{environment.steal_percent:.2f} %"),
        ("Fingerprint", environment.fingerprint),
        ("Images", ", ".join(f"{name} ({image})" for name, image in images.items())),
        ("Commit", commit),
        ("Tool", f"bench-action {run.tool_version}"),
        ("Run", f"{run.id}, {run.started_at}, {run.duration_s:.0f} s"),
        ("Time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.timings.items())),
        *((f"Shard {shard.number} of {shard.count}", _describe_shard(shard)) for shard in result.shards),
    ]
    return Table(("What", "Value"), (False, False), tuple((name, value) for name, value in facts if value))
