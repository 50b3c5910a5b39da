"""Judge what turns at a fixed rate show in addition to figures: rates that are missed, scripts that fail. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench_action.compare.explain import CHANCE, compute_chance
from bench_action.load.rates import compute_reached, describe_dropped, describe_missed, is_missed
from bench_action.model.result import AtRate, Finding, Trial
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.plan.blocks import Pair

AT_RATE_FINDINGS = frozenset({"rate-missed", "script-fails", "script-ended", "script-threshold"})
_Bad = Callable[[Trial, AtRate], bool]


@dataclass(frozen=True, slots=True)
class _Side:
    """The turns of one subject of a pair."""

    turns: tuple[tuple[Trial, AtRate], ...]

    def count(self, is_bad: _Bad) -> int:
        """Count the turns that are bad in this way."""
        return sum(is_bad(trial, at_rate) for trial, at_rate in self.turns)

    def fails(self, is_bad: _Bad) -> bool:
        """Whether more than half of the turns are bad in this way."""
        return 2 * self.count(is_bad) > len(self.turns)

    def describe_rate(self) -> str:
        """Say how far it kept up with its rate."""
        dropped = sum(at_rate.dropped for _, at_rate in self.turns)
        if dropped:
            return describe_dropped(dropped, "iteration")
        missed = [(trial, at_rate) for trial, at_rate in self.turns if _is_missed(trial, at_rate)] or self.turns
        trial, at_rate = sorted(missed, key=lambda turn: compute_reached(turn[1], turn[0].duration_s))[len(missed) // 2]
        return describe_missed(at_rate, trial.duration_s)

    def describe_faults(self) -> str:
        """Name the checks that fail, and how often, or how many exceptions there were."""
        names = dict.fromkeys(name for _, at_rate in self.turns for name in at_rate.failed_checks)
        failed = sum(at_rate.checks_failed for _, at_rate in self.turns)
        raised = sum(at_rate.exceptions for _, at_rate in self.turns)
        checks = f"{', '.join(names)} ({failed:,} of all {sum(at_rate.checks for _, at_rate in self.turns):,} checks)"
        parts = [*([f"checks fail: {checks}"] if failed else []), *([plural(raised, "exception")] if raised else [])]
        return " and ".join(parts)

    def describe_end(self) -> str:
        """Say why the script ended early."""
        return next((at_rate.ended for _, at_rate in self.turns if at_rate.ended), "")


def warn_of_rates(trials: Sequence[Trial], pair: Pair) -> Iterator[RunWarning]:
    """Warn if neither side keeps up with the rate, or passes the script: nothing can be judged by them then."""
    base, head = _split(trials, pair)
    if not base.turns or not head.turns:
        return
    both = [is_bad for is_bad in (_is_missed, _fails_script, _ends_early) if base.fails(is_bad) and head.fails(is_bad)]
    name = str(pair)
    if _is_missed in both:
        yield Code.RATE_NOT_REACHED.warn(f"neither side reaches the rate; of base, {base.describe_rate()}", name)
    if _fails_script in both:
        yield Code.SCRIPT_FAILS.warn(f"the script fails on both sides; in base, {base.describe_faults()}", name)
    if _ends_early in both:
        yield Code.SCRIPT_FAILS.warn(f"the script does not finish on either side: {base.describe_end()}", name)


def warn_of_scripts_alone(trials: Sequence[Trial]) -> Iterator[RunWarning]:
    """Warn if a script fails on a subject that is compared with nothing."""
    alone: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.phase == "rate" and not trial.pair:
            alone.setdefault(trial.cell, []).append(trial)
    for cell, turns in alone.items():
        side = _Side(tuple((turn, turn.at_rate) for turn in turns if turn.at_rate is not None))
        if side.fails(_fails_script):
            yield Code.SCRIPT_FAILS.warn(f"the script fails: {side.describe_faults()}", cell)
        if side.fails(_ends_early):
            yield Code.SCRIPT_FAILS.warn(f"the script does not run to its end: {side.describe_end()}", cell)


def find_missed_rates(trials: Sequence[Trial], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find what base does at a fixed rate and head does not: keep up with it, and pass the script.

    Such a finding fails the run only if chance hardly ever gives head so many more of the bad turns than base.
    """
    for pair in pairs:
        base, head = _split(trials, pair)
        if base.turns and head.turns and pair.kind == "revision":
            yield from _find(base, head, str(pair.head))


def _find(base: _Side, head: _Side, cell: str) -> Iterator[Finding]:
    if head.fails(_ends_early):
        yield from _make(base, head, _ends_early, code="script-ended", cell=cell, message=head.describe_end())
    elif head.fails(_is_missed):
        yield from _make(base, head, _is_missed, code="rate-missed", cell=cell, message=head.describe_rate())
    if head.fails(_fails_script) or head.count(_fails_script) > base.count(_fails_script):
        yield from _make(base, head, _fails_script, code="script-fails", cell=cell, message=head.describe_faults())
    for name in dict.fromkeys(name for _, at_rate in head.turns for name in at_rate.thresholds):

        def crosses(_trial: Trial, at_rate: AtRate, name: str = name) -> bool:
            return name in at_rate.thresholds

        if head.fails(crosses):
            yield from _make(
                base, head, crosses, code="script-threshold", cell=cell, message=f"a threshold is crossed: {name}"
            )


def _make(base: _Side, head: _Side, is_bad: _Bad, *, code: str, cell: str, message: str) -> Iterator[Finding]:
    before, after = base.count(is_bad), head.count(is_bad)
    also = base.fails(is_bad)
    fails = not also and compute_chance(before, len(base.turns), after, len(head.turns)) <= CHANCE
    if also and is_bad in {_is_missed, _fails_script, _ends_early}:
        return  # a warning reports it
    often = f" (in {after} of {len(head.turns)} turns, of base in {before} of {len(base.turns)})"
    tail = "" if fails else ", as in base" if also else ": this may be chance"
    yield Finding(code=code, message=f"{message}{often}{tail}", cell=cell, before=None, after=None, fails=fails)


def _split(trials: Sequence[Trial], pair: Pair) -> tuple[_Side, _Side]:
    own = [trial for trial in trials if trial.phase == "rate" and trial.pair == str(pair)]
    return _take(own, "base"), _take(own, "head")


def _take(trials: Sequence[Trial], side: str) -> _Side:
    return _Side(tuple((t, t.at_rate) for t in trials if t.side == side and t.at_rate is not None))


def _is_missed(trial: Trial, at_rate: AtRate) -> bool:
    return not at_rate.ended and is_missed(at_rate, trial.duration_s)


def _fails_script(_trial: Trial, at_rate: AtRate) -> bool:
    return at_rate.checks_failed + at_rate.exceptions > 0


def _ends_early(_trial: Trial, at_rate: AtRate) -> bool:
    return bool(at_rate.ended)
