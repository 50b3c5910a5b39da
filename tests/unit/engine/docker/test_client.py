"""Connecting to the engine, and translating its errors."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import APIError, DockerException
from requests.exceptions import ConnectionError as NoConnection

from bench_action.engine.docker.client import connect, translate_errors
from bench_action.model.errors import StackError

pytestmark = [pytest.mark.unit, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """The SDK leaves sockets open that it could not connect: collect them here, not in another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_connect__reports_which_address_does_not_answer_and_what_to_do(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/none.sock"
    with pytest.raises(StackError, match=f"no Docker engine answers at {host}") as caught:
        connect({"DOCKER_HOST": host})
    assert caught.value.exit_status == 3
    assert "DOCKER_HOST" in caught.value.advice
    assert caught.value.cause


@pytest.mark.parametrize(
    "host", ["nonsense://x", "tcp://", "tcp://127.0.0.1:notaport", "http://[::1", "tcp://127.0.0.1:1"]
)
def test_connect__reports_an_invalid_address(host: str) -> None:
    with pytest.raises(StackError, match="no Docker engine answers at"):
        connect({"DOCKER_HOST": host})


def test_connect__reports_missing_certificates(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(StackError, match=r"no Docker engine answers at tcp://127\.0\.0\.1:1"):
        connect(environ)


def test_connect__never_replaces_an_unknown_context() -> None:
    with pytest.raises(StackError, match="at the Docker context 'no-such-context'") as caught:
        connect({"DOCKER_CONTEXT": "no-such-context"})
    assert caught.value.cause == "no such context"


@pytest.mark.parametrize(
    ("error", "cause", "advice"),
    [
        (APIError("500", explanation=" no space left \n"), "no space left", ""),
        (APIError("500", explanation="error setting rlimits for ready process"), "error setting rlimits", "nofile"),
        (APIError("500", explanation="sysctl not allowed in namespace"), "sysctl not allowed", "sysctls"),
        (DockerException("first line\nsecond line"), "first line", ""),
        (NoConnection("reset"), "reset", "docker info"),
        (OSError("broken pipe"), "broken pipe", "docker info"),
    ],
)
def test_translate_errors__adds_cause_and_advice(error: Exception, cause: str, advice: str) -> None:
    with pytest.raises(StackError) as caught, translate_errors("could not start django", where="subject"):
        raise error
    assert caught.value.what.startswith("could not start django")
    assert caught.value.where == "subject"
    assert caught.value.cause.startswith(cause)
    assert advice in caught.value.advice
    assert caught.value.__cause__ is error


def test_translate_errors__does_not_hide_a_bug() -> None:
    with pytest.raises(KeyError), translate_errors("could not start django"):
        raise KeyError("x")
