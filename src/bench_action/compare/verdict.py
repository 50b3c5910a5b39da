"""One verdict for the run, and the warnings that one must know to read it. Pure."""

from collections.abc import Collection, Iterator, Sequence

from bench_action.compare.counting import count_warnings
from bench_action.compare.evidence import FAULTS_OF_SHARES, pair_blocks, soundness_of
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Finding, Summary, Trial, Verdict
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.plan.blocks import Pair

_WIDE_SPREAD = 0.3
_SAME_IMAGE = (
    "Base and head run the same image, so this comes from the machine or from chance: close other programs, or measure "
    "on a quieter runner."
)


def verdict_of(
    trials: Sequence[Trial],
    warnings: Sequence[RunWarning],
    comparisons: Sequence[Comparison] = (),
    findings: Sequence[Finding] = (),
) -> Verdict:
    """`regressed` if a gate that fails is broken, else `invalid` if something else was measured than was requested.

    Then `inconclusive` if a gate is undecided or nothing was measured at all; `measured` if something that matters got
    worse and no gate forbids it, or if no gate applies; else `improved` or `unchanged`.
    A loss that was found reliably stands, whatever else could not be measured.
    """
    gated = [comparison for comparison in comparisons if comparison.gate is not None]
    if any(c.verdict == "regressed" and c.level == "fail" for c in gated) or any(one.fails for one in findings):
        return "regressed"
    if any(not trial.valid for trial in trials) or any(warned.code.invalidates for warned in warnings):
        return "invalid"
    verdicts = {comparison.verdict for comparison in gated}
    if not trials or "inconclusive" in verdicts:
        return "inconclusive"
    if any(is_loss(comparison) for comparison in comparisons):
        return "measured"
    return "improved" if "improved" in verdicts else "unchanged" if gated else "measured"


def is_loss(c: Comparison) -> bool:
    """Whether head is certainly worse than base by something that matters to a reader, whatever the gates say."""
    if c.kind != "revision" or c.method == "solo" or not (c.relevant or c.verdict == "regressed"):
        return False
    return (c.difference > 0) == (METRICS[c.metric].better == "lower")


def warnings_of(
    trials: Sequence[Trial],
    summaries: Sequence[Summary],
    pairs: Sequence[Pair] = (),
    identical: Collection[str] = (),
) -> tuple[RunWarning, ...]:
    """Warnings of the trials, one for each code and cell, of pairs and of spreads; what invalidates first.

    `identical`: variants of which base and head run the same image, so that no difference between them is the code's.
    """
    groups: dict[tuple[Code, str], list[RunWarning]] = {}
    for trial in trials:
        for warned in trial.warnings:
            groups.setdefault((warned.code, warned.cell), []).append(warned)
    found = [_together(group) for group in groups.values()]
    found += [warned for pair in pairs for warned in _of_pair(trials, pair, identical)]
    found += count_warnings(trials)
    found += _wide_spreads(summaries)
    return tuple(sorted(found, key=lambda warned: not warned.code.invalidates))


def _of_pair(trials: Sequence[Trial], pair: Pair, identical: Collection[str]) -> Iterator[RunWarning]:
    """What makes a pair's duets no duets."""
    sound = soundness_of(pair_blocks(trials, str(pair), "duet"))
    same = pair.kind == "revision" and pair.head.variant in identical
    for code, message in [*sound.faults.items(), *sound.doubts.items()]:
        advice = _SAME_IMAGE if same and code in FAULTS_OF_SHARES else code.advice
        yield RunWarning(code=code, message=message, advice=advice, cell=str(pair))


def _together(group: Sequence[RunWarning]) -> RunWarning:
    first = group[0]
    if len(group) == 1:
        return first
    return first.model_copy(update={"message": f"{first.message} (and in {plural(len(group) - 1, 'more trial')})"})


def _wide_spreads(summaries: Sequence[Summary]) -> Iterator[RunWarning]:
    for summary in summaries:
        if summary.spread is not None and summary.spread > _WIDE_SPREAD:
            code = Code.WIDE_SPREAD
            message = f"its runs differ by {summary.spread * 100:.0f} % of their median"
            yield RunWarning(code=code, message=message, advice=code.advice, cell=summary.cell)
