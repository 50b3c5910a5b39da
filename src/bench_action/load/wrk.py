"""wrk: the command for a profile, and what its report means (traps: see docs/architecture.md, "Reading wrk")."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from bench_action.config.schema import Profile
from bench_action.load.generator import HttpRequest, Sight
from bench_action.model.errors import InvalidMeasurementError
from bench_action.model.result import Errors, Latency
from bench_action.model.warning import Code

SENTINEL = "bench-action-wrk-result:"
# what strerror(3) says of EMFILE: the connections of a first thread can leave none for a second to begin with
_NO_FILE_LEFT = "Too many open files"
_NO_NUMBER = re.compile(r"-?(nan|inf)\b")  # as C prints them; JSON knows neither


@dataclass(frozen=True, slots=True)
class Report:
    """One run of wrk. `duration_s` is wrk's own clock, `wall_s` a monotonic one from outside its process.

    `idle`: CPU → the share of that time in which it had nothing to do. `sampled`: replies that the agent got.
    """

    duration_s: float
    wall_s: float
    requests: int
    bytes_read: int
    errors: Errors
    latency: Latency | None
    connections_live: int
    generator_cpu_s: float
    steal_percent: float
    idle: Mapping[int, float] = field(default_factory=dict)
    sampled: Sequence[Sight] = ()


def order_for(profile: Profile, host: str, port: int, duration_s: int) -> dict[str, Any]:
    """What the agent needs to run wrk for this profile."""
    argv = [
        "wrk",
        "--connections",
        str(profile.connections),
        "--threads",
        str(profile.threads),
        "--duration",
        f"{duration_s}s",
        "--timeout",
        f"{profile.timeout}s",
    ]
    request = HttpRequest(host, port, profile.path, profile.method, profile.headers, profile.body)
    return {
        "argv": argv,
        "url": f"http://{host}:{port}/",
        "script": script_for(request.wire),
        "connections": profile.connections,
        **request.order,
    }


def script_for(request: bytes) -> str:
    """The Lua script: the request as a constant, then `done()`.

    wrk formats its request once, by `wrk.format`. Its own would put headers into an order that changes from process to
    process; ours gives the bytes that the agent sends.
    """
    lines = [
        f"local sentinel = {_lua(SENTINEL.encode())}",
        f"local request = {_lua(request)}",
        "wrk.format = function() return request end",
    ]
    return "\n".join(lines) + "\n" + resources.files("bench_action.load").joinpath("report.lua").read_text("utf-8")


def _lua(data: bytes) -> str:
    """A Lua string literal: every byte that is not plain as a decimal escape of three digits."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_./:;,+*{}[]()=&?!@#%"
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03d}" for byte in data) + '"'


def parse_report(answer: Mapping[str, Any], where: str) -> Report:
    """The agent's answer → Report. Raises InvalidMeasurementError where wrk has not reported.

    wrk's exit status is no help: it is 0 with a broken script and with nothing served.
    """
    output: str = answer["output"]
    lines = [line for line in output.splitlines() if line.startswith(SENTINEL)]
    if answer["status"] != 0 or len(lines) != 1:
        starved = _NO_FILE_LEFT in output
        raise InvalidMeasurementError(
            f"wrk ended with status {answer['status']} and {len(lines)} reports",
            where=where,
            cause="its limit of open files is below its connections" if starved else "",
            advice=Code.CONNECT_ERRORS.advice if starved else "",
            log=output.splitlines()[-15:],
        )
    data: dict[str, Any] = json.loads(_NO_NUMBER.sub("NaN", lines[0].removeprefix(SENTINEL)))
    return Report(
        duration_s=data["duration_us"] / 1e6,
        wall_s=answer["wall_s"],
        requests=data["requests"],
        bytes_read=data["bytes"],
        errors=Errors(**{name: data[name] for name in Errors.model_fields}),
        latency=_latency(data),
        connections_live=answer["live"],
        generator_cpu_s=answer["cpu_s"],
        steal_percent=answer["steal_percent"],
        idle={int(cpu): float(share) for cpu, share in answer["idle"].items()},
        sampled=[Sight(*sampled) for sampled in answer["sampled"]],
    )


def _latency(data: Mapping[str, Any]) -> Latency | None:
    if data["requests"] == 0 or data["max_us"] == 0:
        return None
    values = {name: float(data[name]) for name in Latency.model_fields}
    return Latency(**values) if all(math.isfinite(value) for value in values.values()) else None
