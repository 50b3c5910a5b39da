"""Which programs use a hash seed that they are given."""

from collections.abc import Sequence

import pytest

from bench_action.engine.protocol import Program
from bench_action.stack.hash_seed import takes_hash_seed

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
