"""Divide the run's 1 % of false alarms among all comparisons in which noise may raise one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench_action.config.gates import ALONE, AT_RATE, COST, OBJECTIVE, PAIRED, RATE, Gates
from bench_action.stats.sequential import ALPHA

_FINEST, _COARSEST = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class Alphas:
    """The alpha of one comparison: of a gated metric, by name, and of any other.

    `turns`: of gated requests/s where slices in turn decide it, because duets cannot.
    """

    gated: Mapping[str, float]
    ungated: float
    turns: float

    def choose(self, metric: str, *, in_turn: bool) -> float:
        """Choose the alpha of a gated metric. `in_turn`: whether slices in turn measured it."""
        return self.turns if in_turn and metric == RATE else self.gated[metric]


def split_alpha(
    gates: Gates, pairs: int, routes: int = 0, rated: int = 0, objectives: int = 0, *, duets: bool = True
) -> Alphas:
    """Divide the run's alpha among all comparisons in which noise may raise an alarm (Bonferroni, with weights).

    So one run in 100 raises a false alarm, at most. A gated metric gets alpha in inverse proportion to the size of its
    gate, from 1 % to 5 %: noise seldom reaches a coarse gate with any alpha, and a fine one needs most of it. Weights
    that are chosen before the data keep the error rate (Genovese, Roeder and Wasserman 2006, Biometrika 93).

    In duets, requests/s and CPU/request count as one way to an alarm, and both have the alpha of the two together:
    requests/s is tested only where CPU/request is significant (`confirms`), so a false alarm in either must first pass
    the test of CPU/request (fixed sequence: Maurer, Hothorn and Lehmacher 1995; with interim analyses: Glimm, Maurer
    and Bretz 2010, Stat. Med. 29). Requests/s by slices in turn, if duets cannot compare it, is one more way.

    Metrics without a gate fail no run; they share a separate 1 % in equal parts.

    `routes`: how many requests of mixes are compared, each by what is measured with one connection. `rated`: how many
    pairs are compared at a fixed rate, `objectives`: how many by the highest rate that holds one; `pairs`: how many are
    under full load, with `duets` or only in turn.
    """
    times = {
        **dict.fromkeys(PAIRED, pairs),
        **dict.fromkeys(ALONE, pairs + routes),
        **dict.fromkeys(AT_RATE, rated),
        **dict.fromkeys(OBJECTIVE, objectives),
    }
    weights = {metric: 1 / min(max(gate.size, _FINEST), _COARSEST) for metric, gate in gates.items() if metric in times}
    shared = duets and {RATE, COST} <= weights.keys()
    turns = weights.get(RATE, 0.0) if duets else 0.0
    total = sum(weight * times[metric] for metric, weight in weights.items()) + turns * pairs
    if shared:
        weights[RATE] = weights[COST] = weights[RATE] + weights[COST]
    each = {metric: ALPHA * weight / total if total else ALPHA for metric, weight in weights.items()}
    in_turn = ALPHA * turns / total if turns and total else each.get(RATE, ALPHA)
    # CPU/request of a request of a mix has no gate
    others = routes + sum(number for metric, number in times.items() if metric not in gates)
    return Alphas(each, ALPHA / max(1, others), in_turn)
