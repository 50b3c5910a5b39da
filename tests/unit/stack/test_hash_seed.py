"""Which programs use a hash seed that they are given."""

from collections.abc import Sequence

import pytest

from bench_action.engine.protocol import Program
from bench_action.stack.hash_seed import StartTimes, takes_hash_seed

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        (["python", "-m", "shop"], [], True),
        (["/usr/bin/python3.12", "app.py"], [], True),
        (["/bin/sh", "-c", "exec gunicorn shop.wsgi --workers 2"], [], True),
        (["/app/.venv/bin/uvicorn", "shop:app"], [], True),
        (["uv", "run", "shop"], [], True),
        (["pypy3", "app.py"], [], True),
        (["./entrypoint.sh"], ["PYTHON_VERSION", "PATH"], True),
        (["./entrypoint.sh"], ["PYPY_VERSION"], True),
        (["python", "-m", "shop"], ["PYTHONHASHSEED"], False),
        (["node", "server.js"], ["NODE_VERSION"], False),
        (["java", "-jar", "/app/uvw.jar"], ["JAVA_VERSION"], False),
        (["./entrypoint.sh"], ["PATH"], False),
        ([], [], False),
    ],
)
def test_takes_hash_seed__python_without_one(words: Sequence[str], variables: Sequence[str], expected: bool) -> None:
    assert takes_hash_seed(Program(words, set(variables))) is expected


@pytest.mark.parametrize(
    ("made_s", "restarted_s", "expected"),
    [
        (None, None, True),
        (2.5, None, True),
        (2.5, 0.5, True),
        (8.0, None, False),  # it may be as long after a restart, which is to be seen first
        (8.0, 7.0, True),
        (8.0, 2.0, False),
    ],
)
def test_start_times__allow_seeds_that_cost_no_more_than_they_save(
    made_s: float | None, restarted_s: float | None, expected: bool
) -> None:
    times = StartTimes()
    for seconds, made in ((made_s, True), (restarted_s, False)):
        if seconds is not None:
            times.add(seconds, made=made)
    assert times.allow_seeds is expected
