"""Show how long requests take at a fixed rate, base above head, so that one look is enough."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench_action.model.result import QUANTILES, Result, Trial, cell_name
from bench_action.report import numbers

_WIDTH = 34
_WHISKER, _BOX, _MEDIAN = "─", "▒", "█"
_LOWEST, _LOW, _HIGH, _HIGHEST = (QUANTILES.index(share) for share in (0.05, 0.1, 0.9, 0.99))


@dataclass(frozen=True, slots=True)
class Waits:
    """The latencies of a cell at its rate: `sides` maps a label (base, head) to quantiles in µs, as `QUANTILES`."""

    cell: str
    load: str
    sides: tuple[tuple[str, tuple[float, ...]], ...]

    @property
    def title(self) -> str:
        """The cell and its load."""
        return f"{self.cell}, {self.load}" if self.load else self.cell

    def draw(self) -> list[str]:
        """Draw a box for each side on one logarithmic scale: p10 to p90, whiskers from p5 to p99, and the median."""
        low = min(values[_LOWEST] for _, values in self.sides)
        high = max(values[_HIGHEST] for _, values in self.sides)
        ends = numbers.latency(low), numbers.latency(high)
        width = max(len(label) for label, _ in self.sides)
        lines = [f"{'':<{width}}  {ends[0]}{ends[1]:>{_WIDTH - len(ends[0])}}"]
        for label, values in self.sides:
            p50, p90, p99 = (
                numbers.latency(values[QUANTILES.index(share)]).replace("\u00a0", " ") for share in (0.5, 0.9, 0.99)
            )
            lines.append(f"{label:<{width}}  {_draw_box(values, low, high)}  p50 {p50}, p90 {p90}, p99 {p99}")
        return lines


def _draw_box(values: Sequence[float], low: float, high: float) -> str:
    def place(value: float) -> int:
        share = math.log(value / low) / math.log(high / low) if high > low else 0.0
        return min(_WIDTH - 1, max(0, round(share * (_WIDTH - 1))))

    cells = [" "] * _WIDTH
    for mark, first, last in ((_WHISKER, _LOWEST, _HIGHEST), (_BOX, _LOW, _HIGH)):
        for at in range(place(values[first]), place(values[last]) + 1):
            cells[at] = mark
    cells[place(values[QUANTILES.index(0.5)])] = _MEDIAN
    return "".join(cells)


def list_waits(result: Result) -> tuple[Waits, ...]:
    """List the latencies at a fixed rate of each cell of head that has any, with base's if it has been paired."""
    return tuple(_list(result)) if result.verdict != "invalid" else ()


def _list(result: Result) -> Iterator[Waits]:
    loads = {profile.name: (profile.rate, profile.script) for profile in result.profiles}
    turns = [trial for trial in result.trials if trial.phase == "rate" and trial.valid and _has_quantiles(trial)]
    for variant, profile in dict.fromkeys((trial.variant, trial.profile) for trial in turns):
        own = [trial for trial in turns if (trial.variant, trial.profile) == (variant, profile)]
        sides = [(side, [t for t in own if t.revision == side]) for side in ("base", "head")]
        shown = tuple((side, _average(trials)) for side, trials in sides if trials)
        rates = {trial.at_rate.rate for trial in own if trial.at_rate is not None and trial.at_rate.rate is not None}
        load = _describe_load(*loads.get(profile, ("", "")), rates)
        load = " ".join(filter(None, (load, _describe_protocols(own))))
        yield Waits(cell_name(variant, "head", profile), load, shown)


def _has_quantiles(trial: Trial) -> bool:
    return trial.at_rate is not None and len(trial.at_rate.quantiles_us) == len(QUANTILES)


def _describe_protocols(trials: Sequence[Trial]) -> str:
    """Say who was loaded over HTTP/2; empty if nobody was."""
    used = {
        side for side in ("base", "head") for t in trials if t.revision == side and t.at_rate and t.at_rate.over_http2
    }
    known = {trial.revision for trial in trials}
    if not used or used == known:
        return "over HTTP/2" if used else ""
    return ", ".join(f"{side} over HTTP/{2 if side in used else 1.1}" for side in ("base", "head"))


def _average(trials: Sequence[Trial]) -> tuple[float, ...]:
    """Take the median of each quantile over turns."""
    rows = [trial.at_rate.quantiles_us for trial in trials if trial.at_rate is not None]
    return tuple(max(1.0, median(values)) for values in zip(*rows, strict=True))  # 0: refused connections


def _describe_load(rate: str, script: str, rates: set[float]) -> str:
    """Describe the rate; of a share, the requests/s that it came to, which all turns have in common."""
    found = f"{rates.pop():g}/s" if len(rates) == 1 else ""
    if rate and "%" in rate:
        return f"at {rate} of the capacity" + (f" ({found})" if found else "")
    return f"at {rate}" if rate else f"as {script} says" if script else ""
