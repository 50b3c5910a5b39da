"""Judge stored runs again: a file of `replays/` has a run's trials, all else that `assemble` takes, and the values.

`docker-*` and `local-*` were measured on a shared virtual machine with 2 cores; `simulated-*` come from
`benchmarks/alarms`, edited by hand so that a block is dropped, base is lost, or counts vary. If a value is meant to
change, store the new ones with `python -m tests.unit.compare.replay`, and explain the difference in the commit.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from bench_action.compare.assemble import Facts, Measured, assemble
from bench_action.config.baseline import Lack
from bench_action.config.gates import Gate
from bench_action.config.load import Project
from bench_action.config.rules import AppliedRules
from bench_action.config.schema import Config, ExpectedWork, Policy
from bench_action.model.errors import BenchError, StackError
from bench_action.model.machine import Machine
from bench_action.model.result import Result, RuleChange, RunInfo, Source, SubjectInfo, Trial
from bench_action.model.warning import RunWarning
from bench_action.plan.blocks import Cell
from bench_action.plan.design import make_design
from bench_action.plan.placement import Placement
from bench_action.plan.plan import Plan
from bench_action.stats.sequential import Course

FOLDER = Path(__file__).parent / "replays"
NAMES = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))
_TEXTS = {"message", "advice", "reason"}  # wording may change, but a text may not appear or vanish
_INPUTS: dict[str, Any] = {
    **dict.fromkeys(("run", "timings", "source", "profiles", "subjects", "trials", "noise", "control"), True),
    **dict.fromkeys(("schema_version", "rule_changes"), True),
    "environment": {"architecture", "runner"},
}


def read_replay(name: str) -> dict[str, Any]:
    """Read a stored run."""
    replay: dict[str, Any] = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    return replay


def assemble_replay(replay: dict[str, Any]) -> Result:
    """Assemble the result of a stored run by today's code: the only place that knows what `assemble` takes."""
    config, applied = Config.model_validate(replay["config"]), replay["judging"]
    project = Project(config, Policy.model_validate(replay["policy"]), replay["preset"], Path(), "bench.yml")
    assert {name: gate.model_dump() for name, gate in config.all_gates.items()} == replay["gates"]
    lacks = {Cell(*cell): Lack(status, reason, tuple(log)) for cell, status, reason, log in replay["lacks"]}
    plan = Plan(
        project=project,
        subjects=tuple(SubjectInfo.model_validate(subject) for subject in replay["subjects"]),
        design=make_design(
            [(variant, revision) for variant, revision in replay["measured"]],
            list(project.profiles),
            [(base, head) for base, head in replay["compare"]],
            duets=bool(replay["places"]),
            seed=0,
            without=lacks,
            boot_s=replay["boot_s"],
        ),
        places=tuple(Placement(tuple(own), tuple(services), tuple(load)) for own, services, load in replay["places"]),
        lacks=lacks,
        unpinned=replay["unpinned"],
    )
    measured = Measured(
        trials=tuple(Trial.model_validate(trial) for trial in replay["trials"]),
        dropped=tuple(RunWarning.model_validate(warning) for warning in replay["dropped"]),
        lost={variant: StackError(what, log=log) for variant, what, log in replay["lost"]},
        times={(phase, pair): seconds for phase, pair, seconds in replay["times"]},
        courses={(pair, phase): Course(cap, ended=not decided) for pair, phase, cap, decided in replay["courses"]},
        stopped=BenchError(replay["stopped"]) if replay["stopped"] else None,
    )
    facts = Facts(
        run=RunInfo.model_validate(replay["run"]),
        source=Source.model_validate(replay["source"]),
        machine=Machine(**replay["machine"]),
        generator=replay["generator"],
        images=replay["images"],
        control=replay["control"],
        compares=replay["compares"],
        applied=AppliedRules(
            applied["rules"],
            tuple(RuleChange.model_validate(change) for change in applied["changes"]),
            {name: Gate(**gate) for name, gate in applied["head_gates"].items()},
            {name: ExpectedWork.model_validate(work) for name, work in applied["head_work"].items()},
        ),
    )
    return assemble(plan, measured, facts)


def take_values(result: Result) -> Any:
    """Take every value of a result that follows from its trials; of a text only whether there is one."""
    values = json.loads(result.model_dump_json(exclude=_INPUTS))
    values["placement"] = sorted(values["placement"])
    return _without_texts(values)


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: bool(item) if name in _TEXTS else _without_texts(item) for name, item in value.items()}
    return [_without_texts(item) for item in value] if isinstance(value, list) else value


def store_replay(name: str, replay: dict[str, Any]) -> None:
    """Store a run with the values that today's code gives it; the same run gives the same bytes."""
    replay["values"] = take_values(assemble_replay(replay))
    text = json.dumps(replay, ensure_ascii=False, separators=(",", ":"))
    (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    for name in NAMES:
        store_replay(name, read_replay(name))
