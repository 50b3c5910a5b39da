"""Read what the engine says about a container's health, its times and its end."""

import contextlib
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from bench_action.engine.protocol import KILLED

_SHELL = ("/bin/sh", "-c")
_LATE_S, _SILENT_S = 2, 10.0


def parse_healthcheck(config: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the command of a HEALTHCHECK from an image's configuration; None if it has none."""
    form, *words = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    match form:
        case "CMD":
            return [str(word) for word in words] or None
        case "CMD-SHELL":
            return [*(config.get("Shell") or _SHELL), *map(str, words)]
        case _:
            return None


def parse_time(text: str) -> float | None:
    """Return the seconds of a time since 1970, rounded down to µs; None for the year 1, which stands for never.

    Go leaves out zeros at the end of the fraction, and writes the time of an engine in its own time zone.
    """
    moment = datetime.fromisoformat(text)
    return None if moment.year == 1 else moment.timestamp()


def ran_out_of_memory(client: docker.DockerClient, container_id: str, state: Mapping[str, Any]) -> bool:
    """Return whether processes of an exited container were killed as its memory ran out.

    `state`: what the engine says of it. If the engine hears of the lack of memory after the exit, that is not in the
    state, but in an event up to two seconds later.
    """
    finished_at, started_at = parse_time(state["FinishedAt"]), parse_time(state["StartedAt"])
    if state["OOMKilled"] or state["ExitCode"] != KILLED or finished_at is None or started_at is None:
        return bool(state["OOMKilled"])
    found: list[float] = []

    def listen() -> None:
        with contextlib.suppress(DockerException, RequestException, OSError):
            events = client.events(  # waits for those that are still to come
                since=int(started_at),
                until=math.ceil(finished_at) + _LATE_S,
                filters={"container": container_id, "event": "oom"},
                decode=True,
            )
            with contextlib.closing(events):
                found.extend(event["timeNano"] / 1e9 for event in events)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    listener.join(_SILENT_S)  # the client would wait for an engine that says nothing
    return any(at >= started_at for at in found)
