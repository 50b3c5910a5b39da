"""A shard: the part of a run that one runner measures, such as 2/5."""

import re
from dataclasses import dataclass
from typing import Self

from bench_action.model.errors import InputError

_SHARD = re.compile(r"(\d{1,3})\s*/\s*(\d{1,3})")
MOST = 256  # jobs that GitHub allows in a matrix


@dataclass(frozen=True, slots=True)
class Shard:
    """The part `number` of `count`, from 1 on."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a text such as `2/5`. Raises InputError."""
        found = _SHARD.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST:
            raise InputError(
                f"{text!r} is not a shard",
                advice=f"write number/count, such as `2/5` for the second of five; {MOST} at most",
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
