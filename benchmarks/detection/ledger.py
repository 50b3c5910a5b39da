"""Append the recorded runs of unchanged code to a history, as entries of the ledger (`bench-action ledger`).

    .venv/bin/python -m benchmarks.detection.ledger --store PATH [--branch NAME]

A run that the history has is not appended again, so the command may be repeated when there are more recordings.
Recordings from before 2026-11-28 name their machine by its fingerprint, which shows which of the known ones it was.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks.detection.records import name_recordings, recorded
from benchmarks.detection.scenarios import SCENARIOS, Scenario

from bench_action.compare.assemble import fingerprint
from bench_action.config.load import load_policy
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.opening import open_history
from bench_action.history.record import Record, UnchangedCode
from bench_action.model.machine import Machine
from bench_action.model.wording import plural

_MACHINES = (("AMD EPYC", 2, 24, "x86_64"), ("Intel(R) Xeon(R) Processor", 2, 24, "x86_64"))  # cores, memory in GiB
_PRESET = "ci"  # of every recorded run
_GATED = {"unchanged", "regressed", "improved", "inconclusive"}  # verdicts of a comparison that has a gate


def main() -> None:
    """Append what the history lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, metavar="PATH", help="a folder, a git repository, or its address")
    parser.add_argument("--branch", default=DEFAULT_BRANCH, metavar="NAME", help="the repository's branch")
    given = parser.parse_args()
    records = list(read_records())
    with open_history(given.store, given.branch, warn=print) as store:
        new = store.append(records)
    print(f"{plural(new, 'new record')}, {len(records) - new} already there")


def read_records() -> Iterator[Record]:
    """Read the recorded runs of unchanged code, with a record for each."""
    for engine, kind in itertools.product(("docker", "local"), SCENARIOS):
        scenarios, name = {scenario.name: scenario for scenario in SCENARIOS[kind]}, name_recordings(engine, kind)
        for run in recorded(name):
            scenario = scenarios.get(run["scenario"])
            if scenario is not None and scenario.unchanged and "verdict" in run:
                yield make_record(name, scenario, run)


def identify_machine(name: str) -> dict[str, Any]:
    """Find CPU, cores and architecture of the known machine that has a fingerprint; nothing for another one."""
    for cpu, cores, memory_gib, architecture in _MACHINES:
        machine = Machine(cores, 1024 * memory_gib, "", "")
        if fingerprint(machine, {"cpu_model": cpu, "machine": architecture}) == name:
            return {"cpu_model": cpu, "cores": cores, "architecture": architecture}
    return {}


def make_record(name: str, scenario: Scenario, run: Mapping[str, Any]) -> Record:
    """Make the record of a recorded run. `name`: of its recordings, which begins with the engine's."""
    run = {**identify_machine(run["fingerprint"]), **run}
    at = datetime.fromisoformat(run["started_at"]).astimezone(UTC)
    (profile,) = load_policy(_PRESET).profiles
    gated = [one for one in run["comparisons"] if one["verdict"] in _GATED]
    return Record(
        run_id=run.get("id", f"{at:%Y%m%d-%H%M%S}-{name}-{run['seed']}"),
        at=run["started_at"],
        sha="",
        ref="",
        config="benchmarks/detection",
        preset=_PRESET,
        engine=name.partition("-")[0],
        tool_version=run.get("tool_version", ""),
        fingerprint=run["fingerprint"],
        cpu_model=run.get("cpu_model", ""),
        variant=scenario.application.name,
        profile=run.get("profile", profile),
        blocks=max((one["blocks"] for one in run["comparisons"]), default=0),
        metrics={},
        control={},
        control_id="",
        work=None,
        unchanged=UnchangedCode(
            verdict=run["verdict"],
            alarms={one["metric"]: one["verdict"] for one in gated if one["verdict"] in {"regressed", "improved"}},
            detectable={one["metric"]: one["smallest_detectable"] for one in gated if one.get("smallest_detectable")},
            architecture=run.get("architecture", ""),
            cores=run.get("cores", 0),
        ),
    )


if __name__ == "__main__":
    main()
