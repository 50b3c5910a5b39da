"""Other tools' rules and ours on the same recordings of one machine: how often each cries wolf, and what each finds.

    python -m benchmarks.rules.replay

What is assumed: base-then-head runs are windows of 50 s + 50 s of one server's 300 s, taken round the end; blocks of
pairs are centred, given a random sign and drawn with replacement, so no offset of a slot and no memory from block to
block is in them. An effect is a factor on head's rate. Ours looks as often as a run does, at the alpha that a run with
the default gates gives each of them; a duet's block takes 8.5 s.
"""

import gzip
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from benchmarks.rules import rules
from scipy import stats

from bench_action.compare import alpha_of_each
from bench_action.config.gates import default_gates
from bench_action.gating import judge_losses
from bench_action.paired import Evidence
from bench_action.stats.sequential import Course

_RECORDINGS = Path(__file__).parent / "recordings"
_RUNS = 600
_EFFECTS = (0.02, 0.05, 0.10, 0.20)
_SLICES, _RUN_S = 5, 10
_BLOCK_S = 8.5
# one replayed run with a slowdown of this size: was there an alarm, and after how many seconds was it over
Replay = Callable[[float], tuple[bool, float]]


def main() -> None:
    """Print the table."""
    dice = np.random.default_rng(20261122)
    print("| rule | false alarms | finds 2 % | 5 % | 10 % | 20 % | time of an unchanged pair |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, replay in replays(dice).items():
        runs = {effect: [replay(effect) for _ in range(_RUNS)] for effect in (0.0, *_EFFECTS)}
        rates = [sum(alarm for alarm, _ in runs[effect]) / _RUNS for effect in (0.0, *_EFFECTS)]
        seconds = sum(time for _, time in runs[0.0]) / _RUNS
        print(
            f"| {name} | {rates[0]:.1%} | " + " | ".join(f"{rate:.0%}" for rate in rates[1:]) + f" | {seconds:.0f} s |"
        )


def replays(dice: np.random.Generator) -> dict[str, Replay]:
    """Every rule by the name that the table gives it."""
    single = np.array(read("single")["requests_per_second"])

    def one_after_the_other(rule: rules.Rule) -> Replay:
        def replay(effect: float) -> tuple[bool, float]:
            start = int(dice.integers(len(single)))
            values = np.take(single, range(start, start + 2 * _SLICES * _RUN_S), mode="wrap")
            means = values.reshape(2 * _SLICES, _RUN_S).mean(axis=1)
            return rule(means[:_SLICES], means[_SLICES:] / (1 + effect)), 2.0 * _SLICES * _RUN_S

        return replay

    def against_history(effect: float) -> tuple[bool, float]:
        starts = dice.integers(len(single), size=11)
        means = np.array([np.take(single, range(s, s + 50), mode="wrap").mean() for s in starts])
        return rules.bencher_t_test(means[:10], means[10:] / (1 + effect)), 50.0

    sequential = {
        "200 % (github-action-benchmark's default)": rules.slower_by(2.0),
        "150 %": rules.slower_by(1.5),
        "110 %": rules.slower_by(1.1),
        "CodSpeed −10 %": rules.codspeed,
        "asv continuous": rules.asv_continuous,
        "PostgREST 5 %": rules.postgrest,
        "autocannon-compare": rules.autocannon_compare,
        "node (Welch 0.05)": rules.node,
        "react_on_rails": rules.react_on_rails,
    }
    table: dict[str, Replay] = {name: one_after_the_other(rule) for name, rule in sequential.items()}
    table["Bencher, t boundary 0.99 of the last ten"] = against_history
    table["slices of 1 s in turn, paired t 0.01"] = paired_t(dice, centred("interleaved"), 60)
    table["**bench-action, at most 60 s**"] = ours(dice, centred("duets"), int(60 / _BLOCK_S))
    table["**bench-action, at most 120 s**"] = ours(dice, centred("duets"), int(120 / _BLOCK_S))
    return table


def paired_t(dice: np.random.Generator, losses: np.ndarray, pairs: int) -> Replay:
    """One look at the end."""

    def replay(effect: float) -> tuple[bool, float]:
        seen = drawn(dice, losses, pairs) + math.log1p(effect)
        return bool(stats.ttest_1samp(seen, 0.0, alternative="greater").pvalue < 0.01), 2.0 * pairs

    return replay


def ours(dice: np.random.Generator, losses: np.ndarray, cap: int) -> Replay:
    """The product's own rule, look by look."""
    gates, course = default_gates(), Course(cap, ended=False)
    alpha = alpha_of_each(gates, 1)

    def replay(effect: float) -> tuple[bool, float]:
        seen = [float(one) for one in drawn(dice, losses, cap) + math.log1p(effect)]
        verdict = "inconclusive"
        due = cap
        for due in course.looks:
            found = Evidence("requests_per_second", tuple(seen[:due]), 1.0, 1.0)
            verdict = judge_losses(found, course, alpha, gates["requests_per_second"]).verdict
            if verdict != "inconclusive":
                break
        return verdict == "regressed", due * _BLOCK_S

    return replay


def drawn(dice: np.random.Generator, losses: np.ndarray, count: int) -> np.ndarray:
    """So many blocks, each with a random sign."""
    return np.asarray(dice.choice(losses, count) * dice.choice([-1.0, 1.0], count))


def centred(name: str) -> np.ndarray:
    """Losses of a recording about their mean."""
    losses = np.array(read(name)["loss"])
    return np.asarray(losses - losses.mean())


def read(name: str) -> dict[str, Sequence[float]]:
    """A recording."""
    with gzip.open(_RECORDINGS / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        found: dict[str, Sequence[float]] = json.load(file)
    return found


if __name__ == "__main__":
    main()
