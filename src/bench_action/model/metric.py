"""The metrics: name, unit and direction. Which way is better belongs to the metric, never to a threshold."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A named number with a unit and a direction; `title` is its name in messages and tables."""

    name: str
    unit: str
    better: Better
    title: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("requests_per_second", "1/s", "higher", "requests/s"),
        Metric("latency_p50_us", "µs", "lower", "p50"),
        Metric("latency_p90_us", "µs", "lower", "p90"),
        Metric("latency_p99_us", "µs", "lower", "p99"),
        Metric("latency_p999_us", "µs", "lower", "p99.9"),
        Metric("latency_p50_at_rate_us", "µs", "lower", "p50 at a fixed rate"),
        Metric("latency_p90_at_rate_us", "µs", "lower", "p90 at a fixed rate"),
        Metric("latency_p99_at_rate_us", "µs", "lower", "p99 at a fixed rate"),
        Metric("latency_p999_at_rate_us", "µs", "lower", "p99.9 at a fixed rate"),
        Metric("cpu_ms_per_request_at_rate", "ms", "lower", "application CPU/request at a fixed rate"),
        Metric("slo_rate", "1/s", "higher", "requests/s within the objective"),
        Metric("error_rate", "1", "lower", "errors/request"),
        Metric("cpu_ms_per_request", "ms", "lower", "application CPU/request"),
        Metric("total_cpu_ms_per_request", "ms", "lower", "total CPU/request"),
        Metric("db_cpu_ms_per_request", "ms", "lower", "database CPU/request"),
        Metric("cache_cpu_ms_per_request", "ms", "lower", "cache CPU/request"),
        Metric("queries_per_request", "1", "lower", "queries/request"),
        Metric("rows_per_request", "1", "lower", "rows/request"),
        Metric("cache_commands_per_request", "1", "lower", "cache commands/request"),
        Metric("db_connections_peak", "1", "lower", "database connections"),
        Metric("memory_peak_mib", "MiB", "lower", "memory"),
        Metric("memory_mib", "MiB", "lower", "memory after equal requests"),
        Metric("startup_s", "s", "lower", "start-up"),
    )
}
