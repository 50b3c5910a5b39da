"""Measure whether real changes are found, and nothing else: real builds of two revisions, measured as a user would.

    python -m benchmarks.detection run                     what is missing in any table; continues where it stopped
    python -m benchmarks.detection run --only node         only what is missing in this one
    python -m benchmarks.detection run --minutes 60        begin no further run after an hour
    python -m benchmarks.detection run --engine local      only with the local engine
    python -m benchmarks.detection table --only node       the table, as markdown

As root, because the runs of `hosts` are over three machines in namespaces of this one, and the local engine starts
programs as other accounts.

Each run is `bench-action run --preset ci --baseline BASE` on a git repository made for it, whose head differs from base
in one thing. The size of a slowdown is known: duets with a long loop show the cost of a turn of a loop
(`share_of_a_turn`). Runs are kept, block by block, in `recordings/`.
"""

import argparse
import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.records import kept_counts, name_recordings, record, recorded
from benchmarks.detection.runs import RunError, counted, loops_of, measure, over_hosts, prepare
from benchmarks.detection.scenarios import CALIBRATIONS, COUNTED, SCENARIOS, Scenario

_KINDS_OF_COSTS = {"services": "changes", "slow-start": "aims"}  # whose calibration shows the cost of a turn
_ENGINES = ("docker", "local")
_FAILURES = 3  # in a row


def main() -> None:
    """Run what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["run", "table"])
    parser.add_argument("--engine", choices=_ENGINES, help="only this one")
    parser.add_argument("--only", choices=[*SCENARIOS], help="one kind of scenarios")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further run after so long")
    asked = parser.parse_args()
    deadline = time.monotonic() + 60 * asked.minutes
    for engine in [asked.engine] if asked.engine else _ENGINES:
        for kind in [asked.only] if asked.only else SCENARIOS:
            if asked.do == "table":
                print_table(kind, engine)
            elif kind == "counts":
                run_counts(engine, deadline)
            else:
                run_missing(kind, engine, deadline)


def print_table(kind: str, engine: str) -> None:
    """Print what was recorded of a kind of scenarios."""
    scenarios, runs = SCENARIOS[kind], recorded(name_recordings(engine, kind))
    if not runs:
        return
    print(f"\n{kind}, {engine}\n")
    match kind:
        case "counts":
            tables.print_counts(scenarios, runs)
        case "services":
            tables.print_services(scenarios, runs, recorded(_name_calibration(engine, kind)))
        case "rates":
            tables.print_rates(scenarios, runs)
        case _:
            tables.print_changes(scenarios, runs, recorded(_name_calibration(engine, kind)))
            print()
            tables.print_pooled(runs)


def _name_calibration(engine: str, kind: str) -> str:
    return name_recordings(engine, _KINDS_OF_COSTS.get(kind, kind))


def run_missing(kind: str, engine: str, deadline: float) -> None:
    """Run each scenario in turn, until each has as many runs as it wants or the time is up."""
    if not list_missing(kind, engine):
        return
    if engine == "docker":
        prepare(SCENARIOS[kind])
    failures = 0
    hosts: AbstractContextManager[list[str]] = over_hosts() if kind == "hosts" else nullcontext([])
    with hosts as options:
        while time.monotonic() < deadline and (missing := list_missing(kind, engine)):
            try:
                run_one(kind, engine, missing[0], options)
            except RunError as error:
                print(error, flush=True)
                failures += 1
                if failures == _FAILURES:
                    raise
            else:
                failures = 0


def list_missing(kind: str, engine: str) -> list[Scenario]:
    """List the scenarios that want more runs: calibrations first, and then what has the smallest part of its runs.

    So a table half done is fair to all.
    """
    counts = Counter(run["scenario"] for run in recorded(name_recordings(engine, kind)))
    missing = [one for one in SCENARIOS[kind] if counts[one.name] < one.count_wanted(engine)]
    return sorted(missing, key=lambda one: (one.name not in CALIBRATIONS, counts[one.name] / one.count_wanted(engine)))


def run_one(kind: str, engine: str, scenario: Scenario, options: Sequence[str]) -> None:
    """Run a scenario once more, with these options, and keep the run. Raises RunError."""
    name, calibration = name_recordings(engine, kind), recorded(_name_calibration(engine, kind))
    number = sum(run["scenario"] == scenario.name for run in recorded(name))
    wanted = scenario.count_wanted(engine)
    print(f"{time.strftime('%H:%M:%S')} {kind}: {scenario.name}, run {number + 1} of {wanted}", flush=True)
    record(name, measure(engine, scenario, number, loops_of(calibration, scenario), options))


def run_counts(engine: str, deadline: float) -> None:
    """Run all kinds of background work at the same time, as variants of one application, until there are enough."""
    name, wanted = name_recordings(engine, "counts"), COUNTED[0].count_wanted(engine)
    while time.monotonic() < deadline:
        done = {run["seed"] for run in recorded(name)}
        missing = [seed for seed in range(wanted) if seed not in done]
        if not missing:
            return
        print(f"{time.strftime('%H:%M:%S')} counts: run {len(done) + 1} of {wanted}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = counted(engine, Path(folder), missing[0])
            except RunError as error:  # such as a machine that was too busy to start twenty containers in time
                print(f"{error}\ntrying again", flush=True)
                continue
        for number, scenario in enumerate(COUNTED):
            record(name, {"scenario": scenario.name, "seed": missing[0]} | kept_counts(result, f"kind-{number}"))


if __name__ == "__main__":
    main()
