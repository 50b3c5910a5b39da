"""Compare other tools' rules with ours on recordings of shared machines: false alarms, effects found, and time.

    python benchmarks/rules/replay.py

Prints a markdown table with footnotes; nothing is stored. Seeded; takes about half a minute.

Assumptions, and which side they favour:

- Sequential runs are emulated by a window of one server's 300 seconds, starting at each second and wrapping at the end.
  So they include drift and autocorrelation, but not restarts, builds or other machines: the other tools' rules look
  better than they are. All 300 windows are counted, but they overlap: a share is based on about three independent
  windows of 100 s, and another hour may show half or twice as much.
- A stored run is a window that starts at a random second. Real histories come from other machines as well.
- Pairs and blocks are centred, drawn with replacement, and given a random sign. So they have no offset between slots
  and no memory from block to block; the last footnote replays the blocks in their recorded order.
- An effect is a factor on every request of head: on rate, on p50 (connections ÷ rate) and on CPU/request. It is the
  application's own CPU time. None of these rates include waiting that concurrency hides, which a duet does not see.
- Ours is the product's code, look by look, on requests/s and CPU/request, each with its alpha in a run with the default
  gates. Improvements of the same code are counted in a footnote, not as alarms.
- Time is that of measuring unchanged code. A block's seconds include its restarts and warm-up; those of the other tools
  are not counted, nor is the time to collect a history.
- The rows of the product's own runs also spend the time of counts and of loading each subject alone (`OWN`).
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a file

import numpy as np
from benchmarks.rules import recorded, rules
from benchmarks.rules.course import ends, windows_as_recorded
from benchmarks.rules.recorded import real_effects

SEED = 20261122
_EFFECTS = (0.02, 0.05, 0.10, 0.20)
_POWER = 0.95
_LARGEST = 3.0
_DRAWS, _FEWER = 2000, 500
_ONE_AFTER_THE_OTHER = "bbbbbhhhhh"


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where duets were recorded, and how many seconds a run spends on each, and on all else that it measures."""

    name: str
    recording: str
    block_s: float
    alone_s: float = 0.0

    def count(self, limit_s: float) -> int:
        """Count the blocks that fit into a limit."""
        return int((limit_s - self.alone_s) / self.block_s)


# both restarted and ready in about 2 s, warmed up for 1 to 2 s, 4 to 5 s measured; before the product existed
BEFORE = Blocks("bench-action, before the tool existed", "duets", 8.5)
# the product's runs through Docker: when its first table was recorded, and now; the first five blocks have a slice with
# one connection as well
OWN = (
    Blocks("bench-action, its runs of 2026-11-25 and 26", "docker", 9.0, 13.0),
    Blocks("bench-action, its runs of 2026-11-29 and 30", "docker-aims", 7.4, 19.0),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A rule replayed on runs. `power(effect)` is the share of alarms if head is slower by `effect`.

    `improved` is the share of unchanged code that is called improved, if the rule has such a verdict.
    """

    name: str
    false_alarms: float
    power: Callable[[float], float]
    measured_s: float
    improved: float | None = None


def main() -> None:
    """Print the table."""
    dice = np.random.default_rng(SEED)
    print("| rule | false alarms | finds 2 % | 5 % | 10 % | 20 % | found in 95 of 100 | time |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    improved = []
    for row in (*theirs(dice), *ours(dice)):
        print(_line(row), flush=True)
        if row.improved is not None:
            improved.append(f"{row.improved * 100:.1f} %")
    print()
    for note in _footnotes(improved):
        print(f"- {note}")


def theirs(dice: np.random.Generator) -> Iterator[Row]:
    """Replay the rules of other tools, each on the kind of runs that its tool measures."""
    last = recorded.stored(1, 50, _DRAWS, dice)
    for limit in (2.0, 1.5, 1.2, 1.1):
        default = ", the default" if limit == 2.0 else ""
        name = f"github-action-benchmark, {limit * 100:.0f} % of the stored run{default}"
        yield _row(name, rules.slower_by(limit), last, 50)
    history = recorded.stored(10, 50, _DRAWS, dice)
    yield _row("Bencher-like, t boundary 0.99 of ten stored runs", rules.bencher_t_test, history, 50)
    sequential = recorded.in_order(_ONE_AFTER_THE_OTHER, 10)
    yield _row("110 %, base then head", rules.slower_by(1.1), sequential, 100)
    yield _row("CodSpeed, −10 %", rules.codspeed, sequential, 100)
    yield _row("node, Welch 0.05", rules.node, sequential, 100)
    yield _row("autocannon-compare, Welch 0.10 and 5 %", rules.autocannon_compare, sequential, 100)
    asv = recorded.in_order("b" * 10 + "h" * 10, 5)
    yield _row("asv continuous, 1.1 and Mann-Whitney 0.002", rules.asv_continuous, asv, 100)
    yield _row("PostgREST, p50 + 5 %, 60 s each", rules.postgrest, recorded.in_order("bh", 60), 120)
    yield _row("react_on_rails, 25 %, three runs each", rules.react_on_rails, recorded.in_order("bbbhhh", 10), 60)
    yield _row("php-judy-like, five ABBA rounds, 10 %", rules.php_judy_like, recorded.in_order("bhhb" * 5, 10), 200)
    yield _row("reth-like, four ABBA pairings", rules.reth_like, recorded.in_order("bhhb" * 4, 10), 160)
    pairs = recorded.interleaved(60, _DRAWS, dice)
    yield _row("(no tool's) 1 s slices in turn, paired t 0.01", rules.paired_t, pairs, 120)


def ours(dice: np.random.Generator) -> Iterator[Row]:
    """Replay the product's rule on duets recorded before the product existed, and on those of the runs it has made."""
    losses = recorded.duets()
    yield from _caps(BEFORE, recorded.centre(losses, [0] * len(losses)), dice)
    for own in OWN:
        yield from _caps(own, recorded.own_duets(own.recording), dice)


def _caps(source: Blocks, losses: rules.Values, dice: np.random.Generator) -> Iterator[Row]:
    for limit_s in (60, 120):
        blocks = recorded.draw(losses, source.count(limit_s), _DRAWS, dice)
        same = list(ends(blocks))
        seconds = source.alone_s + source.block_s * sum(end.blocks for end in same) / _DRAWS
        wrong, better = (sum(end.verdict == verdict for end in same) / _DRAWS for verdict in ("regressed", "improved"))
        yield Row(f"**{source.name}, at most {limit_s} s**", wrong, _build_power(blocks[:_FEWER]), seconds, better)


def _build_power(blocks: rules.Values) -> Callable[[float], float]:
    return lambda effect: sum(end.verdict == "regressed" for end in ends(blocks + math.log1p(effect))) / len(blocks)


def _row(name: str, rule: rules.Rule, pairs: Sequence[recorded.Pair], measured_s: float) -> Row:
    def share(effect: float, among: Sequence[recorded.Pair]) -> float:
        return sum(rule(base, head.slowed(effect)) for base, head in among) / len(among)

    return Row(name, share(0.0, pairs), lambda effect: share(effect, pairs[:_FEWER]), measured_s)


def _line(row: Row) -> str:
    found = " | ".join(f"{row.power(effect) * 100:.0f} %" for effect in _EFFECTS)
    least = smallest_found(row.power) * 100
    size = f"over {_LARGEST * 100:.0f} %" if math.isinf(least) else f"{least:.{0 if least >= 10 else 1}f} %"
    return f"| {row.name} | {row.false_alarms * 100:.1f} % | {found} | {size} | {row.measured_s:.0f} s |"


def smallest_found(power: Callable[[float], float]) -> float:
    """Find the effect that 95 of 100 runs find, with a precision of 3 %; infinite above 300 %."""
    low, high = 0.002, _LARGEST
    if power(high) < _POWER:
        return math.inf
    while high / low > 1.03:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if power(middle) >= _POWER else (middle, high)
    return high


def _footnotes(improved: Sequence[str]) -> Iterator[str]:
    yield (
        f"False alarms: of {_DRAWS} draws of unchanged code (1 % is known to ± 0.4 points, given the recording) or, of "
        "sequential runs, of 300 overlapping windows (about three independent ones: known roughly). What is "
        f"found: of {_FEWER} draws or the same windows. Assumptions: the first lines of benchmarks/rules/replay.py."
    )
    yield f"Unchanged code called `improved` by ours, row by row, not counted as false alarms: {', '.join(improved)}."
    effects = (f"{size} % nominal: {loss * 100:+.1f} ± {error * 100:.1f} %" for size, loss, error in real_effects())
    yield f"Real loops in duets on one core, not restarted, against the same code there: {'; '.join(effects)}."
    named = {
        "110 %": rules.slower_by(1.1),
        "CodSpeed": rules.codspeed,
        "node": rules.node,
        "autocannon-compare": rules.autocannon_compare,
    }
    for number, (base, head) in enumerate(recorded.real_sequential(), 1):
        slower = base.rates.mean() / head.rates.mean() - 1
        alarmed = [name for name, rule in named.items() if rule(base, head)]
        yield (
            f"Recorded base-then-head run {number} of the same code, 5 + 5 × 10 s: {slower * 100:.1f} % slower; "
            f"alarm by {', '.join(alarmed) or 'none'} (of {', '.join(named)})."
        )
    cap = BEFORE.count(120)
    wrong, windows = windows_as_recorded(recorded.duets(), cap)
    yield (
        f"The blocks of `duets` in their recorded order, neither centred nor swapped, in {windows} overlapping windows "
        f"of {cap} blocks, each in both directions: {wrong} of {2 * windows} end as `regressed`."
    )


if __name__ == "__main__":
    main()
