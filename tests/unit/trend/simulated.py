"""Build series for tests."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from bench_action.trend.series import Point, Series

START = datetime(2024, 1, 1, 3, tzinfo=UTC)


def point(
    number: int, value: float, *, machine: str = "epyc", work: tuple[float, ...] | None = (1.0, 20.0), sha: str = ""
) -> Point:
    """Build the run of day `number`."""
    at = (START + timedelta(days=number)).isoformat().replace("+00:00", "Z")
    name = sha or f"{number:040x}"
    return Point(at, name, f"run-{number}", value, value * 0.98, value * 1.02, machine, work, measured_at=at)


def series(
    values: Iterable[float], metric: str = "requests_per_second", *, variant: str = "shop", relative: bool = True
) -> Series:
    """Build a series with one value per day."""
    points = tuple(point(number, value) for number, value in enumerate(values))
    return Series(variant, "list", metric, relative, points, "control" if relative else "epyc")
