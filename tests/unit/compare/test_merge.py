"""The results of shards, merged into one."""

from typing import Any

import pytest
from tests.unit.shards import make_shard

from bench_action.compare.explain import find_errors
from bench_action.compare.merge import _join, merge
from bench_action.compare.pairs import let_stand_in
from bench_action.model.errors import InputError
from bench_action.model.result import Errors, NotCompared, Result, Source, Trial
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell, Pair
from bench_action.report.headline import choose_headline
from bench_action.report.markdown import render_markdown
from bench_action.report.view import make_view

pytestmark = pytest.mark.unit

SHARES = (("aiohttp · list",), ("aiohttp · detail",), ("aiohttp · search",))


def shard(number: int, head: float = 1000.0, *, shares: tuple[tuple[str, ...], ...] = SHARES, **changes: Any) -> Result:
    return make_shard(number, shares, head, **changes)


def test_merge__is_what_one_run_of_everything_would_show() -> None:
    merged = merge([shard(3), shard(1), shard(2, 700.0)])
    assert merged.verdict == "regressed"
    assert merged.compared == ("aiohttp · list", "aiohttp · detail", "aiohttp · search")
    assert not merged.not_compared
    assert {trial.shard for trial in merged.trials} == {1, 2, 3}
    assert [profile.name for profile in merged.profiles] == ["list", "detail", "search"]
    assert len(merged.subjects) == 2
    assert len({c.cell for c in merged.comparisons}) == 3
    assert merged.run.command == "bench-action run --seed 0"
    assert merged.run.id == "run-1"
    assert [one.number for one in merged.shards] == [1, 2, 3]
    assert "detail" in choose_headline(merged).text
    assert merge([shard(1), shard(2), shard(3)]).verdict in {"unchanged", "inconclusive"}


def test_merge__a_missing_shard_is_named_first_and_is_never_green() -> None:
    merged = merge([shard(1), shard(3)])
    assert merged.verdict == "invalid"
    assert choose_headline(merged).text == "no verdict: shard 2 of 3 is missing"
    assert merged.not_compared == (
        NotCompared(cell="aiohttp · detail", status="not-measured", reason="shard 2 of 3 is missing"),
    )
    assert merged.warnings[0].message == "shard 2 of 3 is missing: aiohttp · detail"
    slower = merge([shard(1, 700.0)])
    assert slower.verdict == "regressed"
    text = choose_headline(slower).text
    assert text.startswith("shard 2 of 3 is missing, shard 3 of 3 is missing; ")
    assert "`aiohttp`" in text
    page = render_markdown(make_view(merged))
    assert "Shard 3 of 3" in page
    assert "Shards 1, 3 of 3" in page


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (shard(1), "2 results are of shard 1 of 3"),
        (shard(2, source=Source(head_sha="c" * 40)), "the commit of head differs"),
        (shard(2, shares=(*SHARES[:2], ("aiohttp · other",))), "divide the run in different ways"),
        (shard(2, shards=()), "not divided into shards"),
        (merge([shard(1), shard(2)]), "has been merged already"),
    ],
)
def test_merge__results_that_are_not_of_one_run_are_refused_by_name(other: Result, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        merge([shard(1), other])
    assert problem in f"{caught.value.what} {caught.value.cause}"


@pytest.mark.parametrize("wrong", [{"number": 0}, {"number": 9}, {"count": 10**9}, {"cells": ("x",)}, {"shares": ()}])
def test_merge__a_shard_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    part = shard(2)
    part = part.model_copy(update={"shards": (part.shards[0].model_copy(update=wrong),)})
    for parts in ([part], [shard(1), part]):
        with pytest.raises(InputError, match="contradicts itself"):
            merge(parts)


def test_merge__another_configuration_is_named() -> None:
    other = shard(2)
    other = other.model_copy(update={"shards": (other.shards[0].model_copy(update={"digest": "e"}),)})
    with pytest.raises(InputError, match="shards 1 and 2 are not of one run: the configuration differs"):
        merge([shard(1), other])
    with pytest.raises(InputError, match="no result to merge"):
        merge([])


SAME = (("aiohttp · list",), ("aiohttp · list",))


def test_merge__what_several_runners_measured_is_judged_together() -> None:
    merged = merge([shard(1, 985.0, shares=SAME), shard(2, 985.0, shares=SAME)])
    rates = next(c for c in merged.comparisons if c.metric == "requests_per_second" and c.kind == "revision")
    alone = next(
        c
        for c in shard(1, 985.0, shares=SAME).comparisons
        if c.metric == "requests_per_second" and c.kind == "revision"
    )
    assert rates.blocks == 2 * alone.blocks == 16
    assert set(rates.by_shard) == {"1", "2"}
    assert rates.ratio == pytest.approx(alone.ratio)
    assert rates.ci_high - rates.ci_low < alone.ci_high - alone.ci_low  # type: ignore[operator]
    assert rates.smallest_detectable < alone.smallest_detectable  # type: ignore[operator]
    assert rates.verdict == "regressed"
    duets = [(t.block, t.side) for t in merged.trials if t.phase == "duet" and t.pair]
    assert len(duets) == len(set(duets)) == 32
    assert "measured by several runners" in render_markdown(make_view(merged))
    summaries = [s for s in merged.summaries if s.revision == "head"]
    assert [s.trials for s in summaries] == [16]


def test_merge__runners_that_disagree_are_mentioned() -> None:
    merged = merge([shard(1, 1000.0, shares=SAME), shard(2, 900.0, shares=SAME)])
    messages = [warning.message for warning in merged.warnings if warning.code is Code.RUNNERS_DISAGREE]
    assert "requests/s changes by −0.5 % on shard 1, −10 % on shard 2" in messages


def test_merge__machines_of_two_kinds_have_no_common_fingerprint() -> None:
    other = shard(2)
    environment = other.environment.model_copy(update={"cpu_model": "Other CPU", "fingerprint": "f"})
    other = other.model_copy(update={"shards": (other.shards[0].model_copy(update={"environment": environment}),)})
    merged = merge([shard(1), other, shard(3)])
    assert merged.environment.cpu_model == "Some CPU (2), Other CPU (1)"
    assert merged.environment.fingerprint == "0123456789ab+f"
    assert "only ratios may be compared" in render_markdown(make_view(merged))


def test_merge__a_shard_that_others_stand_in_for_is_named_and_their_verdict_stands() -> None:
    three = (("aiohttp · list",),) * 3
    merged = merge([shard(1, 985.0, shares=three), shard(2, 985.0, shares=three)])
    assert merged.verdict == "regressed"
    assert choose_headline(merged).text.startswith("shard 3 of 3 is missing; ")
    assert [w.code for w in merged.warnings if "missing" in w.message] == [Code.FEWER_RUNNERS]
    same = merge([shard(1, shares=three), shard(2, shares=three)])
    assert same.verdict != "invalid"
    assert not same.not_compared


def test_merge__few_blocks_of_several_runners_are_judged_together() -> None:
    def few(number: int) -> Result:
        found = shard(number, 900.0, shares=SAME)
        kept = tuple(trial for trial in found.trials if trial.phase != "duet" or trial.block <= 3)
        declined = tuple(
            c.model_copy(update={"test": None, "blocks": 3, "verdict": "inconclusive"})
            if c.metric == "requests_per_second" and number == 2
            else c
            for c in found.comparisons
        )
        return found.model_copy(update={"trials": kept, "comparisons": declined})

    merged = merge([few(1), few(2)])
    rates = next(c for c in merged.comparisons if c.metric == "requests_per_second" and c.kind == "revision")
    assert (rates.blocks, rates.verdict) == (6, "regressed")


def test_merge__errors_in_few_blocks_of_several_runners_are_judged_together() -> None:
    pair = Pair("revision", Cell("aiohttp", "base", "list"), Cell("aiohttp", "head", "list"))

    def fail(trial: Trial) -> Trial:
        return trial.model_copy(update={"errors": Errors(status=trial.requests // 2)} if trial.side == "head" else {})

    def few(number: int) -> Result:
        found = shard(number, shares=SAME)
        kept = tuple(fail(trial) for trial in found.trials if trial.phase == "duet" and trial.block <= 3)
        (alone,) = find_errors(kept, pair)
        assert alone.message.endswith("of all requests, in 3 of 3 blocks: this may be chance")
        return found.model_copy(update={"trials": kept, "findings": (alone,)})

    merged = merge([few(1), few(2)])
    (both,) = (finding for finding in merged.findings if finding.code == "errors")
    assert both.message.endswith("of all requests")
    assert merged.verdict == "regressed"


def test_merge__requests_per_second_differ_only_where_cpu_per_request_does() -> None:
    def waiting(number: int) -> Result:
        """Head answers 1.3 % fewer requests with the same CPU/request."""
        found = shard(number, 992.0, shares=SAME)
        trials = tuple(
            trial.model_copy(update={"cpu_ms": {**trial.cpu_ms, "application": 0.989 * trial.cpu_ms["application"]}})
            if trial.side == "head"
            else trial
            for trial in found.trials
        )
        return found.model_copy(update={"trials": trials})

    slower, waits = merge([shard(n, 988.0, shares=SAME) for n in (1, 2)]), merge([waiting(n) for n in (1, 2)])
    rates = [
        next(c for c in found.comparisons if (c.metric, c.kind) == ("requests_per_second", "revision"))
        for found in (slower, waits)
    ]
    assert [(c.verdict, c.significant) for c in rates] == [("regressed", True), ("inconclusive", False)]


def test_merge__leaves_requests_per_second_to_cpu_per_request_where_each_shard_does() -> None:
    merged = merge([shard(n, shares=SAME) for n in (1, 2)])
    rate, cost = (
        next(c for c in merged.comparisons if (c.metric, c.kind) == (metric, "revision"))
        for metric in ("requests_per_second", "cpu_ms_per_request")
    )
    open_ = rate.model_copy(update={"verdict": "inconclusive", "ci_low": 0.9, "ci_high": 1.1})
    cost = cost.model_copy(update={"verdict": "unchanged"})
    assert _join(open_, cost, [rate, rate]).verdict == "inconclusive"
    reason = "the two did not get equal shares of their CPU; CPU/request stands in for it"
    stood_in = let_stand_in(rate, reason)
    assert _join(open_, cost, [stood_in, rate]).verdict == "inconclusive"
    found = _join(open_, cost, [stood_in, stood_in])
    assert (found.verdict, found.reason) == ("measured", reason)


def test_merge__quick_errors_are_no_gain() -> None:
    def fail(number: int) -> Result:
        found = shard(number, 1200.0, shares=SAME)
        trials = (
            trial.model_copy(update={"errors": Errors(read=trial.requests // 50)})
            if trial.revision == "head" and trial.phase != "count"
            else trial
            for trial in found.trials
        )
        return found.model_copy(update={"trials": tuple(trials)})

    merged = merge([fail(1), fail(2)])
    assert merged.verdict == "regressed"
    assert not any(c.verdict == "improved" for c in merged.comparisons)
    costs = next(c for c in merged.comparisons if (c.metric, c.kind) == ("cpu_ms_per_request", "revision"))
    assert costs.reason == "head answers with errors, which may be quicker than its replies"


def test_merge__a_self_test_is_judged_by_all_blocks_together() -> None:
    def tested(number: int, head: float) -> Result:
        found = shard(number, head, shares=SAME)
        own = Code.UNRELIABLE.warn("identical code was called regressed by requests/s", "aiohttp · list")
        run = found.run.model_copy(update={"self_test": True})
        return found.model_copy(update={"run": run, "warnings": (own,)})

    assert merge([tested(1, 1000.0), tested(2, 1000.0)]).verdict != "invalid"
    assert merge([tested(1, 900.0), tested(2, 900.0)]).verdict == "invalid"


def test_merge__head_s_own_rules_change_a_verdict_only_if_they_do_in_a_shard() -> None:
    parts = [shard(n).model_copy(update={"verdict": "unchanged", "verdict_by_head_rules": "unchanged"}) for n in (1, 2)]
    new = shard(3).model_copy(update={"verdict": "measured", "verdict_by_head_rules": "measured"})
    merged = merge([*parts, new])
    assert merged.verdict_by_head_rules == merged.verdict
    assert merge(parts).verdict_by_head_rules is None
    other = new.model_copy(update={"verdict_by_head_rules": "regressed"})
    assert merge([*parts, other]).verdict_by_head_rules == "regressed"
