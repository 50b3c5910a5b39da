"""Lay out the requests of mixes, the one that changed most for the worse first."""

from collections.abc import Mapping

from bench_action.model.metric import METRICS
from bench_action.model.result import Result, RouteFigures, cell_name
from bench_action.model.wording import percent
from bench_action.report import numbers
from bench_action.report.table import Table

_METRICS = (
    "queries_per_request",
    "cache_commands_per_request",
    "latency_p50_us",
    "latency_p99_us",
    "cpu_ms_per_request",
    "latency_p50_at_rate_us",
    "latency_p99_at_rate_us",
)
_TITLES = {
    "cpu_ms_per_request": "CPU",
    "latency_p50_at_rate_us": "p50 at the rate",
    "latency_p99_at_rate_us": "p99 at the rate",
}
_ERRORS = 0.01  # fewer may be chance
_Key = tuple[str, str, str]


def tabulate_routes(result: Result) -> Table:
    """Lay out what each request of a mix costs and how long it takes with one connection; with base, both sides."""
    bases = {_key(route): route for route in result.routes if route.revision == "base"}
    heads = [route for route in result.routes if route.revision == "head"]
    names = [name for name in _METRICS if any(route.metrics.get(name) for route in result.routes)]
    failing = any(route.error_rate for route in result.routes)
    rows: list[tuple[str, ...]] = []
    for variant, profile in dict.fromkeys((route.variant, route.profile) for route in heads):
        own = [route for route in heads if (route.variant, route.profile) == (variant, profile)]
        rows.append((cell_name(variant, "head", profile),))
        sent = sum(route.sent for route in own)
        for route in sorted(own, key=lambda route: _rank(route, bases.get(_key(route))), reverse=True):
            base = bases.get(_key(route))
            values = [_format(name, route, base) for name in names]
            errors = [_join(_format_errors(base) if base else "", _format_errors(route))] if failing else []
            rows.append(
                (
                    route.route.replace(" ", "\u00a0"),
                    percent(route.sent / sent) if sent else numbers.NONE,
                    *values,
                    *errors,
                )
            )
    titles = (_TITLES.get(name, METRICS[name].title.removesuffix("/request")) for name in names)
    headings = ("Request", "Share", *titles, *(["Errors"] if failing else []))
    return Table(headings, (False, *(True,) * (len(headings) - 1)), tuple(rows))


def _key(route: RouteFigures) -> _Key:
    return route.variant, route.profile, route.route


def _rank(head: RouteFigures, base: RouteFigures | None) -> tuple[float, float]:
    """Rank a request by how much it got worse: by new errors first, as those are answered quickly."""
    errors = head.error_rate - base.error_rate if base is not None else 0.0
    return (errors if errors >= _ERRORS else 0.0), _find_worst(head, base)


def _find_worst(head: RouteFigures, base: RouteFigures | None) -> float:
    """Find by what factor a request got worse in the metric in which it did most; 0 without a base."""
    if base is None:
        return 0.0
    return max((_compare(head.metrics, base.metrics, name) for name in _METRICS), default=0.0)


def _compare(head: Mapping[str, float], base: Mapping[str, float], name: str) -> float:
    if name not in head or name not in base or head[name] == base[name]:
        return 1.0
    return head[name] / base[name] if base[name] else float("inf")


def _format(name: str, head: RouteFigures, base: RouteFigures | None) -> str:
    unit = METRICS[name].unit
    sides = [
        numbers.metric_value(side.metrics[name], unit) if side is not None and name in side.metrics else ""
        for side in (base, head)
    ]
    return _join(*sides)


def _join(before: str, after: str) -> str:
    return f"{before} → {after}" if before and before != after else after or numbers.NONE


def _format_errors(route: RouteFigures) -> str:
    return percent(route.error_rate)
