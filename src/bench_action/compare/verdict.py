"""Decide the verdict of a run, and collect the warnings that a reader needs to judge it. Pure."""

from collections.abc import Collection, Iterator, Sequence

from bench_action.compare.counting import warn_of_varying_counts
from bench_action.compare.evidence import SHARE_FAULTS, check_duets, pair_blocks
from bench_action.compare.rates import warn_of_rates, warn_of_scripts_alone
from bench_action.compare.warmth import warn_of_cold_blocks, warn_of_cold_cells
from bench_action.config.gates import COST, RATE
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Finding, Summary, Trial, Verdict
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent, plural
from bench_action.plan.blocks import Pair
from bench_action.stats.interval import LEAST_BLOCKS

_WIDE_SPREAD = 0.3
_SAME_IMAGE = (
    "Base and head run the same image. If their data and settings are the same, too, the machine or chance is the "
    "cause: close other programs, or use a quieter runner."
)


def decide_verdict(
    trials: Sequence[Trial],
    warnings: Sequence[RunWarning],
    comparisons: Sequence[Comparison] = (),
    findings: Sequence[Finding] = (),
) -> Verdict:
    """Decide the verdict of a run by the first rule that applies.

    `regressed` if a gate that fails the run is broken; `invalid` if something other than requested was measured;
    `inconclusive` if a gate is undecided, or nothing was measured; `measured` if something that matters got worse and
    no gate forbids it, or if there is no gate; else `improved` or `unchanged`. So a loss that was found reliably stands
    even if something else could not be measured.
    """
    gated = [comparison for comparison in comparisons if comparison.gate is not None]
    if any(c.verdict == "regressed" and c.level == "fail" for c in gated) or any(finding.fails for finding in findings):
        return "regressed"
    if any(not trial.valid for trial in trials) or any(warning.code.invalidates for warning in warnings):
        return "invalid"
    verdicts = {comparison.verdict for comparison in gated}
    if not trials or "inconclusive" in verdicts:
        return "inconclusive"
    if any(is_loss(comparison) for comparison in comparisons):
        return "measured"
    return "improved" if "improved" in verdicts else "unchanged" if gated else "measured"


def is_judged(c: Comparison) -> bool:
    """Whether so many blocks compare base and head under load that a verdict is possible."""
    loaded = c.metric in {RATE, COST} or c.method in {"rate", "slo"}
    return c.kind == "revision" and loaded and c.method != "solo" and c.blocks >= LEAST_BLOCKS


def is_loss(c: Comparison) -> bool:
    """Whether head is certainly worse than base in something that matters to a reader, with or without a gate."""
    if c.kind != "revision" or c.method == "solo" or not (c.relevant or c.verdict == "regressed"):
        return False
    return (c.difference > 0) == (METRICS[c.metric].better == "lower")


def collect_warnings(
    trials: Sequence[Trial],
    summaries: Sequence[Summary],
    pairs: Sequence[Pair] = (),
    identical: Collection[str] = (),
) -> tuple[RunWarning, ...]:
    """Collect the warnings of trials, one for each code and cell, of pairs, counts and spreads; what invalidates first.

    `identical`: variants of which base and head run the same image, so that only data or settings may differ.
    """
    groups: dict[tuple[Code, str], list[RunWarning]] = {}
    for trial in trials:
        for warning in trial.warnings:
            groups.setdefault((warning.code, warning.cell), []).append(warning)
    found = [_merge(group) for group in groups.values()]
    found += [warning for pair in pairs for warning in _warn_of_duets(trials, pair, identical)]
    found += [warning for pair in pairs for warning in warn_of_rates(trials, pair)]
    found += warn_of_scripts_alone(trials)
    found += warn_of_varying_counts(trials)
    found += warn_of_cold_cells(trials)
    found += [each for pair in pairs for each in warn_of_cold_blocks(trials, str(pair), str(pair.head))]
    found += [
        Code.WIDE_SPREAD.warn(f"its trials differ by {percent(summary.spread)} of their median", summary.cell)
        for summary in summaries
        if summary.spread is not None and summary.spread > _WIDE_SPREAD
    ]
    return tuple(sorted(found, key=lambda warning: not warning.code.invalidates))


def list_false_differences(comparisons: Sequence[Comparison]) -> list[RunWarning]:
    """Warn of each difference that a self-test found: it measured head against itself."""
    return [
        Code.UNRELIABLE.warn(f"identical code was called {c.verdict} by {METRICS[c.metric].title}", c.cell)
        for c in comparisons
        if c.verdict in {"regressed", "improved"}
    ]


def _warn_of_duets(trials: Sequence[Trial], pair: Pair, identical: Collection[str]) -> Iterator[RunWarning]:
    """Warn if the duets of a pair cannot compare rates, and of anything to know if they can."""
    check = check_duets(pair_blocks(trials, str(pair), "duet"))
    same = pair.kind == "revision" and pair.head.variant in identical
    for code, message in [*check.faults.items(), *check.doubts.items()]:
        yield code.warn(message, str(pair), _SAME_IMAGE if same and code in SHARE_FAULTS else "")


def _merge(group: Sequence[RunWarning]) -> RunWarning:
    first = group[0]
    if len(group) == 1:
        return first
    return first.model_copy(update={"message": f"{first.message} (and in {plural(len(group) - 1, 'more trial')})"})
