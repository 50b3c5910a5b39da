"""Series: what one metric of one cell was, run after run, from the records of the history. No I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from bench_action.model.metric import METRICS


class Record(Protocol):
    """What is read of a record of the history: one cell of one run.

    `metrics` and `control` hold mean, low and high for each metric; those of `control` are ratios to the control of the
    same run, and are empty where there was none. `control_id` says which control; `counts` are exact, of a request.
    """

    @property
    def at(self) -> str: ...
    @property
    def sha(self) -> str: ...
    @property
    def run_id(self) -> str: ...
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


@dataclass(frozen=True, slots=True)
class Point:
    """One run's value with its interval; `at` is ISO 8601 in UTC."""

    at: str
    sha: str
    run_id: str
    value: float
    low: float | None
    high: float | None
    fingerprint: str
    work: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one cell, oldest first.

    `relative`: the values are ratios to the control `origin`, and may come from any machine. Otherwise they are plain,
    and all from the one machine whose fingerprint `origin` is: unlike hardware is never joined.
    """

    variant: str
    profile: str
    metric: str
    relative: bool
    points: tuple[Point, ...]
    origin: str = ""

    @property
    def cell(self) -> str:
        """`variant/profile`."""
        return f"{self.variant}/{self.profile}"


def series_of(records: Iterable[Record], *, absolute: bool = False) -> tuple[Series, ...]:
    """Records → series, each in the order of its times.

    A metric for which a record has a ratio to its control goes into that control's series; any other into its
    machine's. `absolute` takes plain values of all, for showing them beside the ratios. Metrics that are unknown and
    values that are no finite number are left out.
    """
    found: dict[tuple[str, str, str, bool, str], list[Point]] = {}
    for record in records:
        control = {} if absolute else record.control or {}
        for metric in record.metrics.keys() | control.keys():
            relative = metric in control
            bounds = control[metric] if relative else record.metrics[metric]
            if metric not in METRICS or not bounds or not _is_number(bounds[0]):
                continue
            origin = (record.control_id or "") if relative else record.fingerprint
            key = (record.variant, record.profile, metric, relative, origin)
            found.setdefault(key, []).append(_point(record, bounds))
    ordered = sorted(found, key=lambda key: (key[1], list(METRICS).index(key[2]), *key))
    return tuple(
        Series(variant, profile, metric, relative, tuple(sorted(found[key], key=attrgetter("at", "run_id"))), origin)
        for key in ordered
        for variant, profile, metric, relative, origin in [key]
    )


def _point(record: Record, bounds: Sequence[float | None]) -> Point:
    value, low, high = (*bounds, None, None)[:3]
    work = None if record.counts is None else tuple(record.counts)
    return Point(
        record.at, record.sha, record.run_id, float(value or 0.0), low if _is_number(low) else None,
        high if _is_number(high) else None, record.fingerprint, work,
    )  # fmt: skip


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
