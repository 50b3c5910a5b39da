"""What the harness itself costs: `.venv/bin/python benchmarks/harness.py` (docs/architecture.md shows its figures).

Prints the seconds from start to the first trial (images built before), the seconds that a trial takes beyond wrk's own
duration, the tool's peak memory, and the rate that wrk reports through us against bare wrk on the same container.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from rich.console import Console

from bench_action.cli.interrupts import SignalInterrupts
from bench_action.config.load import Project, load_project
from bench_action.engine.docker import DockerEngine
from bench_action.engine.ownership import Ownership
from bench_action.measure.measurer import Measurer
from bench_action.plan.blocks import Block, Cell, Step
from bench_action.report.progress import PlainProgress
from bench_action.stack.cleanup import cleaned_up
from bench_action.stack.stack import Stack, bring_up
from bench_action.stats.interval import estimate_ratio

_PAIRS = 15
_VARIANT = "aiohttp-tuned"


def main() -> None:
    """Measure and print; the first run builds what is not built yet."""
    with tempfile.TemporaryDirectory() as folder:
        run_quick(Path(folder))
        started, peak_mib = run_quick(Path(folder))
        trials = [json.loads(line) for line in (Path(folder) / "trials.jsonl").read_text().splitlines()]
    print_run(trials, started, peak_mib)
    print_rates(*against_bare_wrk())


def run_quick(output: Path) -> tuple[datetime, float]:
    """The four built-in variants as a user runs them: when it began, and its peak memory in MiB."""
    started = datetime.now(UTC)
    command = [sys.executable, "-m", "bench_action", "run", "--preset", "quick", "--output", str(output)]
    pid = os.posix_spawn(sys.executable, command, dict(os.environ))
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"the run ended with status {os.waitstatus_to_exitcode(status)}")
    return started, usage.ru_maxrss / 1024


def print_run(trials: Sequence[dict[str, Any]], started: datetime, peak_mib: float) -> None:
    """What a whole run shows about the harness."""
    began = [datetime.fromisoformat(trial["started_at"]) for trial in trials]
    capacity = [
        (at, trial["duration_s"]) for at, trial in zip(began, trials, strict=True) if trial["phase"] == "capacity"
    ]
    beyond = [(later - at).total_seconds() - duration for (at, duration), (later, _) in pairwise(capacity)]
    print(f"start to first trial   {(began[0] - started).total_seconds():.1f} s (warm-up of 2 s included)")
    print(f"a trial beyond wrk     {median(beyond):.2f} s (median of {len(beyond)}; highest {max(beyond):.2f} s)")
    print(f"peak memory            {peak_mib:.0f} MiB")


def against_bare_wrk() -> tuple[list[float], list[float]]:
    """Requests/s of bare wrk and through us, in turn, on one container."""
    environ = dict(os.environ)
    project = load_project(None, "quick", variants=[_VARIANT])
    progress = PlainProgress(Console(stderr=True))
    engine = DockerEngine(Ownership.claim("harness", ""), environ)
    with cleaned_up(engine, SignalInterrupts(), progress.warn):
        stack = bring_up(engine, project, {}, progress)
        measurer = Measurer(stack, project.find_profile, 1, os.cpu_count() or 1, progress, store=lambda _: None)
        bare, ours = [], []
        for number in range(_PAIRS):
            turns: list[Callable[[], None]] = [
                lambda: bare.append(bare_rate(stack, project)),
                lambda: ours.append(our_rate(measurer, project)),
            ]
            for turn in turns if number % 2 else reversed(turns):
                turn()
    return bare, ours


def bare_rate(stack: Stack, project: Project) -> float:
    """wrk's own report, read from its text."""
    (profile,) = project.profiles.values()
    handle = stack.subjects[0].handle
    argv = ["wrk", f"-c{profile.connections}", f"-t{profile.threads}", f"-d{profile.duration}s"]
    _, text = stack.engine.exec(stack.load, [*argv, f"http://{handle.address}:{handle.port}{profile.path}"])
    found = re.search(r"Requests/sec:\s*([\d.]+)", text)
    if found is None:
        sys.exit(f"bare wrk reported nothing:\n{text}")
    return float(found[1])


def our_rate(measurer: Measurer, project: Project) -> float:
    """One trial, as a run takes it."""
    step = Step(0, (Cell(_VARIANT, "head", next(iter(project.profiles))),))
    return measurer.walk([Block("capacity", 1, (step,))])[-1].requests_per_second


def print_rates(bare: Sequence[float], ours: Sequence[float]) -> None:
    """Both rates with their spread, and their ratio."""
    for name, rates in (("bare wrk", bare), ("through us", ours)):
        print(f"{name:<22} {fmean(rates):.0f} requests/s, sd {stdev(rates) / fmean(rates):.1%} between runs")
    found = estimate_ratio(bare, ours)
    if found is not None and found.interval is not None:
        low, high = found.interval.low, found.interval.high
        print(f"ratio                  {found.ratio:.3f} (99 % interval {low:.3f} to {high:.3f}, {len(bare)} pairs)")


if __name__ == "__main__":
    main()
