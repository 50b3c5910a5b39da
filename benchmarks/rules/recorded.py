"""Emulate runs from recordings, for each rule to judge."""

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.rules.rules import Side, Values
from numpy.typing import NDArray

_HERE = Path(__file__).resolve().parent
_DETECTION = _HERE.parent / "detection" / "recordings"
_SAME_KIND = ("same code", "CPU + ")  # how their scenarios begin
Pair = tuple[Side, Side]
Chosen = NDArray[np.bool_]


def read(name: str) -> dict[str, list[Any]]:
    """Read a recording, by column (recordings/README.md)."""
    with gzip.open(_HERE / "recordings" / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        columns: dict[str, list[Any]] = json.load(file)
    return columns


def in_order(order: str, run_s: int) -> list[Pair]:
    """Emulate base and head in this order, `b` or `h` for each run, once from each second of the single server on."""
    rates, p50s_us = _single()
    head = np.array([letter == "h" for letter in order])
    found = []
    for start in range(len(rates)):
        runs = _side(rates, p50s_us, start, len(order), run_s)
        found.append((_part(runs, ~head), _part(runs, head)))
    return found


def stored(count: int, run_s: int, draws: int, dice: np.random.Generator) -> list[Pair]:
    """Emulate `count` stored runs and then one of head, each from a random second: days apart, as histories are."""
    rates, p50s_us = _single()
    found = []
    for starts in dice.integers(len(rates), size=(draws, count + 1)):
        sides = [_side(rates, p50s_us, int(start), 1, run_s) for start in starts]
        history = Side(*(np.concatenate(values) for values in zip(*((s.rates, s.p50s_us) for s in sides), strict=True)))
        found.append((_part(history, np.arange(count + 1) < count), _part(history, np.arange(count + 1) == count)))
    return found


def interleaved(pairs: int, draws: int, dice: np.random.Generator) -> list[Pair]:
    """Emulate pairs of neighbouring slices."""
    columns = read("interleaved")
    groups = zip(columns["recording"], columns["effect_percent"], strict=True)
    losses = centre([[loss] for loss in columns["loss"]], list(groups))
    found = []
    for drawn in draw(losses, pairs, draws, dice):
        rates = np.exp(-drawn[:, 0])
        found.append((Side(np.ones(pairs), np.ones(pairs)), Side(rates, 1 / rates)))
    return found


def real_sequential() -> list[Pair]:
    """Read the two recorded runs of base, then head."""
    columns = {name: np.array(values) for name, values in read("sequential").items()}
    whole = Side(columns["requests_per_second"], columns["p50_us"].astype(float))
    return [
        (
            _part(whole, (columns["repetition"] == number) & (columns["revision"] == "base")),
            _part(whole, (columns["repetition"] == number) & (columns["revision"] == "head")),
        )
        for number in sorted(set(columns["repetition"]))
    ]


def real_effects() -> Iterator[tuple[int, float, float]]:
    """Yield the nominal effect in % of a real loop, and the loss in duets without restarts with its standard error.

    Only of sessions that also measured the same code: that shows the offset of the two processes, which is subtracted.
    """
    columns = read("unrestarted")
    losses = np.array(columns["loss"])
    groups = list(zip(columns["recording"], columns["effect_percent"], strict=True))
    for name, effect in dict.fromkeys(groups):
        if effect and (name, 0) in groups:
            slow, same = (losses[[group == (name, size) for group in groups]] for size in (effect, 0))
            error = math.sqrt(slow.var(ddof=1) / len(slow) + same.var(ddof=1) / len(same))
            yield effect, float(slow.mean() - same.mean()), error


def duets() -> Values:
    """Read the losses as recorded: block × (requests/s, CPU/request)."""
    columns = read("duets")
    return np.array([columns["loss"], columns["cpu_loss"]]).T


def own_duets(name: str) -> Values:
    """Read those of the product's own runs (benchmarks/detection), centred in each run.

    Only of runs whose head differs in what costs CPU, or not at all: those are duets of the same code with a shift.
    """
    losses: list[Sequence[float]] = []
    runs: list[int] = []
    with gzip.open(_DETECTION / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            run = json.loads(line)
            own = list(_duet_losses(run["blocks"])) if run["scenario"].startswith(_SAME_KIND) else []
            losses += own
            runs += [number] * len(own)
    return centre(losses, runs)


def centre(losses: Sequence[Sequence[float]] | Values, groups: Sequence[object]) -> Values:
    """Centre rows on the mean of their group, scaled to keep their spread; groups of one are left out.

    The factor is √(n ÷ (n − 1)).
    """
    rows = np.array(losses, dtype=float)
    found = []
    for group in dict.fromkeys(groups):
        own = rows[[name == group for name in groups]]
        if len(own) > 1:
            found.append((own - own.mean(axis=0)) * math.sqrt(len(own) / (len(own) - 1)))
    return np.concatenate(found)


def draw(losses: Values, blocks: int, draws: int, dice: np.random.Generator) -> Values:
    """Draw rows with replacement, each with a random sign, as if slots were swapped: draw × block × column."""
    rows = losses[dice.integers(len(losses), size=(draws, blocks))]
    return np.asarray(rows * dice.choice([-1.0, 1.0], (draws, blocks, 1)))


def _duet_losses(trials: Sequence[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    sides = {(trial["block"], trial["side"]): trial for trial in trials if trial["phase"] == "duet"}
    for block in dict.fromkeys(block for block, _ in sides):
        base, head = sides.get((block, "base")), sides.get((block, "head"))
        if base and head and min(base["requests"], head["requests"]) > 0:
            yield (
                math.log(base["requests"] / base["s"] * head["s"] / head["requests"]),
                math.log(_cpu_ms(head) / _cpu_ms(base)),
            )


def _cpu_ms(trial: dict[str, Any]) -> float:
    return float(trial["cpu_ms"]["application"]) / float(trial["requests"] + trial["connections"])


def _single() -> tuple[Values, Values]:
    columns = read("single")
    return np.array(columns["requests_per_second"], dtype=float), np.array(columns["p50_us"], dtype=float)


def _side(rates: Values, p50s_us: Values, start: int, runs: int, run_s: int) -> Side:
    """Join slices of 1 s to runs, wrapping at the end: the mean of their rates, the median of their p50s."""
    index = np.arange(start, start + runs * run_s) % len(rates)
    return Side(rates[index].reshape(runs, run_s).mean(axis=1), np.median(p50s_us[index].reshape(runs, run_s), axis=1))


def _part(side: Side, chosen: Chosen) -> Side:
    return Side(side.rates[chosen], side.p50s_us[chosen])
