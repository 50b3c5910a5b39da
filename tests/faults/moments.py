"""Moments of a run: signals at random ones, and services killed in each phase."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import docker
import psutil
from docker.errors import APIError
from tests.e2e.conftest import Running, tiny, trials_in
from tests.faults.case import Case, Group, Problem
from tests.faults.runs import DONE, Bench, judge_run, open_bench

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SERVICES: Mapping[str, Sequence[str]] = {"none": (), "all": ("postgres", "redis")}
_ENGINES = ("local", "local", "docker")
_PAIRS = ("--self-test", "--preset", "ci", "--max-minutes", "0.2")
_LENGTHS_S = (10.0, 20.0)  # of a run, and of one with pairs: about
_PATIENCE_S = 60.0
# how a phase is recognised: by what the run prints, or by a trial
PHASES = ("starting services", "starting subjects", "verifying", "count", "capacity", "latency", "duet")
_PARTS = ("postgres", "redis", "tiny", "load")
KILLS = [*itertools.product(("local", "docker"), PHASES, _PARTS)]


def examine_cancel(case: Case) -> Iterator[Problem]:
    """Send a signal at a random moment of a run, and sometimes a second one."""
    chance = case.chance
    engine = _ENGINES[case.number % len(_ENGINES)]
    services = chance.choice(sorted(_SERVICES))
    options = _PAIRS if chance.random() < 0.4 else ()
    number = chance.choice(_SIGNALS)
    with open_bench(case, engine) as bench:
        running = _start(bench, services, options)
        time.sleep(chance.uniform(0, _LENGTHS_S[bool(options)]))
        running.send_signal(number)
        sent = [number]
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 0.5))
            running.send_signal(second := chance.choice(_SIGNALS))
            sent.append(second)  # on a busy machine, Python may see both at the same time
        # until Python has started, a signal ends it as it ends any process, and nothing has been made yet
        yield from judge_run(bench, running.finish(), {0, *(128 + n for n in sent), *(-n for n in sent)})


def _start(bench: Bench, services: str, options: Sequence[str]) -> Running:
    return bench.start(bench.tool.config({"tiny": tiny()}, services=_SERVICES[services]), *options)


def examine_kill(case: Case) -> Iterator[Problem]:
    """Kill one service, the subject or the load generator, as the kernel does, in one phase."""
    engine, phase, part = KILLS[case.number % len(KILLS)]
    with open_bench(case, engine) as bench:
        running = _start(bench, "all", _PAIRS)
        if wait_for(running, phase):
            _kill(bench, running, part)
        yield from judge_run(bench, running.finish(), DONE)


def wait_for(running: Running, phase: str) -> bool:
    """Wait until a phase has begun; return whether it did."""

    def begun() -> bool:
        log = running.log.read_text(encoding="utf-8", errors="replace")
        if " " in phase or phase == "verifying":
            return phase in log
        return phase in {trial.phase for trial in trials_in(running.output)}

    return _wait(running, begun)


def _wait(running: Running, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while running.process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.03)
    return False


def _kill(bench: Bench, running: Running, part: str) -> None:
    """Kill the first of these that runs, as soon as there is one."""
    _wait(running, lambda: _kill_container(bench, part) if bench.sites[1] else _kill_process(bench, part))


def _kill_container(bench: Bench, part: str) -> bool:
    client: docker.DockerClient = bench.footprint.client
    running = [name for name in bench.footprint.containers() if name.endswith(f"-{part}")]
    try:
        for name in running[:1]:
            client.api.kill(name)
    except APIError:  # it is not running yet
        return False
    return bool(running)


def _kill_process(bench: Bench, part: str) -> bool:
    """Kill a process of this machine; those of the load generator are sessions."""
    for file in bench.sites[0].list_pid_files(sessions=part == "load"):
        if part == "load" or file.stem.endswith(part):
            pid = int(file.read_text(encoding="ascii") or 0)
            if pid and psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
                return True
    return False


GROUPS = (
    Group("cancel", "signals at random moments", 200, examine_cancel, workers=4),
    Group("kill", "services killed in each phase", len(KILLS), examine_kill, workers=3),
)
