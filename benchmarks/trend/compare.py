"""Compare rules over a history: how well each finds a known step, and how often it raises a false alarm.

    python -m benchmarks.trend.compare [SERIES]

Each rule reads the same simulated histories: 60 records before any alarm counts, then a year of daily runs without a
change (false alarms), or 30 records after a step (found, and after how many records). Seeded; takes half a minute.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from benchmarks.trend.rules import (
    Rule,
    bencher_percentage,
    bencher_t_test,
    bencher_z_score,
    ours,
    previous_times,
)
from benchmarks.trend.simulated import Values, histories

BEFORE, YEAR, AFTER = 60, 365, 30
STEPS = (0.02, 0.05, 0.10, 0.30)
RULES: dict[str, Rule] = {
    "github-action-benchmark 200 %": previous_times(2.0),
    "github-action-benchmark 150 %": previous_times(1.5),
    "github-action-benchmark 110 %": previous_times(1.1),
    "Bencher percentage 25 %": bencher_percentage(),
    "Bencher t_test 0.99": bencher_t_test(),
    "Bencher z_score 0.99": bencher_z_score(),
    "bench-action change points": ours,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One rule on one kind of series: shares of histories with a false alarm in a year, and found for each step."""

    rule: str
    values: str
    false_alarms: float
    found: tuple[tuple[float, float | None], ...]


def compare(series: int, seed: int = 20261126) -> list[Row]:
    """Compare all rules on plain values and on ratios of `series` histories each."""
    quiet = histories(np.random.default_rng(seed), series, BEFORE + YEAR)
    stepped = [
        histories(np.random.default_rng([seed, number]), series, BEFORE + AFTER, step, BEFORE)
        for number, step in enumerate(STEPS, 1)
    ]
    return [
        Row(
            rule,
            kind,
            sum(RULES[rule](history, BEFORE) is not None for history in getattr(quiet, kind)) / series,
            tuple(_count_found(RULES[rule], getattr(simulated, kind)) for simulated in stepped),
        )
        for kind in ("plain", "ratio")
        for rule in RULES
    ]


def _count_found(rule: Rule, histories: Values) -> tuple[float, float | None]:
    alarms = [rule(history, BEFORE) for history in histories]
    delays = [alarm - BEFORE + 1 for alarm in alarms if alarm is not None]
    return len(delays) / len(alarms), median(delays) if delays else None


def print_table(rows: Sequence[Row], series: int) -> None:
    """Print the table as markdown."""
    steps = " | ".join(f"−{step:.0%}" for step in STEPS)
    print(f"{series} histories each; found within {AFTER} records of the step (median records until the alarm)\n")
    print(f"| series | rule | with a false alarm in a year | {steps} |")
    print("| --- | --- | ---: " + "| ---: " * len(STEPS) + "|")
    for row in rows:
        found = " | ".join(f"{share:.0%}" + ("" if at is None else f" ({at:g})") for share, at in row.found)
        name = "requests/s" if row.values == "plain" else "÷ control"
        print(f"| {name} | {row.rule} | {row.false_alarms:.1%} | {found} |")


def main() -> None:
    """Simulate, and print the table."""
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print_table(compare(series), series)


if __name__ == "__main__":
    main()
