"""Verdicts follow from result.json by the steps of docs/how-it-decides.md, "One verdict by hand", and nothing else."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from tests.unit.compare.replay import NAMES, assemble_replay, read_replay

from bench_action.model.warning import Code
from bench_action.stats.levels import nominal_levels
from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

_PAGE = Path(__file__).parents[3] / "docs/how-it-decides.md"
Duet = tuple[dict[str, Any], dict[str, Any]]
COST, RATE = "cpu_ms_per_request", "requests_per_second"


def read_result(name: str) -> dict[str, Any]:
    """Judge a stored run, and read its result as anybody does."""
    found: dict[str, Any] = json.loads(assemble_replay(read_replay(name)).model_dump_json())
    return found


def count_handled(trial: dict[str, Any]) -> int:
    sampled = sum(trial["replies"]["statuses"].values()) if trial["replies"] else 0
    return int(trial["requests"] + trial["connections_live"] + sampled)


def list_duets(result: dict[str, Any], comparison: dict[str, Any]) -> list[list[Duet]]:
    """List the blocks of a comparison: of each, the valid duets as base and head."""
    blocks: dict[int, dict[int, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for trial in result["trials"]:
        own = (trial["variant"], trial["profile"]) == (comparison["variant"], comparison["profile"])
        if own and trial["pair"] and trial["phase"] == comparison["method"]:
            blocks[trial["block"]][trial["track"]][trial["side"]] = trial
    invalid = list_invalidating()
    found = []
    for tracks in blocks.values():
        duets = [(sides["base"], sides["head"]) for sides in tracks.values() if len(sides) == 2]
        valid = [duet for duet in duets if not any(w["code"] in invalid for trial in duet for w in trial["warnings"])]
        if valid:
            found.append(valid)
    return found


def list_invalidating() -> set[str]:
    """List the codes that the section names."""
    (line,) = (line for line in read_section().splitlines() if line.startswith("   Invalid is "))
    return set(re.findall(r"`([a-z0-9-]+)`", line.partition(":")[2]))


def compute_losses(base: dict[str, Any], head: dict[str, Any]) -> dict[str, float]:
    rates = [(trial["requests"] - trial["errors"]["status"]) / trial["duration_s"] for trial in (base, head)]
    costs = [trial["cpu_ms"]["application"] / count_handled(trial) for trial in (base, head)]
    return {RATE: math.log(rates[0] / rates[1]), COST: math.log(costs[1] / costs[0])}


def shares_are_equal(base: dict[str, Any], head: dict[str, Any]) -> bool:
    """Check the first three limits of the table in "When a duet is no duet"."""
    used = [trial["cpu_ms"]["application"] / trial["duration_s"] for trial in (base, head)]
    losses = compute_losses(base, head)
    return (
        0.49 <= used[1] / sum(used) <= 0.51
        and abs(losses[RATE] - losses[COST]) <= 0.015
        and abs(base["duration_s"] - head["duration_s"]) <= 0.02 * base["duration_s"]
    )


def list_counted(result: dict[str, Any], comparison: dict[str, Any]) -> list[list[Duet]]:
    """List the duets that count for a metric."""
    blocks = list_duets(result, comparison)
    if comparison["metric"] == RATE:
        blocks = [kept for block in blocks if (kept := [duet for duet in block if shares_are_equal(*duet)])]
    return blocks


def list_losses(result: dict[str, Any], comparison: dict[str, Any]) -> list[float]:
    """List the losses of the blocks that the comparison looked at."""
    blocks = list_counted(result, comparison)[: comparison["blocks"]]
    return [fmean(compute_losses(*duet)[comparison["metric"]] for duet in block) for block in blocks]


def bound_sd(result: dict[str, Any], comparison: dict[str, Any]) -> float:
    """Compute the standard deviation within slices, by the parts between marks; 0 without any."""
    parts, seconds, squares, free = [], [], 0.0, 0
    blocks = list_counted(result, comparison)
    for block in blocks:
        tracks = [list(cut(*duet)) for duet in block]
        own = [(fmean(s for s, _ in row), fmean(one[comparison["metric"]] for _, one in row)) for row in zip(*tracks)]  # noqa: B905 (a track with fewer marks shortens the others)
        parts.append([loss for _, loss in own])
        seconds += [s for s, _ in own]
    for losses in parts:
        if len(losses) > 1:
            squares += (len(losses) - 1) * stdev(losses) ** 2
            free += len(losses) - 1
    if not free:
        return 0.0
    slice_s, part_s = fmean(block[0][0]["duration_s"] for block in blocks), fmean(seconds)
    return math.sqrt(squares / free * scale(slice_s) / scale(part_s))


def scale(seconds: float) -> float:
    return (1 + 1.6 / seconds) / seconds


def cut(base: dict[str, Any], head: dict[str, Any]) -> Iterator[tuple[float, dict[str, float]]]:
    for pairs in zip(pairwise(base["marks"]), pairwise(head["marks"])):  # noqa: B905 (as many as both have)
        steps = [
            {name: later[name] - earlier[name] for name in ("s", "bytes_read", "cpu_ms")} for earlier, later in pairs
        ]
        if min(value for step in steps for value in step.values()) <= 0:
            continue
        rates = [step["bytes_read"] / step["s"] for step in steps]
        costs = [step["cpu_ms"] / step["bytes_read"] for step in steps]
        yield (
            fmean(step["s"] for step in steps),
            {RATE: math.log(rates[0] / rates[1]), COST: math.log(costs[1] / costs[0])},
        )


def read_section() -> str:
    text = _PAGE.read_text(encoding="utf-8")
    return text[text.index("## One verdict by hand") : text.index("## Compared with the rules")]


def test_verdict__follows_by_hand() -> None:
    checked = {name: count for name in NAMES if (count := check_all_by_hand(read_result(name)))}
    assert checked == {
        "local-paired": 1,  # its duets cannot compare rates
        "simulated-duets-slower": 2,
        "simulated-head-lost": 1,
        "simulated-three-cells": 4,
        "simulated-turns": 1,
    }


def check_all_by_hand(result: dict[str, Any]) -> int:
    """Check requests/s and CPU/request of each cell, and return how many there were."""
    checked = 0
    for comparison in result["comparisons"]:
        duet = (comparison["kind"], comparison["method"]) == ("revision", "duet")
        if duet and comparison["metric"] in {COST, RATE} and comparison["test"] is not None:
            (cost,) = (c for c in result["comparisons"] if is_cost_of(c, comparison))
            check_by_hand(result, comparison, cost)
            checked += 1
    return checked


def is_cost_of(cost: dict[str, Any], other: dict[str, Any]) -> bool:
    return cost["metric"] == COST and all(cost[name] == other[name] for name in ("kind", "method", "base", "head"))


def check_by_hand(result: dict[str, Any], comparison: dict[str, Any], cost: dict[str, Any]) -> None:
    """Check every number of a comparison, and its verdict."""
    test, losses = comparison["test"], list_losses(result, comparison)
    rate, gate = comparison["metric"] == RATE, comparison["gate"]
    assert test["sd"] == pytest.approx(max(stdev(losses), bound_sd(result, comparison)))
    mean, error, free = fmean(losses), test["sd"] / math.sqrt(len(losses)), len(losses) - 1
    half = stats.t.ppf(0.995, free) * error
    sign = -1 if rate else 1
    bounds = sorted((math.exp(sign * (mean - half)), math.exp(sign * (mean + half))))
    assert comparison["ratio"] == pytest.approx(math.exp(sign * mean))
    assert (comparison["ci_low"], comparison["ci_high"]) == pytest.approx(tuple(bounds))
    assert test["p_worse"] == pytest.approx(stats.t.sf(mean / error, free), rel=1e-3)
    assert test["p_better"] == pytest.approx(1 - test["p_worse"])
    level = Course(test["planned_blocks"], ended=test["last"]).level(len(losses), test["alpha"])
    assert test["level"] == pytest.approx(min(level, 0.005))
    significant = min(test["p_worse"], test["p_better"]) <= test["level"]
    confirmed = not rate or (cost["significant"] and (cost["ratio"] > 1) == (comparison["ratio"] < 1))
    assert comparison["significant"] == (significant and confirmed)
    detectable = max(detect_by_hand(each) for each in ([comparison, cost] if rate else [comparison]))
    assert comparison["smallest_detectable"] == pytest.approx(detectable, rel=1e-4)
    if gate is not None:
        assert comparison["verdict"] == judge_by_hand(mean, error, free, comparison)


def detect_by_hand(comparison: dict[str, Any]) -> float:
    """Compute the smallest loss that 95 of 100 runs would find at their last look."""
    test = comparison["test"]
    blocks = comparison["blocks"] if test["last"] else test["planned_blocks"]
    critical = stats.t.isf(test["level_at_end"], blocks - 1)

    def miss(shift: float) -> float:
        return float(stats.nct.sf(critical, blocks - 1, shift)) - 0.95

    found = optimize.brentq(miss, 0.0, 50.0)
    return math.expm1(found * test["sd"] / math.sqrt(blocks))


def judge_by_hand(mean: float, error: float, free: int, comparison: dict[str, Any]) -> str:
    """Judge by the rules of "Verdicts and gates"; gates on requests/s and CPU/request have no absolute size."""
    rate, gate = comparison["metric"] == RATE, limit(comparison["gate"], down=comparison["metric"] == RATE)
    if comparison["significant"] and mean >= gate:
        return "regressed"
    if comparison["significant"] and -mean >= limit(0.01, down=not rate):
        return "improved"
    bound, size = stats.t.ppf(0.99, free) * error, max(comparison["gate"], 0.02)
    early = not comparison["test"]["last"]
    loss_open = mean + bound >= limit(size, down=rate) or (early and mean + error >= gate)
    gain_open = early and bound - mean >= limit(size, down=not rate)
    if loss_open or gain_open or is_unconfirmed(mean, gate, comparison):
        return "inconclusive"
    return "unchanged" if abs(mean) <= stats.t.ppf(0.995, free) * error else "measured"


def limit(size: float, *, down: bool) -> float:
    return -math.log(1 - size) if down else math.log1p(size)


def is_unconfirmed(mean: float, gate: float, comparison: dict[str, Any]) -> bool:
    """Whether requests/s would have broken its gate, had CPU/request shown the same."""
    broken = comparison["test"]["p_worse"] <= comparison["test"]["level"] and mean >= gate
    return comparison["metric"] == RATE and broken and not comparison["significant"]


@pytest.mark.parametrize("metric", [RATE, COST])
def test_verdict__of_slices_with_marks_follows_by_hand(metric: str) -> None:
    """A stored run whose slices were noisier than its blocks: the noise within them counts."""
    replay = read_replay("simulated-duets-slower")
    dice = np.random.default_rng(1)
    for trial in replay["trials"]:
        if trial["phase"] == "duet":
            trial["marks"] = draw_marks(trial, dice)
    result = json.loads(assemble_replay(replay).model_dump_json())
    (comparison,) = (c for c in result["comparisons"] if (c["metric"], c["method"]) == (metric, "duet"))
    (cost,) = (c for c in result["comparisons"] if is_cost_of(c, comparison))
    assert comparison["test"]["sd"] > 1.1 * stdev(list_losses(result, comparison))
    check_by_hand(result, comparison, cost)


def test_verdict__of_several_tracks_without_an_invalid_duet_follows_by_hand() -> None:
    replay = read_replay("simulated-duets-slower")
    dice = np.random.default_rng(2)
    duets = [trial for trial in replay["trials"] if trial["phase"] == "duet"]
    for trial in duets:
        noise = math.exp(0.001 * dice.standard_normal())
        replay["trials"].append({**trial, "track": 1, "requests": round(noise * trial["requests"])})
    busy = {"code": "generator-saturated", "message": "busy", "cell": "", "advice": ""}
    duets[0]["warnings"] = [*duets[0].get("warnings", ()), busy]
    result = json.loads(assemble_replay(replay).model_dump_json())
    assert check_all_by_hand(result) == 2
    (cost,) = (c for c in result["comparisons"] if (c["metric"], c["method"]) == (COST, "duet"))
    assert [len(block) for block in list_counted(result, cost)][:3] == [1, 2, 2]


def draw_marks(trial: dict[str, Any], dice: np.random.Generator) -> list[dict[str, float]]:
    """Draw readings at about each second, each second with other speeds; the third one read nothing."""
    marks = [{"s": 0.0, "bytes_read": 1000, "cpu_ms": 50.0}]
    for number in range(4):
        seconds = trial["duration_s"] / 4 * dice.uniform(0.95, 1.05)
        read = 0 if number == 2 else round(trial["requests"] / 4 * 500 * math.exp(0.2 * dice.standard_normal()))
        cpu_ms = trial["cpu_ms"]["application"] / 4 * math.exp(0.2 * dice.standard_normal())
        last = marks[-1]
        marks.append(
            {"s": last["s"] + seconds, "bytes_read": last["bytes_read"] + read, "cpu_ms": last["cpu_ms"] + cpu_ms}
        )
    return marks


def test_section__names_all_codes_that_make_a_trial_of_a_duet_invalid() -> None:
    of_runs = {Code.STOPPED_EARLY, Code.BLOCKS_DROPPED, Code.UNRELIABLE, Code.SHARD_MISSING}
    of_rates = {Code.K6_SATURATED, Code.RATE_NOT_REACHED, Code.SCRIPT_FAILS, Code.SLO_NOT_HELD}
    assert list_invalidating() == {code.value for code in Code if code.invalidates} - of_runs - of_rates


def test_example__is_the_stored_run() -> None:
    result = read_result("local-paired")
    (comparison,) = (c for c in result["comparisons"] if c["metric"] == COST)
    rows = re.findall(
        r"^\| (\d) \| ([\d.]+) \| ([\d,]+) \| ([\d.]+) \| ([\d,]+) \| ([\d.]+) \|$", read_section(), re.MULTILINE
    )
    losses = list_losses(result, comparison)
    assert len(rows) == comparison["blocks"] == 5
    for (_, base_ms, base, head_ms, head, loss), true in zip(rows, losses, strict=True):
        numbers = [float(text.replace(",", "")) for text in (base_ms, base, head_ms, head)]
        assert math.log(numbers[2] / numbers[3]) - math.log(numbers[0] / numbers[1]) == pytest.approx(true, abs=1e-4)
        assert float(loss) == pytest.approx(true, abs=6e-5)
    test = comparison["test"]
    assert (test["planned_blocks"], test["last"], comparison["verdict"]) == (9, False, "regressed")
    expected = (0.01 * 200 / 373.3, 0.00222, 0.0000047)
    assert (test["alpha"], test["level"], test["p_worse"]) == pytest.approx(expected, rel=0.01)
    assert (comparison["ratio"], comparison["ci_low"], comparison["ci_high"]) == pytest.approx(
        (1.749, 1.596, 1.916), abs=6e-4
    )


def test_levels__are_as_the_table_says() -> None:
    rows = re.findall(r"^\| (\d+) \|([ .\d|]+)\|$", read_section(), re.MULTILINE)
    table = {
        int(cap): [float(cell) for cell in cells.split("|") if cell.strip()] for cap, cells in rows if "." in cells
    }
    levels = {cap: found for cap, found in table.items() if max(found) < 0.01}
    assert set(levels) == {9, 12, 16, 22}
    for cap, found in levels.items():
        course = Course(cap, ended=False)
        assert found == pytest.approx([course.level(look, 0.01 * 200 / 373.3) for look in course.looks], abs=6e-6)


@pytest.mark.parametrize("cap", [9, 12])
def test_levels__spend_what_they_may_and_at_most_1_percent_less(cap: int) -> None:
    """By the normal distribution of all looks together: means that share their earlier blocks."""
    looks, alpha = Course(cap, ended=False).looks, 0.01 * 200 / 373.3
    shares = np.array(looks) / cap
    levels = nominal_levels(tuple(shares), tuple(alpha * shares**1.5))
    related = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    for last in range(1, len(looks)):
        own = slice(last + 1)
        bounds = stats.norm.isf(levels[own])
        crossed = 1 - stats.multivariate_normal.cdf(bounds, cov=related[own, own], abseps=1e-7)
        assert 0.99 <= crossed / (alpha * shares[last] ** 1.5) <= 1.0
