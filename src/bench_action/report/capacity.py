"""Say how much each variant serves at most, if it was loaded at several numbers of connections."""

from collections.abc import Iterator

from bench_action.config.levels import find_profile
from bench_action.model.result import Result, Summary
from bench_action.model.wording import percent, plural
from bench_action.report import numbers
from bench_action.report.tables import name_subject


def describe_best(result: Result) -> tuple[str, ...]:
    """Describe for each variant and profile how much it served at most, with the spread, and what limited it there."""
    return tuple(_describe(result))


def _describe(result: Result) -> Iterator[str]:
    connections = {profile.name: profile.connections for profile in result.profiles}
    groups: dict[tuple[str, str], list[Summary]] = {}
    for summary in result.summaries:
        profile = find_profile(summary.profile, connections.get(summary.profile, 0))
        if profile != summary.profile and "requests_per_second" in summary.metrics:
            groups.setdefault((profile, name_subject(summary)), []).append(summary)
    for (profile, subject), levels in groups.items():
        best = max(levels, key=lambda each: each.metrics["requests_per_second"].mean)
        speed = numbers.count(best.metrics["requests_per_second"].mean)
        spread = f" (spread {percent(best.spread)})" if best.spread is not None else ""
        limit = f", limited by the {best.bottleneck}" if best.bottleneck else ""
        text = f"{subject} serves at most {speed} requests/s of {profile}{spread}"
        yield f"{text}, with {plural(connections[best.profile], 'connection')}{limit}"
