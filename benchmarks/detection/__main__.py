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
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.records import kept_counts, name_recordings, record, recorded
from benchmarks.detection.runs import RunError, counted, loops_of, measure, over_hosts, prepare
from benchmarks.detection.scenarios import CALIBRATIONS, COUNTED, SCENARIOS, Scenario

_KINDS_OF_COSTS = {
    "services": "changes",
    "slow-start": "aims",
    "jvm-level-only": "jvm",
    "jvm-one-look": "jvm",
}  # whose calibration shows the cost of a turn
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
    deadline, complete = time.monotonic() + 60 * asked.minutes, True
    for engine in [asked.engine] if asked.engine else _ENGINES:
        for kind in [asked.only] if asked.only else SCENARIOS:
            if asked.do == "table":
                print_table(kind, engine)
            elif kind == "counts":
                complete &= repeat(partial(run_next_counts, engine), deadline)
            else:
                complete &= run_missing(kind, engine, deadline)
    if not complete:
        raise SystemExit("runs are missing: too many failed")


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


def run_missing(kind: str, engine: str, deadline: float) -> bool:
    """Run each scenario in turn, until each has as many runs as it wants or the time is up; False if given up."""
    if not list_missing(kind, engine):
        return True
    if engine == "docker":
        prepare(SCENARIOS[kind])
    hosts: AbstractContextManager[list[str]] = over_hosts() if kind == "hosts" else nullcontext([])
    with hosts as options:
        return repeat(lambda: run_next(kind, engine, options), deadline)


def repeat(run: Callable[[], bool], deadline: float) -> bool:
    """Run until nothing is missing, or the time is up; False if it is given up.

    A machine may be too busy now and then; after three failures in a row this kind is given up.
    """
    failures = 0
    while time.monotonic() < deadline and failures < _FAILURES:
        try:
            if not run():
                return True
            failures = 0
        except RunError as error:
            print(f"{error}\ntrying again", flush=True)
            failures += 1
    if failures == _FAILURES:
        print("given up", flush=True)
    return failures < _FAILURES


def list_missing(kind: str, engine: str) -> list[Scenario]:
    """List the scenarios that want more runs: calibrations first, and then what has the smallest part of its runs.

    So a table half done is fair to all.
    """
    counts = Counter(run["scenario"] for run in recorded(name_recordings(engine, kind)))
    missing = [one for one in SCENARIOS[kind] if counts[one.name] < one.count_wanted(engine)]
    return sorted(missing, key=lambda one: (one.name not in CALIBRATIONS, counts[one.name] / one.count_wanted(engine)))


def run_next(kind: str, engine: str, options: Sequence[str]) -> bool:
    """Run the next scenario once more, with these options, and keep the run. False if none is missing."""
    missing = list_missing(kind, engine)
    if not missing:
        return False
    scenario = missing[0]
    name, calibration = name_recordings(engine, kind), recorded(_name_calibration(engine, kind))
    number = sum(run["scenario"] == scenario.name for run in recorded(name))
    wanted = scenario.count_wanted(engine)
    print(f"{time.strftime('%H:%M:%S')} {kind}: {scenario.name}, run {number + 1} of {wanted}", flush=True)
    record(name, measure(engine, scenario, number, loops_of(calibration, scenario), options))
    return True


def run_next_counts(engine: str) -> bool:
    """Run all kinds of background work at the same time, as variants of one application. False if none is missing."""
    name, wanted = name_recordings(engine, "counts"), COUNTED[0].count_wanted(engine)
    done = {run["seed"] for run in recorded(name)}
    missing = [seed for seed in range(wanted) if seed not in done]
    if not missing:
        return False
    print(f"{time.strftime('%H:%M:%S')} counts: run {len(done) + 1} of {wanted}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = counted(engine, Path(folder), missing[0])
    for number, scenario in enumerate(COUNTED):
        record(name, {"scenario": scenario.name, "seed": missing[0]} | kept_counts(result, f"kind-{number}"))
    return True


if __name__ == "__main__":
    main()
