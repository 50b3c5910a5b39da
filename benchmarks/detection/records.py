"""Runs that were kept, block by block: one file of JSON lines for each engine and kind of scenarios."""

import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.detection.scenarios import CALIBRATE, CALIBRATE_FIFTH, SAME

_RECORDINGS = Path(__file__).resolve().parent / "recordings"


def name_recordings(engine: str, kind: str) -> str:
    """Name the recordings of a kind of scenarios; those of changes were the first."""
    return engine if kind == "changes" else f"{engine}-{kind}"


def recorded(name: str) -> list[dict[str, Any]]:
    """Every run that was kept."""
    path = _RECORDINGS / f"{name}.jsonl.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def record(name: str, run: Mapping[str, Any]) -> None:
    """Keep it: a gzip member more."""
    _RECORDINGS.mkdir(exist_ok=True)
    with gzip.open(_RECORDINGS / f"{name}.jsonl.gz", "at", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of a result, what the tables and a replay of its duets need."""
    compared = ("metric", "method", "ratio", "ci_low", "ci_high", "smallest_detectable", "blocks", "verdict", "test")
    machine = ("fingerprint", "cpu_model", "cores", "architecture")
    return {
        "verdict": result["verdict"],
        **{name: result["run"][name] for name in ("id", "started_at", "tool_version")},
        **{name: result["environment"][name] for name in machine},
        "steal_percent": round(result["environment"]["steal_percent"], 1),
        "seconds": round(result["timings"]["measure"], 1),
        "stack_s": round(result["timings"]["stack"], 1),
        "profile": next((one["profile"] for one in result["comparisons"]), ""),
        "comparisons": [{name: one[name] for name in compared} for one in result["comparisons"]],
        "findings": [one["message"] for one in result["findings"]],
        "warnings": sorted({one["code"] for one in result["warnings"]}),
        "blocks": list(_blocks(result["trials"])),
    }


def kept_counts(result: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Of a result, what the table of counts needs of one variant."""
    compared = ("metric", "base_value", "head_value", "ci_low", "ci_high", "blocks", "verdict")
    return {
        "started_at": result["run"]["started_at"],
        "comparisons": [
            {name: one[name] for name in compared}
            for one in result["comparisons"]
            if one["method"] == "count" and one["variant"] == variant
        ],
        "findings": [one["message"] for one in result["findings"] if one["cell"].startswith(f"{variant} ")],
        "counts": [_count(one) for one in result["trials"] if one["phase"] == "count" and one["variant"] == variant],
    }


def _blocks(trials: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for trial in trials:
        if trial["phase"] not in {"duet", "latency", "rate"}:
            continue
        latency = trial["latency"] or {}
        yield {
            "phase": trial["phase"],
            "block": trial["block"],
            "position": trial["position"],
            **({"track": trial["track"]} if trial["track"] else {}),
            **({"codes": codes} if (codes := sorted({one["code"] for one in trial["warnings"]})) else {}),
            "side": trial["side"],
            "slot": trial["slot"],
            "s": round(trial["duration_s"], 4),
            "requests": trial["requests"],
            "connections": trial["connections_live"],
            "cpu_ms": {name: round(ms, 2) for name, ms in trial["cpu_ms"].items()},
            "p50_us": round(latency.get("p50_us", 0)),
            **({"p90_us": round(latency.get("p90_us", 0))} if trial["phase"] == "rate" else {}),
            "p99_us": round(latency.get("p99_us", 0)),
            "idle": [
                trial["application_idle"] and round(trial["application_idle"], 4),
                trial["services_idle"] and round(trial["services_idle"], 4),
            ],
            "steal": round(trial["steal_percent"], 1),
            **({"warm_up": [round(warm["duration_s"], 2), warm["steady"]]} if (warm := trial["warm_up"]) else {}),
            **({"marks": [*map(_mark, trial["marks"])]} if trial["marks"] else {}),
        }


def _mark(mark: Mapping[str, Any]) -> list[float]:
    """Seconds, bytes and CPU time in ms."""
    return [round(mark["s"], 3), mark["bytes_read"], round(mark["cpu_ms"], 2)]


def _count(trial: Mapping[str, Any]) -> dict[str, Any]:
    idle = trial["idle"]
    return {
        "side": trial["revision"],
        "requests": trial["requests"],
        "s": round(trial["wall_s"], 3),
        "queries": trial["work"]["queries"],
        "cache_commands": trial["work"]["cache_commands"],
        "idle": idle and [idle["queries"], idle["cache_commands"]],
        "idle_s": round(trial["idle_s"], 3),
    }


def share_of_a_turn(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What a turn of the loop adds to the application's CPU per request, as a share of base's, and its standard error.

    With calibrations that add about a fifth, it is their ratio: both sides of a duet have the machine of the moment.
    In older ones head needs twice the CPU, and next to a neighbour that keeps the core for a millisecond at a time,
    base itself needs an eighth more. So a turn's cost is the difference there, and base's the one next to its equal; it
    depends on how fast the machine was in each.
    """
    fifths = [
        (_mean_cost(run, "head") / _mean_cost(run, "base") - 1) / run["loops"]
        for run in runs
        if run["scenario"] == CALIBRATE_FIFTH
    ]
    if fifths:
        return fmean(fifths), stdev(fifths) / math.sqrt(len(fifths)) if len(fifths) > 1 else math.nan
    turns = [
        (_mean_cost(run, "head") - _mean_cost(run, "base")) / run["loops"]
        for run in runs
        if run["scenario"] == CALIBRATE
    ]
    bases = [_mean_cost(run, "base") for run in runs if run["scenario"] == SAME]
    share = fmean(turns) / fmean(bases)
    parts = [stdev(values) / fmean(values) / math.sqrt(len(values)) for values in (turns, bases) if len(values) > 1]
    return share, share * math.hypot(*parts) if len(parts) == 2 else math.nan


def _mean_cost(run: Mapping[str, Any], side: str) -> float:
    """The application's CPU, in ms per request, over all blocks of the duet."""
    own = [pair[side == "head"] for pair in duets(run["blocks"])]
    return float(sum(one["cpu_ms"]["application"] for one in own) / sum(one["requests"] for one in own))


def duets(blocks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Base and head of each duet."""
    sides = {(one["block"], one.get("track", 0), one["side"]): one for one in blocks if one["phase"] == "duet"}
    for number, track, side in sides:
        if side == "base" and (number, track, "head") in sides:
            yield sides[number, track, "base"], sides[number, track, "head"]
