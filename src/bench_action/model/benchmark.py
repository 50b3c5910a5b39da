"""The benchmark that a run belongs to, which keeps the trends of several benchmarks separate in one history. Pure."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

_BEFORE_NAMES = "recorded before benchmarks had names"


class Benchmark(NamedTuple):
    """Everything except variant, profile and metric that two runs must share to measure the same thing.

    `config`: path of the configuration from the top of its repository; `key`: key of the comment; `job`: workflow, job
    and matrix leg. All three are empty in records from before these fields existed. `preset` and `engine` decide how a
    cell was loaded and where it ran.
    """

    config: str = ""
    key: str = ""
    job: str = ""
    preset: str = ""
    engine: str = ""

    @property
    def name(self) -> str:
        """The name for a person: all fields that are known."""
        return " · ".join(part for part in self if part)

    @property
    def id(self) -> str:
        """The identifier in the marker of its issue: twelve hexadecimal digits that no other benchmark has."""
        return hashlib.sha256("\0".join(self).encode()).hexdigest()[:12]


UNNAMED = Benchmark()


def name_each(benchmarks: Iterable[Benchmark]) -> dict[Benchmark, str]:
    """Name benchmarks by the fields in which they differ; a single one needs no name and gets an empty one."""
    known = sorted(set(benchmarks))
    if len(known) < 2:
        return dict.fromkeys(known, "")
    differing = [field for field in range(len(Benchmark._fields)) if len({benchmark[field] for benchmark in known}) > 1]
    parts = {benchmark: [benchmark[field] for field in differing] for benchmark in known}
    names = {benchmark: " · ".join(filter(None, part)) or _BEFORE_NAMES for benchmark, part in parts.items()}
    if len(set(names.values())) == len(known):
        return names
    return {benchmark: " · ".join(value or "–" for value in part) for benchmark, part in parts.items()}
