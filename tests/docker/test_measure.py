"""Measuring on a real stack: data that a trial wrote are removed before the next one."""

import pytest
from tests.quiet import Quiet

from bench_action.config.load import Project
from bench_action.measure.measurer import Measurer
from bench_action.model.result import Trial, Work
from bench_action.plan.blocks import COUNTS, Cell, make_solo_blocks
from bench_action.stack.stack import Stack

pytestmark = pytest.mark.docker

SEED = 20
COUNTED = 10


def test_measurer__renews_the_data_before_each_trial_that_writes(stack: Stack, project: Project) -> None:
    subject = stack.subject("aiohttp", "head")
    rows_after: list[tuple[Trial, int]] = []

    def store(trial: Trial) -> None:
        assert subject.database is not None
        rows_after.append((trial, int(subject.database.execute("SELECT count(*) FROM item")[0])))

    plan = make_solo_blocks([Cell("aiohttp", "head", "writing")], blocks=2, warmup_s=0, seed=1, renew=True)
    Measurer(stack, project.find_profile, COUNTED, 2, Quiet(), store).walk(plan)

    counts, capacity = rows_after[:COUNTS], rows_after[COUNTS:]
    assert [rows for _, rows in counts] == [SEED + COUNTED * n for n in range(1, COUNTS + 1)]
    for count, _ in counts:
        assert (count.work.queries, count.work.rows, count.work.cache_commands) == (COUNTED, COUNTED, 0)
    assert [count.idle for count, _ in counts] == [None, None, *[Work(queries=0, rows=0, cache_commands=0)] * 4]
    assert all(count.idle_s >= count.wall_s for count, _ in counts[2:])
    assert [trial.block for trial, _ in capacity] == [1, 2]
    connections = project.profiles["writing"].connections
    for trial, rows in capacity:
        # exactly what this trial wrote; requests that wrk no longer waited for may still arrive
        assert SEED + trial.work.rows <= rows <= SEED + trial.work.rows + connections
        assert trial.successful <= trial.work.rows
        assert trial.successful > 0
