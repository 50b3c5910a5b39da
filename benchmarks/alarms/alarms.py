"""Count how often unchanged code is called regressed, by each way to a verdict, on a machine whose speed varies.

    .venv/bin/python -m benchmarks.alarms.alarms [RUNS]

Prints the table of docs/how-it-decides.md, "False alarms by every way to a verdict". With 4,000 runs of each kind it
takes about an hour of one CPU; a share is known to ± 0.2 points then.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.alarms.simulated import SCENARIOS, Outcome, Scenario, simulate

_SEED = 20261127


@dataclass(frozen=True, slots=True)
class Row:
    """The verdicts on a number of runs of one kind."""

    name: str
    runs: int
    verdicts: Counter[str]
    notable: int

    @property
    def regressed(self) -> float:
        """The share of runs that were called regressed."""
        return self.verdicts["regressed"] / self.runs

    def __str__(self) -> str:
        shares = [self.verdicts[name] / self.runs for name in ("regressed", "improved", "inconclusive")]
        listed = " | ".join(f"{100 * share:.1f} %" for share in (*shares, self.notable / self.runs))
        return f"| {self.name} | {self.runs:,} | {listed} |"


def simulate_runs(scenario: Scenario, runs: int, seed: int = _SEED) -> Iterator[Outcome]:
    """Simulate runs, the same ones each time."""
    for run in range(runs):
        yield simulate(scenario, np.random.default_rng([seed, run]))


def count_verdicts(scenario: Scenario, runs: int, name: str = "") -> Row:
    """Simulate runs and count their verdicts."""
    verdicts, notable = Counter[str](), 0
    for outcome in simulate_runs(scenario, runs):
        verdicts[outcome.verdict] += 1
        notable += outcome.notable
    return Row(name or scenario.name, runs, verdicts, notable)


def main(runs: int) -> None:
    """Print both tables."""
    print("| unchanged code | runs | regressed | improved | inconclusive | a loss was noted |")
    print("|---|---:|---:|---:|---:|---:|")
    for scenario in SCENARIOS:
        print(count_verdicts(scenario, runs), flush=True)
    print("\n| head is slower | runs | regressed | improved | inconclusive | a loss was noted |")
    print("|---|---:|---:|---:|---:|---:|")
    for scenario in SCENARIOS:
        if scenario.name in {"duets", "turns: the CPU is idle", "turns: one CPU"}:
            for slowdown in (0.05, 0.20, 0.40):
                changed = replace(scenario, slowdown=slowdown)
                print(
                    count_verdicts(changed, max(20, runs // 10), f"{scenario.name}, {100 * slowdown:.0f} % more"),
                    flush=True,
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
