"""Make series from the records of the history: the values of one metric of one cell, run after run. No I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from bench_action.model.benchmark import UNNAMED, Benchmark
from bench_action.model.metric import METRICS
from bench_action.model.result import cell_name
from bench_action.trend.places import Position, RunRecord, place_runs


class CellRecord(RunRecord, Protocol):
    """The part of a record of the history that a series needs: one cell of one run."""

    @property
    def tool_version(self) -> str:
        """Version of bench-action."""
        ...

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the machine."""
        ...

    @property
    def variant(self) -> str:
        """Name of the variant."""
        ...

    @property
    def profile(self) -> str:
        """Name of the profile."""
        ...

    @property
    def metrics(self) -> Mapping[str, Sequence[float | None]]:
        """Mean, low and high of each metric."""
        ...

    @property
    def control(self) -> Mapping[str, Sequence[float | None]] | None:
        """Ratios to the control of the same run: mean, low and high of each metric; empty without a control."""
        ...

    @property
    def control_id(self) -> str | None:
        """Id of the control."""
        ...

    @property
    def counts(self) -> Sequence[float] | None:
        """Exact counts per request."""
        ...


_Key = tuple[Benchmark, str, str, str, bool, str]  # and variant, profile, metric, whether relative, origin


@dataclass(frozen=True, slots=True)
class Point:
    """One run's value with its interval; `at` (ISO 8601 in UTC) and `order` are its place in the history.

    `measured_at`: when the run began.

    `repeated`: an old commit was measured again; `of_control`: it is the control's own. Charts show such points, but no
    change is concluded from them. `control`: the control's plain value of the same metric in the same run, if any.
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
    measured_at: str = ""
    tool_version: str = ""
    of_control: bool = False
    control: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one cell of one benchmark, in the order of the commits.

    `relative`: the values are ratios to the control `origin`, and may come from any machine. Otherwise they are plain
    values, all from the one machine with the fingerprint `origin`: different hardware is never joined.
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
        """Name of the cell."""
        return cell_name(self.variant, "head", self.profile)

    @property
    def judged(self) -> tuple[Point, ...]:
        """Points from which a change is concluded: neither the control's nor those of an old commit measured again."""
        return tuple(point for point in self.points if not (point.repeated or point.of_control))


def make_series(records: Iterable[CellRecord], *, absolute: bool = False) -> tuple[Series, ...]:
    """Make series from records, each in the order of the commits, no matter when they were measured.

    If a record has the ratio of a metric to its control, the ratio goes into that control's series; otherwise the value
    goes into its machine's. `absolute` takes all plain values, to show them next to the ratios. Unknown metrics and
    values that are not finite are left out.
    """
    records = list(records)
    positions, controls = place_runs(records), _Controls(records)
    points: dict[_Key, list[Point]] = {}
    for record in records:
        control = {} if absolute else record.control or {}
        position, of_control = positions[record.benchmark, record.run_id], controls.holds(record)
        for metric in record.metrics.keys() | control.keys():
            relative = metric in control
            bounds = control[metric] if relative else record.metrics[metric]
            if metric not in METRICS or not bounds or not _is_number(bounds[0]):
                continue
            origin = (record.control_id or "") if relative else record.fingerprint
            key = (record.benchmark, record.variant, record.profile, metric, relative, origin)
            value = None if relative else controls.find_value(record, metric)
            points.setdefault(key, []).append(_make_point(record, bounds, position, value, of_control=of_control))
    ordered = sorted(points, key=lambda key: (key[0], key[2], list(METRICS).index(key[3]), *key[1:]))
    return tuple(
        Series(
            variant, profile, metric, relative, tuple(sorted(points[key], key=attrgetter("order"))), origin, benchmark
        )
        for key in ordered
        for benchmark, variant, profile, metric, relative, origin in [key]
    )


class _Controls:
    """The records of the controls: variants without ratios in profiles in which others have them."""

    def __init__(self, records: Sequence[CellRecord]) -> None:
        compared = [record for record in records if record.control]
        others = {(record.benchmark, record.control_id, record.variant) for record in compared}
        profiles = {(record.benchmark, record.control_id, record.profile) for record in compared}
        self._names = {
            (record.benchmark, record.control_id, record.variant)
            for record in records
            if record.control_id and (record.benchmark, record.control_id, record.profile) in profiles
        } - others
        self._metrics = {
            (record.benchmark, record.run_id, record.profile): record.metrics
            for record in records
            if self.holds(record)
        }

    def holds(self, record: CellRecord) -> bool:
        """Return whether a record is of the control itself."""
        return (record.benchmark, record.control_id, record.variant) in self._names

    def find_value(self, record: CellRecord, metric: str) -> float | None:
        """Find the control's value of a metric in the run and profile of a record."""
        bounds = self._metrics.get((record.benchmark, record.run_id, record.profile), {}).get(metric)
        return bounds[0] if bounds and _is_number(bounds[0]) else None


def _make_point(
    record: CellRecord, bounds: Sequence[float | None], position: Position, control: float | None, *, of_control: bool
) -> Point:
    value, low, high = (*bounds, None, None)[:3]
    work = None if record.counts is None else tuple(record.counts)
    return Point(
        position.at,
        record.sha,
        record.run_id,
        float(value or 0.0),
        low if _is_number(low) else None,
        high if _is_number(high) else None,
        record.fingerprint,
        work,
        position.order,
        position.repeated,
        record.at,
        record.tool_version,
        of_control,
        control,
    )


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
