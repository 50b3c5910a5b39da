"""k6: build its command and settings, and read its report. It sends requests at a fixed rate, and runs scripts."""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypedDict

from bench_action.config.schema import MOST_USERS, Profile
from bench_action.config.urls import split_url
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Tape
from bench_action.load.messages import K6Answer, K6Order, ShapeError, WireFile, require_shape
from bench_action.model.errors import InputError, InvalidMeasurementError
from bench_action.model.result import QUANTILES, AtRate, Latency, RouteAtRate
from bench_action.model.visible import remove_invisible
from bench_action.model.wording import plural

SENTINEL = "bench-action-k6-result:"
_OWN_FOLDER = "bench_action"  # of our files, next to the script, whose paths are relative to its own folder
_THRESHOLDS_BROKEN = 99  # k6's exit status if everything else went well
_ENDINGS = {
    100: "its `setup` took too long",
    101: "its `teardown` took too long",
    107: "it raised an exception",
    108: "it ended itself (`exec.test.abort`)",
    110: "it marked itself as failed (`exec.test.fail`)",
}
_STOPPED = "stopping test prematurely"  # by a threshold with `abortOnFail`
# whose latencies a script is judged by: the first that it has; of our own requests, with the time to connect
_TRENDS = ("http_req_duration", "grpc_req_duration", "iteration_duration")
_LONGEST_NAME = 100
_APART = 500_000  # serial numbers of the measured requests begin so much later than those of the warm-up
LONGEST_S = 60  # that the scenarios of a script may take, as each block has two turns
# what k6 says about a request to another server
_REFUSED = re.compile(r"is in a blacklisted range|no such host|server misbehaving|i/o timeout on lookup")
_URL = re.compile(r"\w+://[^\s\"\\\\/]+")
_FALLBACK = re.compile(rb"BASE_URL\s*(\|\||\?\?)\s*(['\"`]).*?\2")  # `__ENV.BASE_URL || "http://localhost:8000"`
_ADDRESS = re.compile(r"[\d.]+|.*:.*")
_INSPECT_S = 30.0


class TurnError(InvalidMeasurementError):
    """k6 reported nothing: a turn is missing, and others may not be."""


class ReportLine(TypedDict):
    """What run.js prints: counts, and times in ms. `times_ms`: mean, least, most, and then the quantiles."""

    trend: str
    requests: int
    all_requests: int
    over_http2: int
    failed: int
    iterations: int
    iteration_ms: float
    early_ms: float
    late_ms: float
    dropped: int
    bytes: int
    duration_ms: float
    times_ms: list[float]
    routes_ms: list[list[float]]
    checks: int
    checks_failed: int
    failed_names: list[str]
    thresholds: list[str]


@dataclass(frozen=True, slots=True)
class Turn:
    """How k6 loads a subject in one turn.

    `rate`: iterations each second for `duration_s`, after a warm-up of `warmup_s` at the same rate; None: as the script
    itself says. `longest_s`: how long an iteration may take before users are missing, or it is interrupted.
    `iterations`: instead, so many by one user, to count their work. `seed`: of the random numbers that a script draws.
    `together`: of how many users these iterations are.
    """

    rate: float | None
    duration_s: int
    warmup_s: int = 0
    iterations: int = 0
    longest_s: float = 2.0
    seed: int = 0
    together: int = 1

    @property
    def limit_s(self) -> float:
        """How long the turn may take, without `setup` and `teardown`."""
        return self.warmup_s + self.duration_s + self.longest_s

    @property
    def users(self) -> int:
        """How many users k6 has: enough that none is missing, even if no request is answered for `longest_s`.

        A search for the highest rate may need more than k6 can start. What needs those misses its objective anyway.
        """
        return min(MOST_USERS, math.ceil((self.rate or 0.0) * self.longest_s))

    def build_options(self) -> dict[str, Any]:
        """Build k6's options that say so."""
        if self.rate is None:
            return {}
        scenarios = {}
        for name, start_s, length_s in (("warmup", 0, self.warmup_s), ("measured", self.warmup_s, self.duration_s)):
            if length_s:
                scenarios[name] = self._build_scenario(start_s, length_s) | {"tags": {"turn": name}}
        return {"scenarios": scenarios}

    def _build_scenario(self, start_s: int, length_s: int) -> dict[str, Any]:
        return {
            "executor": "constant-arrival-rate",
            "rate": round(1000 * (self.rate or 0.0)),
            "timeUnit": "1000s",
            "startTime": f"{start_s}s",
            "duration": f"{length_s}s",
            "preAllocatedVUs": self.users,  # those made while it runs would come too late
            "maxVUs": self.users,
            "gracefulStop": f"{math.ceil(self.longest_s)}s",
        }


@dataclass(frozen=True, slots=True)
class K6Report:
    """The figures of one turn. `at_rate`, `latency`: of what was measured, after the warm-up.

    `all_requests`: with those of the warm-up and of `setup`. `latency` is None if nothing was answered. `elsewhere`:
    another server's URL to which the application has sent k6, which may not connect to it.
    """

    at_rate: AtRate
    latency: Latency | None
    requests: int
    failed: int
    bytes_read: int
    duration_s: float
    elsewhere: str = ""


def build_turn_order(
    handle: Handle, profile: Profile, tape: Tape, turn: Turn, *, parts: Mapping[str, str], limit_s: float
) -> K6Order:
    """Build the agent's order to load a server for one turn, with the profile's script or the requests of a tape."""
    if profile.is_script:
        script, files = f"../{profile.main}", list(profile.files)
        options = turn.build_options()
    else:
        script, files = "./requests.js", [(f"{_OWN_FOLDER}/requests.js", _read("requests.js"))]
        options = {
            **turn.build_options(),
            "discardResponseBodies": True,
            "userAgent": "",
        }
    own = {
        "run.js": _read("run.js").replace(b"SCRIPT", script.encode()),
        "settings.json": json.dumps(_build_settings(handle, profile, tape, turn, options)).encode(),
    }
    files += [(f"{_OWN_FOLDER}/{name}", data) for name, data in own.items()]
    argv = [
        "k6",
        "run",
        "--quiet",
        "--no-color",
        "--no-usage-report",
        "--address=",
        "--include-system-env-vars=false",
        f"--env=BASE_URL={'https' if handle.tls else 'http'}://{handle.host}:{handle.port}",
        f"{_OWN_FOLDER}/run.js",
    ]
    return _build_order(argv, files, tape, parts=parts, limit_s=limit_s)


def build_version_order(tape: Tape) -> K6Order:
    """Build the agent's order to see whether there is a k6. `tape`: a server, and no request."""
    return _build_order(["k6", "version"], [], tape, parts={}, limit_s=_INSPECT_S)


def build_inspect_order(tape: Tape, profile: Profile) -> K6Order:
    """Build the agent's order to read a script and to print what its options say. `tape`: a server, and no request."""
    argv = [
        "k6",
        "inspect",
        "--execution-requirements",
        "--include-system-env-vars=false",
        f"--env=BASE_URL=http://{tape.host}:{tape.port}",
    ]
    return _build_order([*argv, profile.main], list(profile.files), tape, parts={}, limit_s=_INSPECT_S)


def _build_order(
    argv: list[str], files: Sequence[tuple[str, bytes]], tape: Tape, *, parts: Mapping[str, str], limit_s: float
) -> K6Order:
    return {
        "op": "k6",
        **tape.order,
        "argv": argv,
        "files": [_pack(path, data) for path, data in files],
        "parts": dict(parts),
        "limit_s": limit_s,
    }


def _build_settings(
    handle: Handle, profile: Profile, tape: Tape, turn: Turn, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Build what both scripts read; a profile that is no script decides more than its options."""
    first = tape.first_serial
    return {
        "sentinel": SENTINEL,
        "seed": turn.seed,
        "iterations": turn.iterations,
        "together": turn.together,
        "longest": f"{turn.duration_s}s",
        "needs_default": turn.rate is not None,
        "trends": list(_TRENDS if profile.is_script else _TRENDS[-1:]),
        "host": handle.host,
        "tls": handle.tls,
        "quantiles": [100 * share if share < 0.99 else round(100 * share, 1) for share in QUANTILES],
        "options": dict(options),
        "routes": [] if profile.is_script else [route.title for route in profile.routes],
        "expected": [_convert_status(status) for status in profile.expect.status],
        "timeout": f"{profile.timeout}s",
        "serials": {"warmup": first, "measured": first + _APART if turn.warmup_s else first},
    }


def _convert_status(status: int | str) -> int | dict[str, int]:
    """Convert an expected status to what `expectedStatuses` takes: a number or a range."""
    return status if isinstance(status, int) else {"min": 100 * int(status[0]), "max": 100 * int(status[0]) + 99}


def _read(name: str) -> bytes:
    return resources.files("bench_action.load").joinpath(name).read_bytes()


def _pack(path: str, data: bytes) -> WireFile:
    return {"path": path, "data": base64.b64encode(data).decode()}


def parse_k6_report(answer: K6Answer, profile: Profile, turn: Turn, where: str) -> K6Report:
    """Build a K6Report from the agent's answer.

    Raises TurnError if k6 reported nothing, InputError if the script names another server that it requested.
    """
    elsewhere = _find_other_host(answer["output"])
    if elsewhere is not None and profile.is_script and _is_named(elsewhere, profile):
        raise _explain_other_host(elsewhere, profile, where)
    line = _find_line(answer, profile, where)
    times_us = [1000 * value for value in line["times_ms"]]
    quantiles_us = times_us[3:]
    titles = [] if profile.is_script else [route.title for route in profile.routes]
    at_rate = AtRate(
        rate=turn.rate,
        iterations=line["iterations"],
        iteration_us=1000 * line["iteration_ms"],
        early_us=1000 * line["early_ms"],
        late_us=1000 * line["late_ms"],
        dropped=line["dropped"],
        all_requests=line["all_requests"],
        over_http2=line["over_http2"],
        timed=line["trend"],
        quantiles_us=tuple(quantiles_us),
        checks=line["checks"] + line["checks_failed"],
        checks_failed=line["checks_failed"],
        failed_checks=tuple(map(_tidy, line["failed_names"])),
        thresholds=tuple(map(_tidy, line["thresholds"])),
        exceptions=answer["exceptions"],
        ended=_explain_end(answer),
        routes={
            title: RouteAtRate(
                requests=int(row[0]),
                p50_us=1000 * row[1],
                p90_us=1000 * row[2],
                p99_us=1000 * row[3],
                failed=int(row[4]),
            )
            for title, row in zip(titles, line["routes_ms"], strict=True)
        },
    )
    measured_s = line["duration_ms"] / 1000 - turn.warmup_s
    return K6Report(
        at_rate,
        _build_latency(times_us),
        line["requests"],
        line["failed"],
        line["bytes"],
        turn.duration_s if turn.rate is not None else max(0.001, measured_s),
        elsewhere or "",
    )


def _explain_end(answer: K6Answer) -> str:
    """Explain why k6 ended before its time; empty if it did not."""
    if _STOPPED in answer["output"]:
        return "a threshold with `abortOnFail` was crossed"
    status = answer["status"]
    return "" if status in {0, _THRESHOLDS_BROKEN} else _ENDINGS.get(status, f"k6 exited with status {status}")


def _tidy(name: str) -> str:
    """Fit a name that a script chose into a sentence."""
    return " ".join(remove_invisible(name).split()).replace("`", "'")[:_LONGEST_NAME]


def _build_latency(times_us: Sequence[float]) -> Latency | None:
    """Build the latencies; None if nothing was answered. k6 reports no standard deviation."""
    if not times_us:
        return None
    by_share = dict(zip(QUANTILES, times_us[3:], strict=True))
    return Latency(
        mean_us=times_us[0],
        stdev_us=0.0,
        min_us=times_us[1],
        max_us=times_us[2],
        p50_us=by_share[0.5],
        p90_us=by_share[0.9],
        p99_us=by_share[0.99],
        p999_us=by_share[0.999],
    )


def _find_other_host(output: str) -> str | None:
    """Find the URL of another server to which k6 was not allowed to connect, empty if it is not known; else None."""
    lines = (line for line in output.splitlines() if 'msg="Request Failed"' in line or "source=stacktrace" in line)
    line = next((line for line in lines if _REFUSED.search(line)), "")
    if not line:
        return None
    url = _URL.search(line)
    return remove_invisible(url[0])[:_LONGEST_NAME] if url else ""


def _is_named(url: str, profile: Profile) -> bool:
    """Whether a script names a server itself; if not, the application's replies do, such as a redirect."""
    parts = split_url(url)
    if parts is None:
        return False
    host = parts.hostname or ""
    domain = host if _ADDRESS.fullmatch(host) else ".".join(host.split(".")[-2:])
    return not host or any(domain.encode() in _FALLBACK.sub(b"", data) for _, data in profile.files)


def _explain_other_host(url: str, profile: Profile, where: str) -> InputError:
    return InputError(
        f"the script {profile.k6} requests another server{f', {url}' if url else ''}",
        where=where,
        cause="k6 may connect to the application only: replies from other servers are not compared",
        advice="build each URL from `__ENV.BASE_URL`, and give the application what the other server would",
    )


def _find_line(answer: K6Answer, profile: Profile, where: str) -> ReportLine:
    """Find the line that run.js has printed."""
    lines = [line for line in answer["output"].splitlines() if line.startswith(SENTINEL)]
    if len(lines) == 1:
        try:
            return require_shape(json.loads(lines[0].removeprefix(SENTINEL)), ReportLine)
        except (json.JSONDecodeError, ShapeError) as error:
            raise TurnError(f"k6's report cannot be read: {error}", where=where, log=lines) from error
    what = f"the script {profile.k6} failed" if profile.is_script else "k6 failed"
    raise TurnError(
        f"{what}: k6 exited with status {answer['status']} and printed {plural(len(lines), 'report')}",
        where=where,
        advice="run it with `k6 run` against the application: it must end by itself" if profile.is_script else "",
        log=read_errors(answer["output"]),
    )


def read_errors(output: str) -> list[str]:
    """Read what k6 says is wrong: the text of its messages, without time and level."""
    found = []
    for line in output.splitlines()[-15:]:
        message = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
        found.append(message[1].replace("\\n", " ").replace('\\"', '"').strip() if message else line)
    return found


def judge_script(answer: K6Answer, profile: Profile, where: str) -> None:
    """Require that a script can be read, and that its options fit its profile. Raises InputError."""
    start = answer["output"].find("{")
    try:
        options = json.loads(answer["output"][start:]) if answer["status"] == 0 and start >= 0 else None
    except ValueError:
        options = None
    if options is None:
        raise InputError(
            f"the script {profile.k6} cannot be run by k6",
            where=where,
            cause="; ".join(read_errors(answer["output"])[:3]),
            advice=f"`k6 inspect {profile.k6}` shows the same",
        )
    named = _describe_load(options)
    if profile.rate is not None and named:
        raise InputError(
            f"the script {profile.k6} says itself how it is run: {named}",
            where=where,
            cause="`rate` of the profile would replace that",
            advice="leave `rate` and `duration` out to run the script as it is, or remove these options from it",
        )
    if profile.rate is None and not named:
        raise InputError(
            f"the profile does not say how often the script {profile.k6} is run, and its options do not either",
            where=where,
            advice="set `rate: 50/s` in the profile, or `scenarios` in the script's options",
        )
    if profile.rate is None and (total_s := _measure_length(options)) > LONGEST_S:
        raise InputError(
            f"the script {profile.k6} runs for {total_s:.0f} s: {named}",
            where=where,
            cause=f"base and head take turns, and a turn lasts {LONGEST_S} s at most",
            advice="shorten its scenarios, or leave them out and set `rate` in the profile",
        )


def _describe_load(options: Mapping[str, Any]) -> str:
    """Describe the scenarios of a script by name, or the options that stand for one; empty if it has none."""
    own = {name: options[name] for name in ("vus", "duration", "iterations", "stages") if options.get(name)}
    if own:
        return ", ".join(f"`{name}`" for name in own)
    scenarios = options.get("scenarios") or {}
    if list(scenarios) == ["default"] and _says_nothing(scenarios["default"]):
        return ""
    return ", ".join(f"scenario `{name}` ({one.get('executor')})" for name, one in scenarios.items())


def _says_nothing(scenario: Mapping[str, Any]) -> bool:
    """Whether a scenario is what k6 does with a script that has none: one iteration."""
    values = (value for name, value in scenario.items() if name != "executor")
    return scenario.get("executor") == "per-vu-iterations" and not any(values)


def _measure_length(options: Mapping[str, Any]) -> float:
    """Measure how many seconds the scenarios of a script last, as far as they say it: some end after iterations."""
    return max((_measure_scenario(one) for one in (options.get("scenarios") or {"": options}).values()), default=0.0)


def _measure_scenario(scenario: Mapping[str, Any]) -> float:
    stages = sum(_parse_duration(stage.get("duration")) for stage in scenario.get("stages") or ())
    own = (_parse_duration(scenario.get(name)) for name in ("duration", "maxDuration"))
    return _parse_duration(scenario.get("startTime")) + max(stages, *own)


def _parse_duration(text: str | None) -> float:
    """Parse a duration such as `1m30s` into seconds."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text or ""))
