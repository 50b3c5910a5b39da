"""Which benchmark a run belongs to: what keeps the trends of several benchmarks apart in one history. Pure."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

_BEFORE_NAMES = "recorded before benchmarks had names"


class Benchmark(NamedTuple):
    """Everything that makes two runs measurements of the same thing, apart from variant, profile and metric.

    `config`: the configuration's path from the top of its repository; `key`: the comment's; `job`: workflow, job and
    matrix leg. All three are empty in records that were written before they existed. `preset` and `engine` decide how a
    cell was loaded and where it ran.
    """

    config: str = ""
    key: str = ""
    job: str = ""
    preset: str = ""
    engine: str = ""

    @property
    def name(self) -> str:
        """All that is known of it, for a person."""
        return " · ".join(part for part in self if part)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that no other benchmark has, for the marker of its issue."""
        return hashlib.sha256("\0".join(self).encode()).hexdigest()[:12]


UNNAMED = Benchmark()


def name_each(benchmarks: Iterable[Benchmark]) -> dict[Benchmark, str]:
    """Name benchmarks by the parts in which they differ; a single one needs no name and gets an empty one."""
    known = sorted(set(benchmarks))
    if len(known) < 2:
        return dict.fromkeys(known, "")
    differing = [number for number in range(len(Benchmark._fields)) if len({one[number] for one in known}) > 1]
    names = {one: " · ".join(one[number] for number in differing if one[number]) or _BEFORE_NAMES for one in known}
    if len(set(names.values())) == len(known):
        return names
    return {one: " · ".join(one[number] or "–" for number in differing) for one in known}
