"""Render a result as OpenMetrics text, for GitLab's metrics report, Prometheus' textfile collector and the like.

The format is OpenMetrics 1.0: base units, a family's samples together, `# EOF` at the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from bench_action.model.result import Comparison, Result, Summary, Verdict

_PREFIX: Final = "bench_action_"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: `unit` is the end of its name, or empty; samples are suffix, labels and value."""

    name: str
    kind: Literal["gauge", "stateset", "info"]
    unit: str
    description: str
    samples: tuple[tuple[str, Labels, float], ...]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a metric of ours goes: `factor` converts it to the base unit."""

    name: str
    unit: str
    description: str
    factor: float = 1.0
    labels: Labels = ()


def _latency(percentile: str) -> _Target:
    text = "Latency at full load by percentile."
    return _Target("latency_seconds", "seconds", text, 1e-6, (("percentile", percentile),))


def _cpu(part: str) -> _Target:
    return _Target("request_cpu_seconds", "seconds", "CPU time of one request by part.", 1e-3, (("part", part),))


_TARGETS: Final = {
    "requests_per_second": _Target("requests_per_second", "", "Successful replies per second, loaded alone."),
    "latency_p50_us": _latency("50"),
    "latency_p90_us": _latency("90"),
    "latency_p99_us": _latency("99"),
    "latency_p999_us": _latency("99.9"),
    "error_rate": _Target("error_ratio", "ratio", "Errors as a fraction of requests."),
    "cpu_ms_per_request": _cpu("application"),
    "db_cpu_ms_per_request": _cpu("database"),
    "cache_cpu_ms_per_request": _cpu("cache"),
    "total_cpu_ms_per_request": _cpu("all"),
    "queries_per_request": _Target("request_queries", "", "Database queries of one request."),
    "rows_per_request": _Target("request_rows", "", "Database rows of one request."),
    "cache_commands_per_request": _Target("request_cache_commands", "", "Cache commands of one request."),
    "db_connections_peak": _Target("database_connections", "", "Most database connections at the same time."),
    "memory_peak_mib": _Target("memory_peak_bytes", "bytes", "Peak memory.", 2.0**20),
    "startup_s": _Target("startup_seconds", "seconds", "Time from start to ready."),
}


def render_openmetrics(result: Result) -> str:
    """Render the families that this result has samples of, in a fixed order."""
    lines = [line for family in _list_families(result) if family.samples for line in _render_family(family)]
    return "\n".join([*lines, "# EOF", ""])


def _list_families(result: Result) -> Iterator[Family]:
    run, kind = result.run, f"{_PREFIX}run"
    labels = (("tool_version", run.tool_version), ("engine", run.engine), ("preset", run.preset))
    machine = (("machine", result.environment.fingerprint),)
    yield Family(kind, "info", "", "The tool, and the kind of machine.", (("_info", labels + machine, 1),))
    yield _states("verdict", "Verdict of the run.", [((), result.verdict)])
    yield from _list_estimates(result.summaries)
    yield from _list_changes(result.comparisons)


def _list_estimates(summaries: Sequence[Summary]) -> Iterator[Family]:
    families: dict[str, tuple[_Target, list[tuple[str, Labels, float]]]] = {}
    for metric, target in _TARGETS.items():
        _, samples = families.setdefault(target.name, (target, []))
        for summary in summaries:
            if estimate := summary.metrics.get(metric):
                cell = (("variant", summary.variant), ("revision", summary.revision), ("profile", summary.profile))
                samples.append(("", cell + target.labels, estimate.median * target.factor))
    for name, (target, samples) in families.items():
        yield Family(_PREFIX + name, "gauge", target.unit, f"{target.description} Median of blocks.", tuple(samples))


def _list_changes(comparisons: Sequence[Comparison]) -> Iterator[Family]:
    named = {_label_comparison(c): c for c in comparisons}
    columns = (
        ("change_ratio", "Head divided by base.", {key: c.ratio for key, c in named.items()}),
        ("change_low_ratio", "Lower bound of the change.", {key: c.ci_low for key, c in named.items()}),
        ("change_high_ratio", "Upper bound of the change.", {key: c.ci_high for key, c in named.items()}),
        ("gate_ratio", "The gate, as a fraction of base.", {key: c.gate for key, c in named.items()}),
    )
    for name, text, values in columns:
        samples = tuple(("", key, value) for key, value in values.items() if value is not None)
        yield Family(_PREFIX + name, "gauge", "ratio", text, samples)
    yield _states("change_verdict", "Verdict of a comparison.", [(key, c.verdict) for key, c in named.items()])


def _label_comparison(c: Comparison) -> Labels:
    """Name both sides by variant and revision; two variants are compared at one revision."""
    variant, base = (c.head, c.base) if c.kind == "variant" else (c.variant, f"{c.variant}@base")
    return (
        ("variant", variant),
        ("revision", c.revision),
        ("base", base),
        ("profile", c.profile),
        ("metric", c.metric),
        ("method", c.method),
    )


def _states(name: str, text: str, states: Sequence[tuple[Labels, Verdict]]) -> Family:
    """Build a StateSet: for each label set a sample of every verdict, 1 for the present one."""
    full = _PREFIX + name
    samples = [
        ("", (*labels, (full, verdict)), float(verdict == present))
        for labels, present in states
        for verdict in get_args(Verdict)
    ]
    return Family(full, "stateset", "", text, tuple(samples))


def _render_family(family: Family) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escape(family.description)}"
    for suffix, labels, value in family.samples:
        text = ",".join(f'{name}="{_escape(content)}"' for name, content in labels)
        # 12 digits are more than any of them means, and hide how a factor was rounded
        yield f"{family.name}{suffix}{f'{{{text}}}' if text else ''} {value:.12g}"


def _escape(text: str) -> str:
    """Escape a label's value; a lone surrogate, which UTF-8 cannot hold, is replaced."""
    clean = text.encode(errors="replace").decode()
    return clean.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
