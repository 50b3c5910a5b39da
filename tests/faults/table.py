"""The table of what was injected and what it showed; and on which machine."""

import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil
from tests.faults.case import KINDS, Group, Problem, Shown

_TITLES = ("injected", "cases", "tracebacks", "wrong", "lost", "left behind", "minutes")
_EXAMPLES = 3  # cases that are named for each fault


@dataclass
class Row:
    """What a group's cases have shown so far. `problems`: the cases with their problems."""

    group: Group
    cases: int = 0
    seconds: float = 0.0
    problems: list[tuple[int, Problem]] = field(default_factory=list)

    def add(self, shown: Shown) -> None:
        """Add a case. The group's workers share the time that its cases take."""
        self.cases += 1
        self.seconds += shown.seconds / self.group.workers
        self.problems += [(shown.number, problem) for problem in shown.problems]

    def count(self, kind: str) -> int:
        """Count what was lost or left, or how often something else happened."""
        return sum(problem.count for _, problem in self.problems if problem.kind == kind)

    def list_faults(self) -> list[str]:
        """List each different problem once, the most frequent first, with a few of its cases and the whole text."""
        found: dict[str, list[tuple[int, Problem]]] = {}
        for number, problem in self.problems:
            found.setdefault(problem.signature, []).append((number, problem))
        ordered = sorted(found.values(), key=len, reverse=True)
        return [self._describe(same) for same in ordered]

    def _describe(self, same: Sequence[tuple[int, Problem]]) -> str:
        cases = " ".join(str(number) for number in dict.fromkeys(number for number, _ in same[:_EXAMPLES]))
        first = same[0][1]
        text = "\n".join(f"    {line}" for line in first.text.splitlines())
        return f"{self.group.name} {cases}: {first.kind}, {len(same)} times\n{text}"


def render_table(rows: Sequence[Row]) -> str:
    """Render the table as markdown."""
    cells = [[row.group.what, f"{row.cases:,}", *(f"{row.count(kind):,}" for kind in KINDS)] for row in rows]
    cells = [[*line, f"{row.seconds / 60:.1f}"] for line, row in zip(cells, rows, strict=True)]
    total = Counter({kind: sum(row.count(kind) for row in rows) for kind in KINDS})
    cells.append(
        [
            "**all**",
            f"**{sum(row.cases for row in rows):,}**",
            *(f"**{total[kind]:,}**" for kind in KINDS),
            f"**{sum(row.seconds for row in rows) / 60:.0f}**",
        ]
    )
    lines = [list(_TITLES), ["---", *["---:"] * (len(_TITLES) - 1)], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe_machine() -> str:
    """Describe this machine in general words."""
    memory_gib = psutil.virtual_memory().total / 2**30
    form = "{{.Server.Version}}"
    done = subprocess.run(["docker", "version", "--format", form], capture_output=True, text=True, check=False)
    engine = f"Docker {done.stdout.strip()}" if done.returncode == 0 else "no Docker engine"
    kernel = ".".join(platform.release().split(".")[:2])
    cores, python = psutil.cpu_count(), platform.python_version()
    return f"{cores} cores, {memory_gib:.0f} GiB, Linux {kernel}, {engine}, Python {python}"
