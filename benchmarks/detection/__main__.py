"""Measure whether real changes are found, and nothing else: real builds of two revisions, measured as a user would.

    python -m benchmarks.detection run                     what is missing in any table; continues where it stopped
    python -m benchmarks.detection run --only node         only what is missing in this one
    python -m benchmarks.detection run --minutes 60        begin no further run after an hour
    python -m benchmarks.detection run --engine local      the local engine instead of Docker
    python -m benchmarks.detection run --only hosts        over three hosts in namespaces of this machine; as root
    python -m benchmarks.detection table --only node

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
from pathlib import Path

from benchmarks.detection import tables
from benchmarks.detection.records import kept_counts, name_recordings, record, recorded
from benchmarks.detection.runs import RunError, counted, loops_of, measure, over_hosts, prepare
from benchmarks.detection.scenarios import CALIBRATIONS, COUNTED, COUNTED_RUNS, SCENARIOS

_KINDS_OF_COSTS = {"unchanged": "changes", "services": "changes"}  # whose calibration shows the cost of a turn


def main() -> None:
    """Run what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["run", "table"])
    parser.add_argument("--engine", choices=["docker", "local"], default="docker")
    parser.add_argument("--only", choices=[*SCENARIOS], help="one kind of scenarios")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further run after so long")
    asked = parser.parse_args()
    deadline = time.monotonic() + 60 * asked.minutes
    for kind in [asked.only] if asked.only else SCENARIOS:
        if asked.do == "table":
            print_table(kind, asked.engine)
        elif kind == "counts":
            run_counts(asked.engine, deadline)
        elif kind == "hosts":
            with over_hosts() as options:
                run_missing(kind, asked.engine, deadline, options)
        else:
            run_missing(kind, asked.engine, deadline)


def print_table(kind: str, engine: str) -> None:
    """Print what was recorded of a kind of scenarios."""
    scenarios, runs = SCENARIOS[kind], recorded(name_recordings(engine, kind))
    if not runs:
        print("no run is recorded")
        return
    match kind:
        case "counts":
            tables.print_counts(scenarios, runs)
        case "unchanged":
            tables.print_unchanged(scenarios, runs)
        case "services":
            tables.print_services(scenarios, runs, recorded(engine))
        case "rates":
            tables.print_rates(scenarios, runs)
        case _:
            tables.print_changes(scenarios, runs)
            print()
            tables.print_pooled(runs)


def run_missing(kind: str, engine: str, deadline: float, options: Sequence[str] = ()) -> None:
    """One run of each scenario in turn, until each has as many as it wants or the time is up; with these options."""
    if engine == "docker":
        prepare(SCENARIOS[kind])
    name, calibration = name_recordings(engine, kind), name_recordings(engine, _KINDS_OF_COSTS.get(kind, kind))
    while time.monotonic() < deadline:
        counts = Counter(run["scenario"] for run in recorded(name))
        missing = [one for one in SCENARIOS[kind] if counts[one.name] < one.count_wanted(engine)]
        if not missing:
            return
        # whichever has the smallest part of its runs, so that a table half done is fair to all
        chosen = min(
            missing, key=lambda one: (one.name not in CALIBRATIONS, counts[one.name] / one.count_wanted(engine))
        )
        number, wanted = counts[chosen.name], chosen.count_wanted(engine)
        print(f"{time.strftime('%H:%M:%S')} {kind}: {chosen.name}, run {number + 1} of {wanted}", flush=True)
        record(name, measure(engine, chosen, number, loops_of(recorded(calibration), chosen), options))


def run_counts(engine: str, deadline: float) -> None:
    """Runs of which each has all kinds of background work, as variants of one application, until there are enough."""
    name = name_recordings(engine, "counts")
    while time.monotonic() < deadline:
        done = {run["seed"] for run in recorded(name)}
        missing = [seed for seed in range(COUNTED_RUNS) if seed not in done]
        if not missing:
            return
        print(f"{time.strftime('%H:%M:%S')} run {len(done) + 1} of {COUNTED_RUNS}", flush=True)
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
