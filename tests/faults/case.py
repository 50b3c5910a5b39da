"""One case of a group of faults: what it injects follows from its number and the seed; what it shows are problems."""

import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Literal

import pytest

Kind = Literal["traceback", "wrong", "lost", "left"]
KINDS: tuple[Kind, ...] = ("traceback", "wrong", "lost", "left")
_BUG = 70  # the exit status of a bug of ours
_TRACEBACK = "Traceback (most recent call last)"
_LONGEST = 1500  # characters of a log in a problem


@dataclass(frozen=True, slots=True)
class Problem:
    """What a case showed: a traceback, a wrong outcome, `count` things lost or left behind."""

    kind: Kind
    text: str
    count: int = 1

    @property
    def signature(self) -> str:
        """Return the same text for the same fault: the last line of a traceback, else the first line."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()] or [""]
        return f"{self.kind}: {lines[-1 if self.kind == 'traceback' else 0][:160]}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one case has shown. `seconds`: how long it took; `ended`: when, in seconds since the epoch."""

    group: str
    number: int
    seed: int
    seconds: float
    ended: float
    problems: Sequence[Problem]


@dataclass(frozen=True)
class Case:
    """One case. `folder` is its own, and empty; `chance` gives the same numbers whenever the case is repeated."""

    group: str
    number: int
    seed: int
    folder: Path
    chance: Random = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chance", Random(f"{self.seed} {self.group} {self.number}"))


@dataclass(frozen=True)
class Group:
    """Cases of one kind.

    `what` is the title of its row. `cpu_s` limits the CPU time of a case that runs in this process, 0 for none.
    `workers`: how many cases run at the same time.
    """

    name: str
    what: str
    cases: int
    examine: Callable[[Case], Iterable[Problem]]
    workers: int = 2
    cpu_s: float = 0.0


class HungError(Exception):
    """A case has used more CPU time than any input is worth."""


def time_case(group: Group, number: int, seed: int) -> Shown:
    """Run one case, and return what it showed and how long it took."""
    started = time.monotonic()
    problems = examine(group, number, seed)
    return Shown(group.name, number, seed, round(time.monotonic() - started, 3), time.time(), problems)


def examine(group: Group, number: int, seed: int) -> list[Problem]:
    """Run one case in a separate folder, and return what it showed."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name, _limit_cpu(group.cpu_s):
        try:
            return list(group.examine(Case(group.name, number, seed, Path(name))))
        except (Exception, pytest.fail.Exception):  # noqa: BLE001  # anything that a case raises is a problem
            return [Problem("traceback", traceback.format_exc())]


def judge_ending(status: int, log: str, allowed: Iterable[int]) -> Iterator[Problem]:
    """Judge how a command ended: without a traceback, and with one of these exit statuses."""
    if status == _BUG or _TRACEBACK in log:
        yield Problem("traceback", log[log.find(_TRACEBACK) :][:_LONGEST].partition("This is a bug")[0])
    elif status not in set(allowed):
        yield Problem("wrong", f"exit status {status}\n{log[-_LONGEST:]}")


@contextmanager
def _limit_cpu(seconds: float) -> Iterator[None]:
    """Raise HungError in this thread after so much CPU time; 0: never."""
    if not seconds:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise HungError(f"more than {seconds:g} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
