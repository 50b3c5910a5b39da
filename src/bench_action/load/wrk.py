"""wrk: build its command from a profile, and read its report (traps: see docs/architecture.md, "Reading wrk")."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, TypedDict

from bench_action.config.schema import Profile
from bench_action.load.generator import Load, Sample, Tape
from bench_action.load.messages import HISTOGRAM, MarkRow, ShapeError, WarmRun, WrkAnswer, WrkOrder, require_shape
from bench_action.model.errors import InvalidMeasurementError
from bench_action.model.result import Errors, Latency
from bench_action.model.warning import Code
from bench_action.model.wording import plural

SENTINEL = "bench-action-wrk-result:"
_SERIALS = 1_000_000  # serial numbers for one load (tape.py), which several generators share
# strerror(3) of EMFILE: the connections of a first thread can use up the files that a second needs to start
_NO_FILE_LEFT = "Too many open files"
_NO_NUMBER = re.compile(r"-?(nan|inf)\b")  # as C prints them; JSON knows neither


class ReportLine(TypedDict):
    """What report.lua prints: counts, and times in µs by wrk's own clock."""

    duration_us: int
    requests: int
    bytes: int
    connect: int
    read: int
    write: int
    status: int
    timeout: int
    mean_us: float
    stdev_us: float
    min_us: float
    max_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    sent: list[int]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one run of wrk. `duration_s` is by wrk's own clock, `wall_s` by a monotonic one outside of it.

    `clock_step_s`: by how much wrk's clock was set while it ran. `connections_open`: `connections_live` with those that
    the server has just closed; `connections_early`: those within half a second after the first. `idle`: CPU → the share
    of that time in which it had nothing to do. `sampled`: replies that the agent received. `marks`: seconds, bytes
    received, and the application's CPU time in ms and memory in MiB, about every second. `sent`: how many requests of
    its tape each of wrk's threads has sent; empty if all requests are the same. `machines`: address of an agent, empty
    for the load generator's → `idle` of its machine, if there are several. `lateness_s`: how much later than the first
    the last of several generators began; `busiest`: how busy the busiest of them was, as `compute_generator_busy` has
    it.
    """

    duration_s: float
    wall_s: float
    clock_step_s: float
    requests: int
    bytes_read: int
    errors: Errors
    latency: Latency | None
    connections_live: int
    generator_cpu_s: float
    steal_percent: float
    idle: Mapping[int, float] = field(default_factory=dict)
    sampled: Sequence[Sample] = ()
    marks: Sequence[MarkRow] = ()
    connections_open: int = 0
    connections_early: int = 0
    sent: Sequence[int] = ()
    machines: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    lateness_s: float = 0.0
    busiest: float | None = None

    def without_keep_alive(self) -> "Report":
        """Count connections that the server closes after each reply until wrk has noticed that."""
        return replace(self, connections_live=max(self.connections_live, self.connections_open))


def build_order(
    profile: Profile,
    tape: Tape,
    *,
    duration_s: int,
    parts: Mapping[str, str],
    limit_s: float,
    interrupt_s: float | None = None,
    counted: bool = False,
    divided: bool = False,
) -> Load:
    """Build the agent's order to run wrk with the requests of a tape and everything else from a profile.

    `parts`: name → id of the containers that it watches. `interrupt_s`: after how long wrk is interrupted, if it has
    not ended; None: it is only killed, after `limit_s`. `counted`: wrk writes a byte for each request that it sends, to
    the file that its first argument names. `divided`: it is one of several generators with a part of the load.
    """
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
    order: WrkOrder = {
        "op": "wrk",
        **tape.order,
        "argv": argv,
        "script": build_script(tape, threads=profile.threads, counted=counted, divided=divided),
        "divided": divided,
        "connections": profile.connections,
        "parts": dict(parts),
        "limit_s": limit_s,
        "interrupt_s": limit_s if interrupt_s is None else interrupt_s,
    }

    def divide(count: int) -> list[Load]:
        """Split it among generators; only the first watches the containers.

        A user of a session has one request under way at a time, so these loads are not divided.
        """
        if profile.session is not None:
            return [Load(order, tape, profile.threads)]
        shares = [
            build_order(
                share_profile(profile, number, count),
                tape.number_from(tape.first_serial + number * (_SERIALS // count)),
                duration_s=duration_s,
                parts=parts if number == 0 else {},
                limit_s=limit_s,
                interrupt_s=interrupt_s,
                divided=True,
            )
            for number in range(count)
        ]
        return [share for share in shares if share.order["connections"]]

    return Load(order, tape, profile.threads, divide)


def share_profile(profile: Profile, number: int, count: int) -> Profile:
    """Return the part of a load that one of several generators has; threads must divide its connections evenly."""
    connections = profile.connections // count + (number < profile.connections % count)
    most = max(1, profile.threads // count)
    threads = next((threads for threads in range(most, 0, -1) if connections % threads == 0), 1)
    return profile.model_copy(update={"connections": connections, "threads": threads})


def build_script(tape: Tape, *, threads: int = 1, counted: bool = False, divided: bool = False) -> str:
    """Build the Lua script: its constants, `done()` from report.lua, and what `request()` there is, if any.

    tape.lua is for requests that differ, sent.lua if they are `counted`. A single request is a constant, which wrk
    formats once, with `wrk.format`. Its own version orders headers differently in each process; ours returns the bytes
    that the agent sends.
    """
    first = tape.messages[0]
    same = len(tape.messages) == 1 and not first.serials
    lines = [
        f"local sentinel = {_lua(SENTINEL.encode())}",
        f"local bytes = {_lua(first.raw)}",
        f"local threads_asked, first_serial = {threads}, {tape.first_serial}",
        f"local histogram = {_lua(HISTOGRAM.encode()) if divided else 'nil'}",
        "wrk.format = function() return bytes end",
    ]
    files = ["report.lua", *([] if same else ["tape.lua"]), *(["sent.lua"] if counted else [])]
    return (
        "\n".join(lines) + "\n" + "".join(resources.files("bench_action.load").joinpath(f).read_text() for f in files)
    )


def _lua(data: bytes) -> str:
    """Write bytes as a Lua string literal, each byte that is not plain as a decimal escape of three digits."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_./:;,+*{}[]()=&?!@#%"
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03d}" for byte in data) + '"'


def parse_report(answer: WrkAnswer, where: str) -> Report:
    """Build a Report from the agent's answer. Raises InvalidMeasurementError if wrk reported nothing that can be read.

    wrk's exit status alone is no help: it is 0 even with a broken script, or with nothing served.
    """
    line = _find_line(answer["output"], answer["status"], where)
    figures: Mapping[str, Any] = line
    return Report(
        duration_s=line["duration_us"] / 1e6,
        wall_s=answer["wall_s"],
        clock_step_s=answer["clock_step_s"],
        requests=line["requests"],
        bytes_read=line["bytes"],
        errors=_build_errors(figures),
        latency=_build_latency(figures),
        connections_live=answer["live"],
        connections_open=answer["open"],
        connections_early=answer["early"],
        generator_cpu_s=answer["cpu_s"],
        steal_percent=max([answer["steal_percent"], *(each["steal_percent"] for each in answer["machines"].values())]),
        idle={int(cpu): share for cpu, share in answer["idle"].items()},
        sampled=[Sample(*row) for row in answer["sampled"]],
        marks=[(seconds, received, cpu_ms, mib) for seconds, received, cpu_ms, mib in answer["marks"]],
        sent=line["sent"],
        lateness_s=answer["lateness_s"],
        busiest=answer["busy"],
        machines={
            name: {int(cpu): share for cpu, share in each["idle"].items()} for name, each in answer["machines"].items()
        },
    )


def parse_errors(run: WarmRun, where: str) -> Errors:
    """Read the errors that wrk counted while it warmed a server up. Raises InvalidMeasurementError, as parse_report.

    If wrk failed when it was started again, that ended the warm-up; what is measured next shows what is wrong.
    """
    first, *later = run["ends"]
    ends = [first, *(end for end in later if end["status"] == 0)]
    lines = [_find_line(end["output"], end["status"], where) for end in ends]
    return sum(map(_build_errors, lines), start=Errors())


def _build_errors(figures: Mapping[str, Any]) -> Errors:
    return Errors(**{name: figures[name] for name in Errors.model_fields})


def _find_line(output: str, status: int, where: str) -> ReportLine:
    """Find the line that report.lua has printed."""
    lines = [line for line in output.splitlines() if line.startswith(SENTINEL)]
    if status != 0 or len(lines) != 1:
        starved = _NO_FILE_LEFT in output
        raise InvalidMeasurementError(
            f"wrk exited with status {status} and printed {plural(len(lines), 'report')}",
            where=where,
            cause="its limit of open files is below its connections" if starved else "",
            advice=Code.CONNECT_ERRORS.advice if starved else "",
            log=output.splitlines()[-15:],
        )
    return _parse_line(lines[0].removeprefix(SENTINEL), where)


def read_line(output: str) -> ReportLine:
    """Read the line that report.lua has printed once. Raises InvalidMeasurementError."""
    return _find_line(output, 0, "")


def _parse_line(text: str, where: str) -> ReportLine:
    try:
        return require_shape(json.loads(_NO_NUMBER.sub("NaN", text)), ReportLine)
    except json.JSONDecodeError as error:
        problem = f"it is not JSON: {error}"
    except ShapeError as error:
        problem = str(error)
    raise InvalidMeasurementError(f"wrk's report cannot be read: {problem}", where=where, log=[text])


def _build_latency(figures: Mapping[str, Any]) -> Latency | None:
    """Build the latencies; None if nothing was served, or wrk printed a figure that is not a number."""
    if figures["requests"] == 0 or figures["max_us"] == 0:
        return None
    values = {name: float(figures[name]) for name in Latency.model_fields}
    return Latency(**values) if all(math.isfinite(value) for value in values.values()) else None
