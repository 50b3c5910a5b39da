"""One verdict for the run, and the warnings that one must know to read it. Pure."""

from collections.abc import Iterator, Sequence

from bench_action.model.result import Comparison, Finding, Summary, Trial, Verdict
from bench_action.model.warning import Code, Warned
from bench_action.model.wording import plural
from bench_action.paired import sides_of, soundness_of
from bench_action.plan import Pair

_WIDE_SPREAD = 0.3


def verdict_of(
    trials: Sequence[Trial],
    warnings: Sequence[Warned],
    comparisons: Sequence[Comparison] = (),
    findings: Sequence[Finding] = (),
) -> Verdict:
    """`regressed` where a gate that fails is broken, else `invalid` where something was not measured as asked.

    Then `inconclusive`, `improved`, `unchanged`, whichever a gated comparison is; `measured` where nothing was gated.
    A loss that was found soundly stands, whatever else could not be measured.
    """
    gated = [comparison for comparison in comparisons if comparison.level == "fail"]
    verdicts = {comparison.verdict for comparison in gated}
    if "regressed" in verdicts or any(finding.fails for finding in findings):
        return "regressed"
    sound = trials and all(trial.valid for trial in trials)
    if not sound or any(warned.code.invalidates for warned in warnings):
        return "invalid"
    for verdict in ("inconclusive", "improved", "unchanged"):
        if verdict in verdicts:
            return verdict
    return "measured"


def warnings_of(
    trials: Sequence[Trial], summaries: Sequence[Summary], pairs: Sequence[Pair] = ()
) -> tuple[Warned, ...]:
    """Warnings of the trials, one for each code and cell, of pairs and of spreads; what invalidates first."""
    groups: dict[tuple[Code, str], list[Warned]] = {}
    for trial in trials:
        for warned in trial.warnings:
            groups.setdefault((warned.code, warned.cell), []).append(warned)
    found = [_together(group) for group in groups.values()]
    found += [warned for pair in pairs for warned in _of_pair(trials, pair)]
    found += _wide_spreads(summaries)
    return tuple(sorted(found, key=lambda warned: not warned.code.invalidates))


def _of_pair(trials: Sequence[Trial], pair: Pair) -> Iterator[Warned]:
    """What makes a pair's duets no duets."""
    sound = soundness_of(sides_of(trials, str(pair), "duet"))
    for code, message in [*sound.faults.items(), *sound.doubts.items()]:
        yield Warned(code=code, message=message, advice=code.advice, cell=str(pair))


def _together(group: Sequence[Warned]) -> Warned:
    first = group[0]
    if len(group) == 1:
        return first
    return first.model_copy(update={"message": f"{first.message} (and in {plural(len(group) - 1, 'more trial')})"})


def _wide_spreads(summaries: Sequence[Summary]) -> Iterator[Warned]:
    for summary in summaries:
        if summary.spread is not None and summary.spread > _WIDE_SPREAD:
            code = Code.WIDE_SPREAD
            message = f"its runs differ by {summary.spread * 100:.0f} % of their median"
            yield Warned(code=code, message=message, advice=code.advice, cell=summary.cell)
