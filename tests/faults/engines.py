"""The Docker engine goes away in each phase, comes back or not, and has a full disk."""

import itertools
import time
from collections.abc import Iterator

from tests.e2e.conftest import tiny
from tests.faults.case import Case, Group, Problem, judge_ending
from tests.faults.moments import PHASES, wait_for
from tests.faults.proxy import open_proxy
from tests.faults.runs import DONE, Bench, find_lost, judge_left, judge_run, open_bench

_GONE_S = (0.0, 2.0, None)  # for how long; None: until the run has ended
_CASES = [*itertools.product(PHASES, _GONE_S)]
_PAIRS = ("--self-test", "--preset", "ci", "--max-minutes", "0.2")
_FULL = ("/build", "/containers/create", "/networks/create", "/volumes/create", "/exec", "/start", "/archive")
_MISSING = {"absent": {"image": "localhost:1/nobody:1"}}


def examine_gone(case: Case) -> Iterator[Problem]:
    """Stop the engine's answers in one phase. What could not be removed then, the next run removes."""
    phase, gone_s = _CASES[case.number % len(_CASES)]
    with open_bench(case, "docker") as bench, open_proxy(case.folder) as proxy:
        config = bench.tool.config({"tiny": tiny()}, services=["postgres", "redis"])
        running = bench.start(config, *_PAIRS, DOCKER_HOST=proxy.address)
        if wait_for(running, phase):
            proxy.go()
            if gone_s is not None:
                time.sleep(gone_s)
                proxy.come()
        finished = running.finish()
        yield from judge_ending(finished.status, finished.stderr, DONE)
        yield from find_lost(finished)
        if gone_s is None:
            yield from sweep(bench)
        yield from judge_left(bench)


def sweep(bench: Bench) -> Iterator[Problem]:
    """Start another run, which removes what dead ones left, before it finds that its image is missing."""
    swept = bench.start(bench.tool.config(_MISSING), output="next").finish()
    yield from judge_ending(swept.status, swept.stderr, {3})


def examine_full(case: Case) -> Iterator[Problem]:
    """Let the engine answer that its disk is full, from the beginning or from the first trial on."""
    request, later = _FULL[case.number % len(_FULL)], case.number // len(_FULL) % 2
    with open_bench(case, "docker") as bench, open_proxy(case.folder) as proxy:
        config = bench.tool.config({"tiny": tiny()}, services=["postgres", "redis"])
        proxy.refused = "" if later else request
        running = bench.start(config, *_PAIRS, DOCKER_HOST=proxy.address, DOCKER_BUILDKIT="0")
        if later and wait_for(running, "capacity"):
            proxy.refused = request
        finished = running.finish()
        yield from judge_run(bench, finished, DONE)
        if finished.status == 3 and not later and "no space left" not in finished.stderr:
            yield Problem("wrong", f"the message does not say that the disk is full\n{finished.stderr[-800:]}")


GROUPS = (
    Group("engine-gone", "the engine goes away in each phase", len(_CASES), examine_gone, workers=3),
    Group("engine-full", "the engine's disk is full", 2 * len(_FULL), examine_full, workers=3),
)
