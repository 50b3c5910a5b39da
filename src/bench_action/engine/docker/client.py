"""Connecting to the Docker engine, and turning its errors into ones that a person can act on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.context import ContextAPI
from docker.errors import DockerException
from requests.exceptions import RequestException

from bench_action.model.errors import StackError


def connect(environ: Mapping[str, str]) -> docker.DockerClient:
    """Connect to the engine that `docker` itself would use: DOCKER_HOST, else the current context, else the socket.

    The API version is negotiated: engine 29 refuses clients below 1.44, 20.10 those above 1.41.
    Raises StackError if no engine answers.
    """
    try:
        client = _make_client(environ)
        client.ping()
        if folder := environ.get("DOCKER_CONFIG"):  # the SDK looks only at this process's own environment
            client.api.reload_config(str(Path(folder) / "config.json"))
    except (DockerException, RequestException, OSError, ValueError) as error:
        raise StackError(
            f"no Docker engine answers at {_describe_endpoint(environ)}",
            cause=_first_line(error),
            advice="start Docker (as root on Debian: `make engine`), set DOCKER_HOST, "
            "or join the group that may use its socket",
        ) from error
    return client


def _make_client(environ: Mapping[str, str]) -> docker.DockerClient:
    if environ.get("DOCKER_HOST"):
        return docker.DockerClient.from_env(version="auto", environment=dict(environ))
    context = ContextAPI.get_context(environ.get("DOCKER_CONTEXT") or None)
    if context is None:
        raise ValueError("no such context")
    if not context.Host:
        return docker.DockerClient.from_env(version="auto", environment=dict(environ))
    return docker.DockerClient(base_url=context.Host, version="auto", tls=context.TLSConfig or False)


def _describe_endpoint(environ: Mapping[str, str]) -> str:
    if host := environ.get("DOCKER_HOST"):
        return host
    context = environ.get("DOCKER_CONTEXT")
    return f"the Docker context {context!r}" if context else "its default address"


@contextmanager
def translate_errors(what: str, *, where: str = "") -> Iterator[None]:
    """Turn what the SDK raises into a StackError that begins with `what`."""
    try:
        yield
    except DockerException as error:
        explanation = getattr(error, "explanation", None) or _first_line(error)
        raise StackError(
            what, where=where, cause=str(explanation).strip(), advice=_find_advice(str(explanation))
        ) from error
    except (RequestException, OSError) as error:
        raise StackError(
            f"{what}: the Docker engine stopped answering",
            where=where,
            cause=_first_line(error),
            advice="check that `docker info` answers; if not, the engine's own log should say why",
        ) from error


def _find_advice(explanation: str) -> str:
    if "rlimit" in explanation:
        return "lower `ulimits: {nofile: …}`, or raise the open-files limit of the engine itself"
    if "sysctl" in explanation:
        return "this engine does not allow network sysctls in containers; use one that is not rootless and not gVisor"
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
