"""Judge what turns at a fixed rate show in addition to figures: rates that are missed, scripts that fail. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench_action.load.rates import compute_reached, is_missed
from bench_action.model.result import AtRate, Finding, Trial
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent
from bench_action.plan.blocks import Pair


@dataclass(frozen=True, slots=True)
class _Side:
    """The turns of one subject of a pair."""

    turns: tuple[tuple[Trial, AtRate], ...]

    def fails(self, is_bad: Callable[[Trial, AtRate], bool]) -> bool:
        """Whether more than half of the turns are bad in this way: single ones are chance."""
        return 2 * sum(is_bad(trial, at_rate) for trial, at_rate in self.turns) > len(self.turns)

    def crosses(self, threshold: str) -> bool:
        """Whether more than half of the turns cross a threshold of the script."""
        return self.fails(lambda _, at_rate: threshold in at_rate.thresholds)

    @property
    def reached(self) -> float:
        """The median share of the rate that it kept up with."""
        return median(compute_reached(at_rate, trial.duration_s) for trial, at_rate in self.turns)

    @property
    def rate(self) -> float:
        """The rate that was asked for."""
        return self.turns[0][1].rate or 0.0


def warn_of_rates(trials: Sequence[Trial], pair: Pair) -> Iterator[RunWarning]:
    """Warn if base itself does not keep up with the rate, or fails the script: then head cannot be judged by them."""
    base, _ = _split(trials, pair)
    if not base.turns:
        return
    name = str(pair)
    if base.fails(_is_missed):
        reached = f"base keeps up with {percent(base.reached)} of {base.rate:g}/s"
        yield Code.RATE_NOT_REACHED.warn(reached, name)
    if base.fails(_fails_checks):
        failed = _name_checks(base)
        yield Code.SCRIPT_FAILS.warn(f"the script's checks fail in base too: {failed}", name)
    if base.fails(_ends_early):
        ended = next(at_rate.ended for _, at_rate in base.turns if at_rate.ended)
        yield Code.SCRIPT_FAILS.warn(f"the script does not run to its end in base: {ended}", name)


def find_missed_rates(trials: Sequence[Trial], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find what base does at a fixed rate and head does not: keep up with it, and pass the script's checks.

    A threshold of the script that base crosses as well fails nothing.
    """
    for pair in pairs:
        base, head = _split(trials, pair)
        if not base.turns or not head.turns or pair.kind != "revision":
            continue
        cell = str(pair.head)
        if head.fails(_is_missed) and not base.fails(_is_missed):
            message = f"it keeps up with {percent(head.reached)} of {head.rate:g}/s, and base with all of it"
            yield _make("rate-missed", message, cell, base.reached, head.reached)
        if head.fails(_fails_checks) and not base.fails(_fails_checks):
            yield _make("script-checks", f"checks of the script fail: {_name_checks(head)}", cell)
        if head.fails(_ends_early) and not base.fails(_ends_early):
            ended = next(at_rate.ended for _, at_rate in head.turns if at_rate.ended)
            yield _make("script-ended", f"the script does not run to its end: {ended}", cell)
        for name in dict.fromkeys(name for _, at_rate in head.turns for name in at_rate.thresholds):
            if head.crosses(name):
                also = base.crosses(name)
                text = f"the script's threshold is crossed{', as in base' if also else ''}: {name}"
                yield _make("script-threshold", text, cell, fails=not also)


def _split(trials: Sequence[Trial], pair: Pair) -> tuple[_Side, _Side]:
    own = [trial for trial in trials if trial.phase == "rate" and trial.pair == str(pair)]
    return _take(own, "base"), _take(own, "head")


def _take(trials: Sequence[Trial], side: str) -> _Side:
    return _Side(tuple((t, t.at_rate) for t in trials if t.side == side and t.at_rate is not None))


def _is_missed(trial: Trial, at_rate: AtRate) -> bool:
    return is_missed(at_rate, trial.duration_s)


def _fails_checks(_trial: Trial, at_rate: AtRate) -> bool:
    return at_rate.checks_failed > 0


def _ends_early(_trial: Trial, at_rate: AtRate) -> bool:
    return bool(at_rate.ended)


def _name_checks(side: _Side) -> str:
    """Name the checks that fail, and how often."""
    names = dict.fromkeys(name for _, at_rate in side.turns for name in at_rate.failed_checks)
    failed, made = (sum(getattr(at_rate, field) for _, at_rate in side.turns) for field in ("checks_failed", "checks"))
    return f"{', '.join(names)} ({failed:,} of {made:,})"


def _make(
    code: str, message: str, cell: str, before: float | None = None, after: float | None = None, *, fails: bool = True
) -> Finding:
    return Finding(code=code, message=message, cell=cell, before=before, after=after, fails=fails)
