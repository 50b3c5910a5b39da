"""Verdicts follow from result.json by the steps of docs/how-it-decides.md, "One verdict by hand", and nothing else."""

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy import stats
from tests.unit.compare.replay import NAMES, assemble_replay, read_replay

from bench_action.stats.sequential import Course

pytestmark = pytest.mark.unit

_PAGE = Path(__file__).parents[3] / "docs/how-it-decides.md"
COST = "cpu_ms_per_request"


def read_result(name: str) -> dict[str, Any]:
    """Judge a stored run, and read its result as anybody does."""
    found: dict[str, Any] = json.loads(assemble_replay(read_replay(name)).model_dump_json())
    return found


def compute_cost(trial: dict[str, Any]) -> float:
    sampled = sum(trial["replies"]["statuses"].values()) if trial["replies"] else 0
    requests = trial["requests"] + trial["connections_live"] + sampled
    return float(trial["cpu_ms"]["application"] / requests)


def list_losses(result: dict[str, Any], comparison: dict[str, Any]) -> list[float]:
    """List the losses in CPU/request, block by block."""
    blocks = defaultdict(lambda: defaultdict(list))  # type: ignore[var-annotated]
    for trial in result["trials"]:
        own = (trial["variant"], trial["profile"]) == (comparison["variant"], comparison["profile"])
        if own and trial["pair"] and trial["phase"] == comparison["method"]:
            blocks[trial["block"]][trial["side"]].append(math.log(compute_cost(trial)))
    return [fmean(sides["head"]) - fmean(sides["base"]) for sides in blocks.values()]


def read_section() -> str:
    text = _PAGE.read_text(encoding="utf-8")
    return text[text.index("## One verdict by hand") : text.index("## Compared with the rules")]


@pytest.mark.parametrize("name", NAMES)
def test_verdict_on_cost__follows_by_hand(name: str) -> None:
    result = read_result(name)
    for comparison in result["comparisons"]:
        if comparison["metric"] != COST or comparison["test"] is None or comparison["kind"] != "revision":
            continue
        test, losses = comparison["test"], list_losses(result, comparison)[: comparison["blocks"]]
        assert test["sd"] == pytest.approx(stdev(losses)) or test["sd"] > stdev(losses)
        mean, error, free = fmean(losses), test["sd"] / math.sqrt(len(losses)), len(losses) - 1
        half = stats.t.ppf(0.995, free) * error
        assert comparison["ratio"] == pytest.approx(math.exp(mean))
        assert (comparison["ci_low"], comparison["ci_high"]) == pytest.approx(
            (math.exp(mean - half), math.exp(mean + half))
        )
        assert test["p_worse"] == pytest.approx(stats.t.sf(mean / error, free), rel=1e-3)
        assert test["p_better"] == pytest.approx(1 - test["p_worse"])
        assert comparison["significant"] == (min(test["p_worse"], test["p_better"]) <= test["level"])
        regressed = test["p_worse"] <= test["level"] and mean >= math.log1p(comparison["gate"])
        assert (comparison["verdict"] == "regressed") == regressed
        if comparison["verdict"] == "unchanged":
            assert mean + stats.t.ppf(0.99, free) * error < math.log(1.02)
            assert test["last"] or mean + error < math.log1p(comparison["gate"])
            assert abs(mean) <= half


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
