"""The tables of docs/how-it-decides.md, as markdown, from the recordings."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from benchmarks.detection.records import duets, share_of_a_turn
from benchmarks.detection.scenarios import CALIBRATIONS, DATABASE, SAME, Scenario


def print_changes(
    scenarios: Sequence[Scenario], runs: Sequence[Mapping[str, Any]], calibration: Sequence[Mapping[str, Any]]
) -> None:
    """Markdown: what was found of each change, how large it looked, and how long it took."""
    known = {run["scenario"] for run in calibration}
    if SAME not in known or known.isdisjoint(CALIBRATIONS):
        print("nothing to tell before there are a calibration and a run of the same code")
        return
    share, error = share_of_a_turn(calibration)
    print(f"1,000 turns of the loop: {1e5 * share:+.2f} % ± {1e5 * error:.2f}\n")
    print("| head | runs | regressed | as wanted | true size in the 99 % interval | mean change ± its error | time |")
    print("|---|---:|---:|---:|---:|---|---:|")
    for scenario in scenarios:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own and scenario.name not in CALIBRATIONS:
            print(_row(scenario, own, share))


def print_counts(scenarios: Sequence[Scenario], runs: Sequence[Mapping[str, Any]]) -> None:
    """Markdown: for each kind of work in the background, alarms without a change, and what was found of one."""
    print("| in base and head | head | runs | regressed | improved | queries/request, base → head | counts of each |")
    print("|---|---|---:|---:|---:|---|---:|")
    for scenario in scenarios:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own:
            print(_row_of_counts(scenario, own))


def print_services(
    scenarios: Sequence[Scenario], runs: Sequence[Mapping[str, Any]], calibration: Sequence[Mapping[str, Any]]
) -> None:
    """Print as markdown what was found with services of each subject's own, and the time of a block."""
    share, _ = share_of_a_turn(calibration)
    costs = ", ".join(("application", "database", "all"))
    print(f"| head | runs | regressed | as wanted | requests/s | CPU/request: {costs} | block |")
    print("|---|---:|---:|---:|---|---|---:|")
    for scenario in scenarios:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own:
            alarms = sum(run["verdict"] == "regressed" for run in own)
            right = sum(_as_wanted(scenario, run) for run in own)
            sizes = [_describe_mean(own, metric) for metric in ("requests_per_second", "cpu_ms_per_request", *DATABASE)]
            block_s = fmean(run["seconds"] / max(1, sum(1 for _ in duets(run["blocks"]))) for run in own)
            true = f" ({100 * fmean(run['loops'] for run in own) * share:+.1f} %)" if scenario.slowdown else ""
            row = f"| {scenario.name}{true} | {len(own)} | {alarms} | {right} | {sizes[0]}"
            print(f"{row} | {', '.join(sizes[1:])} | {block_s:.1f} s |")


def print_rates(scenarios: Sequence[Scenario], runs: Sequence[Mapping[str, Any]]) -> None:
    """Print as markdown what turns at a fixed rate found, and by how much it differed."""
    print("| head | runs | regressed | inconclusive | p50 | p90 | CPU/request |\n|---|---:|---:|---:|---|---|---|")
    for scenario in scenarios:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own:
            verdicts = Counter(run["verdict"] for run in own)
            metrics = ("latency_p50_at_rate_us", "latency_p90_at_rate_us", "cpu_ms_per_request_at_rate")
            sizes = " | ".join(_describe_mean(own, metric) for metric in metrics)
            print(f"| {scenario.name} | {len(own)} | {verdicts['regressed']} | {verdicts['inconclusive']} | {sizes} |")


def _describe_mean(runs: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Describe the mean change of a metric over runs, with its standard error."""
    changes = [
        100 * (one["ratio"] - 1)
        for run in runs
        for one in run["comparisons"]
        if one["metric"] == metric and one["ratio"] is not None
    ]
    error = f" ± {stdev(changes) / math.sqrt(len(changes)):.2f}" if len(changes) > 1 else ""
    return f"{fmean(changes):+.2f} %{error}" if changes else "–"


def _row_of_counts(scenario: Scenario, own: Sequence[Mapping[str, Any]]) -> str:
    kind, _, head = scenario.name.rpartition(", ")
    verdicts = [{one["verdict"] for one in run["comparisons"]} for run in own]
    regressed, improved = (sum(verdict in found for found in verdicts) for verdict in ("regressed", "improved"))
    values = [
        [count["queries"] / count["requests"] for run in own for count in run["counts"] if count["side"] == side]
        for side in ("base", "head")
    ]
    ranges = " → ".join(f"{min(side):.2f} to {max(side):.2f}" for side in values)
    blocks = [one["blocks"] for run in own for one in run["comparisons"] if one["metric"] == "queries_per_request"]
    counts = f"{min(blocks)} to {max(blocks)}" if blocks else "–"
    return f"| {kind} | {head} | {len(own)} | {regressed} | {improved} | {ranges} | {counts} |"


def print_pooled(runs: Sequence[Mapping[str, Any]]) -> None:
    """Whether builds of the same code differ by more than their blocks do: a build may be lucky, and stay so."""
    same = [run for run in runs if run["scenario"] == SAME]
    for metric, of_blocks in (("requests/s", _rates), ("CPU/request", _costs)):
        changes = [[*of_blocks(run["blocks"])] for run in same]
        changes = [own for own in changes if len(own) > 2]
        if len(changes) < 2:
            return
        means = [100 * fmean(own) for own in changes]
        predicted = math.sqrt(fmean([(100 * stdev(own)) ** 2 / len(own) for own in changes]))
        error = stdev(means) / math.sqrt(len(means))
        print(
            f"{len(means)} rebuilt pairs of the same code, {metric}: pooled mean {fmean(means):+.2f} % ± {error:.2f}; "
            f"the runs' means have a standard deviation of {stdev(means):.2f} %, their blocks predict {predicted:.2f} %"
        )


def _rates(blocks: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    for base, head in duets(blocks):
        yield math.log(head["requests"] / head["s"]) - math.log(base["requests"] / base["s"])


def _costs(blocks: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    for base, head in duets(blocks):
        base_ms, head_ms = (one["cpu_ms"]["application"] / one["requests"] for one in (base, head))
        yield math.log(head_ms) - math.log(base_ms)


def _row(scenario: Scenario, own: Sequence[Mapping[str, Any]], share: float) -> str:
    alarms = sum(run["verdict"] == "regressed" for run in own)
    metric = "cpu_ms_per_request" if scenario.slowdown or not scenario.found else scenario.found[0]
    changes = [(run["loops"] * share, one) for run in own for one in run["comparisons"] if one["metric"] == metric]
    right = sum(_as_wanted(scenario, run) for run in own)
    inside = sum(one["ci_low"] is not None and one["ci_low"] <= 1 + true <= one["ci_high"] for true, one in changes)
    sizes = [100 * (one["ratio"] - 1) for _, one in changes]
    error = f" ± {stdev(sizes) / math.sqrt(len(sizes)):.2f}" if len(sizes) > 1 else ""
    known = scenario.slowdown or not (scenario.found or scenario.named or scenario.unnamed)
    true = fmean(true for true, _ in changes)
    interval = f"{100 * true:+.1f} %: {inside} of {len(own)}" if known else "–"
    return (
        f"| {scenario.name} | {len(own)} | {alarms} | {right} | {interval} | {metric}: {fmean(sizes):+.2f} %{error} | "
        f"{fmean(run['seconds'] for run in own):.0f} s |"
    )


def _as_wanted(scenario: Scenario, run: Mapping[str, Any]) -> bool:
    """Whether the run said of this change what is true of it."""
    lost = {one["metric"] for one in run["comparisons"] if one["verdict"] == "regressed"}
    if scenario.unnamed:
        return not set(run["warnings"]) & set(scenario.unnamed)
    if set(run["warnings"]) & set(scenario.named) or (scenario.calm and not lost):
        return True
    if not scenario.found:
        return str(run["verdict"]) == "unchanged" and not scenario.named
    return str(run["verdict"]) == "regressed" and bool(lost & set(scenario.found))
