"""Series: what one metric of one cell was, run after run, from the records of the history. No I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from bench_action.model.benchmark import UNNAMED, Benchmark
from bench_action.model.metric import METRICS
from bench_action.trend.places import Position, RunRecord, place_runs


class CellRecord(RunRecord, Protocol):
    """What is read of a record of the history: one cell of one run.

    `metrics` and `control` hold mean, low and high for each metric; those of `control` are ratios to the control of the
    same run, and are empty where there was none. `control_id` says which control; `counts` are exact, of a request.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, Sequence[float | None]]: ...
    @property
    def control(self) -> Mapping[str, Sequence[float | None]] | None: ...
    @property
    def control_id(self) -> str | None: ...
    @property
    def counts(self) -> Sequence[float] | None: ...


_Key = tuple[Benchmark, str, str, str, bool, str]  # and variant, profile, metric, whether relative, origin


@dataclass(frozen=True, slots=True)
class Point:
    """One run's value with its interval; `at` (ISO 8601 in UTC) and `order` are its place in the history.

    `repeated`: an old commit was measured again; it is shown, and nothing is concluded from it.
    """

    at: str
    sha: str
    run_id: str
    value: float
    low: float | None
    high: float | None
    fingerprint: str
    work: tuple[float, ...] | None
    order: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one cell of one benchmark, in the order of the commits.

    `relative`: the values are ratios to the control `origin`, and may come from any machine. Otherwise they are plain,
    and all from the one machine whose fingerprint `origin` is: unlike hardware is never joined.
    """

    variant: str
    profile: str
    metric: str
    relative: bool
    points: tuple[Point, ...]
    origin: str = ""
    benchmark: Benchmark = UNNAMED

    @property
    def cell(self) -> str:
        """`variant/profile`."""
        return f"{self.variant}/{self.profile}"

    @property
    def judged(self) -> tuple[Point, ...]:
        """The points from which a change is concluded: all but those of old commits that were measured again."""
        return tuple(point for point in self.points if not point.repeated)


def series_of(records: Iterable[CellRecord], *, absolute: bool = False) -> tuple[Series, ...]:
    """Records → series, each in the order of the commits, whenever they were measured.

    A metric for which a record has a ratio to its control goes into that control's series; any other into its
    machine's. `absolute` takes plain values of all, for showing them beside the ratios. Metrics that are unknown and
    values that are no finite number are left out.
    """
    kept = list(records)
    places = place_runs(kept)
    found: dict[_Key, list[Point]] = {}
    for record in kept:
        control = {} if absolute else record.control or {}
        for metric in record.metrics.keys() | control.keys():
            relative = metric in control
            bounds = control[metric] if relative else record.metrics[metric]
            if metric not in METRICS or not bounds or not _is_number(bounds[0]):
                continue
            origin = (record.control_id or "") if relative else record.fingerprint
            key = (record.benchmark, record.variant, record.profile, metric, relative, origin)
            found.setdefault(key, []).append(_point(record, bounds, places[record.benchmark, record.run_id]))
    ordered = sorted(found, key=lambda key: (key[0], key[2], list(METRICS).index(key[3]), *key[1:]))
    return tuple(
        Series(
            variant, profile, metric, relative, tuple(sorted(found[key], key=attrgetter("order"))), origin, benchmark
        )
        for key in ordered
        for benchmark, variant, profile, metric, relative, origin in [key]
    )


def _point(record: CellRecord, bounds: Sequence[float | None], place: Position) -> Point:
    value, low, high = (*bounds, None, None)[:3]
    work = None if record.counts is None else tuple(record.counts)
    return Point(
        place.at,
        record.sha,
        record.run_id,
        float(value or 0.0),
        low if _is_number(low) else None,
        high if _is_number(high) else None,
        record.fingerprint,
        work,
        place.order,
        place.repeated,
    )


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
