"""Build the comparisons of a result, with one builder for each way to measure a metric. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench_action.compare.counting import Count
from bench_action.compare.evidence import Evidence
from bench_action.compare.gating import ONE_SIDED, UNCONFIRMED, Judgement, confirms
from bench_action.config.gates import Gate
from bench_action.model.metric import METRICS
from bench_action.model.result import Comparison, Finding, Verdict
from bench_action.model.wording import percent
from bench_action.plan.blocks import Pair
from bench_action.stats.interval import CONFIDENCE, Ratio

_RELEVANT = 0.01  # a difference between figures that were measured alone matters from this size on
_UNKNOWN: dict[str, Any] = {
    "ratio": None,
    "ci_low": None,
    "ci_high": None,
    "confidence": CONFIDENCE,
    "smallest_detectable": None,
    "blocks": 0,
    "significant": False,
    "relevant": False,
}
_HALF = 0.5  # of base's reply: a shorter one may be another page


def build_exact(metric: str, pair: Pair, base: Count, head: Count, gate: Gate | None = None) -> Comparison:
    """Compare what was counted on both sides.

    Two exact counts are known without error: the interval is the ratio itself. If one of them varies, the interval is
    what their ranges allow (docs/how-it-decides.md, "Counts that vary"). Both bounds are None if base counted nothing,
    as there is no ratio then.
    """
    exact = base.exact and head.exact
    ratio = _divide(head.per_request, base.per_request)
    differs = head.change_from(base) != 0
    difference = head.per_request - base.per_request
    verdict, reason = _judge_count(metric, difference, base.per_request, gate) if differs else ("unchanged", "")
    return _build(
        "count",
        metric,
        pair,
        base_value=base.per_request,
        head_value=head.per_request,
        ratio=ratio,
        ci_low=ratio if exact else _divide(head.low, base.high),
        ci_high=ratio if exact else _divide(head.high, base.low),
        confidence=1.0 if exact else CONFIDENCE,
        smallest_detectable=0.0 if exact else _divide(head.compute_detectable(base), base.per_request),
        blocks=min(len(base.values), len(head.values)),
        significant=differs,
        relevant=differs,
        gate=gate,
        verdict=verdict,
        reason=reason,
    )


def build_solo(metric: str, pair: Pair, figures: Ratio, blocks: int) -> Comparison:
    """Compare what each side showed when it was loaded alone: figures, and never a verdict."""
    interval = figures.interval
    significant = interval is not None and not interval.low <= 1 <= interval.high
    return _build(
        "solo",
        metric,
        pair,
        base_value=figures.base,
        head_value=figures.head,
        ratio=figures.ratio,
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        smallest_detectable=figures.smallest_detectable,
        blocks=blocks,
        significant=significant,
        relevant=significant and abs(figures.ratio - 1) >= _RELEVANT,
    )


def build_paired(
    pair: Pair,
    evidence: Evidence,
    judgement: Judgement,
    gate: Gate | None,
    method: Literal["duet", "interleaved", "rate", "slo"],
) -> Comparison:
    """Compare what the blocks of a pair showed, as they were judged; without a gate there is no verdict."""
    gated: dict[str, Any] = {}
    if gate is not None:
        gated = {
            "blocks_wanted": judgement.blocks_wanted,
            "fires": judgement.fires,
            "gate": gate,
            "verdict": judgement.verdict,
            "reason": judgement.reason,
        }
    return _build(
        method,
        evidence.metric,
        pair,
        base_value=evidence.base,
        head_value=evidence.head,
        ratio=judgement.ratio if judgement.ratio is not None else evidence.head / evidence.base,
        ci_low=judgement.ci_low,
        ci_high=judgement.ci_high,
        smallest_detectable=judgement.smallest_detectable,
        blocks=judgement.blocks,
        significant=judgement.significant,
        relevant=judgement.relevant,
        test=judgement.test,
        **gated,
    )


def rebuild_paired(first: Comparison, evidence: Evidence, judgement: Judgement, gate: Gate | None) -> Comparison:
    """Replace the figures of a comparison by those of a judgement; without a gate there is no verdict."""
    figures: dict[str, Any] = {
        "base_value": evidence.base,
        "head_value": evidence.head,
        "difference": evidence.head - evidence.base,
        "ratio": judgement.ratio,
        "ci_low": judgement.ci_low,
        "ci_high": judgement.ci_high,
        "smallest_detectable": judgement.smallest_detectable,
        "blocks": judgement.blocks,
        "significant": judgement.significant,
        "relevant": judgement.relevant,
        "test": judgement.test,
        **describe_gate(gate),
        "verdict": judgement.verdict if gate is not None else "measured",
        "reason": judgement.reason if gate is not None else first.reason,
        "blocks_wanted": judgement.blocks_wanted if gate is not None else None,
        "fires": judgement.fires if gate is not None else None,
    }
    return first.model_copy(update=figures)


def confirm(rate: Comparison, cost: Comparison) -> Comparison:
    """Let requests/s of duets differ only where CPU/request does, with which it shares alpha.

    So what it detects is no smaller than what CPU/request detects. If no block has CPU/request, requests/s is alone.
    """
    if rate.method != "duet" or rate.test is None or not cost.blocks:
        return rate
    own, other = rate.smallest_detectable, cost.smallest_detectable
    if own is not None and other is not None and other > own:
        rate = rate.model_copy(update={"smallest_detectable": other, "fires": None})
    if confirms(cost, rate):
        return rate
    update: dict[str, Any] = {"significant": False, "relevant": False}
    if rate.verdict in UNCONFIRMED:
        update |= {"verdict": UNCONFIRMED[rate.verdict], "fires": None, "blocks_wanted": None}
        shows = "does not show" if cost.test is not None else "has too few blocks to show"
        update["reason"] = f"{METRICS[cost.metric].title} {shows} the same change"
    return rate.model_copy(update=update)


def is_unconfirmed(c: Comparison) -> bool:
    """Whether it would have broken its gate, had CPU/request shown the same (`confirm`)."""
    if c.test is None or c.method != "duet" or c.verdict != "inconclusive" or c.significant:
        return False
    return c.test.p_worse <= min(c.test.level, ONE_SIDED) and c.blocks_wanted is None


def refuse_gains(comparisons: Sequence[Comparison], findings: Sequence[Finding]) -> tuple[Comparison, ...]:
    """Withhold the gains of a head that answers less than base: an error, or half a page, is often quicker."""
    reasons: dict[str, str] = {}
    for finding in findings:
        if reason := _explain_quick_replies(finding):
            reasons.setdefault(finding.cell, reason)
    refused: dict[str, Any] = {"test": None, "blocks_wanted": None, "fires": None, "by_shard": {}} | _UNKNOWN
    return tuple(
        c.model_copy(
            update={**refused, "verdict": "inconclusive" if c.gate is not None else "measured", "reason": reason}
        )
        if _is_gain(c) and c.kind == "revision" and (reason := _find_reason(c, reasons))
        else c
        for c in comparisons
    )


def _explain_quick_replies(finding: Finding) -> str:
    """Explain why a gain may be no gain; empty if a finding does not put it in doubt."""
    if finding.code == "errors" and finding.fails:
        return "head answers with errors, which may be quicker than its replies"
    before, after = finding.before or 0.0, finding.after or 0.0
    less = (finding.code == "replies-changed" and after < _HALF * before) or (
        finding.code == "status-changed" and before // 100 != after // 100
    )
    return f"head may do less: {finding.message}" if less else ""


def _find_reason(c: Comparison, reasons: Mapping[str, str]) -> str:
    """Find why a gain of a cell is refused: what is wrong with its replies, or with those of a request of its mix."""
    inside = f"{c.whole_cell} · "
    return next((why for cell, why in reasons.items() if cell in {c.cell, c.whole_cell} or cell.startswith(inside)), "")


def _is_gain(c: Comparison) -> bool:
    """Whether something that is not counted became better."""
    better = (c.difference < 0) == (METRICS[c.metric].better == "lower")
    return c.method != "count" and (c.verdict == "improved" or (c.relevant and better))


def build_unmeasured(metric: str, pair: Pair) -> Comparison:
    """Stand in for a metric that was not measured at all."""
    return _build("solo", metric, pair, base_value=0.0, head_value=0.0)


def _build(
    method: str, metric: str, pair: Pair, *, base_value: float, head_value: float, gate: Gate | None = None, **more: Any
) -> Comparison:
    """Name the two sides of a pair, revisions by their cells and variants by themselves, and fill in the gate."""
    sides = (pair.base, pair.head) if pair.kind == "revision" else (pair.base.variant, pair.head.variant)
    if gate is None:
        more["verdict"] = "measured"
    return Comparison(
        kind=pair.kind,
        method=method,
        metric=metric,
        profile=pair.head.profile,
        variant=pair.head.variant,
        revision=pair.head.revision,
        base=str(sides[0]),
        head=str(sides[1]),
        base_value=base_value,
        head_value=head_value,
        difference=head_value - base_value,
        **(_UNKNOWN | describe_gate(gate) | more),
    )


def describe_gate(gate: Gate | None) -> dict[str, Any]:
    """Fill in the fields of a comparison that describe its gate."""
    if gate is None:
        return {"gate": None, "gate_absolute": 0.0, "level": None}
    return {"gate": gate.size, "gate_absolute": gate.absolute, "level": gate.level}


def _judge_count(metric: str, difference: float, base_value: float, gate: Gate | None) -> tuple[Verdict, str]:
    """Judge a count that changed: a loss by its gate alone, if it reaches that; any gain is one."""
    if gate is None:
        return "measured", ""
    if (difference > 0) != (METRICS[metric].better == "lower"):
        return "improved", ""
    if abs(difference) < max(gate.size * base_value, gate.absolute):
        return "measured", f"the change is within the gate of {percent(gate.size, exact=True)}"
    return "regressed", ""


def _divide(value: float, divisor: float) -> float | None:
    return value / divisor if divisor else None
