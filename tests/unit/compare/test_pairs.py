"""Trials → summaries → comparisons → verdict."""

from statistics import geometric_mean, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factories import make_count, make_subject, make_trial, two_variants, warn

from bench_action.compare.pairs import compare_variants, default_pairs
from bench_action.compare.summary import summarise, trial_values
from bench_action.compare.verdict import collect_warnings, decide_verdict
from bench_action.model.result import Comparison, Errors, Trial
from bench_action.model.warning import Code
from bench_action.stats.interval import LEAST_BLOCKS

pytestmark = pytest.mark.unit

SUBJECTS = [make_subject("django"), make_subject("aiohttp", startup_s=0.5)]
PAIR = [("django", "aiohttp")]
PROFILES = ["article-500"]
INVALID: dict[str, Any] = {"warnings": (warn(Code.CLOCK_STEP),)}


def comparison(trials: list[Trial], metric: str) -> Comparison | None:
    found = [c for c in compare_variants(trials, PAIR, PROFILES) if c.metric == metric]
    assert len(found) <= 1
    return found[0] if found else None


def test_summarise__one_for_each_cell_in_the_order_of_the_subjects() -> None:
    trials = [make_trial("aiohttp"), make_trial("django"), make_trial("django", profile="other")]
    cells = [summary.cell for summary in summarise(trials, SUBJECTS)]
    assert cells == ["django · article-500", "aiohttp · article-500", "django · other"]


def test_summarise__requests_are_a_trials_mean_and_errors_add_up() -> None:
    trials = [
        make_trial(block=1, requests=100, errors=Errors(read=1, timeout=2)),
        make_trial(block=2, requests=200, errors=Errors(connect=5, status=7, write=3)),
        make_count(errors=Errors(status=10)),
    ]
    (summary,) = summarise(trials, SUBJECTS)
    assert summary.requests == 150
    assert summary.errors == Errors(connect=5, read=1, write=3, status=7, timeout=2)
    assert (summary.trials, summary.invalid_trials) == (2, 0)


def test_summarise__metrics_are_medians_over_blocks() -> None:
    trials = [make_trial(block=block, speed=speed) for block, speed in enumerate((100, 900, 110, 120))]
    (summary,) = summarise([*trials, make_count(queries=30)], SUBJECTS)
    speed = summary.metrics["requests_per_second"]
    assert [speed.median, speed.mean] == pytest.approx([115, 307.5])
    assert speed.ci_low is not None
    assert speed.ci_low < 115
    (few,) = summarise(trials[:3], SUBJECTS)
    assert few.metrics["requests_per_second"].ci_low is None
    assert (speed.unit, speed.better) == ("1/s", "higher")
    assert summary.metrics["queries_per_request"].median == 3
    assert summary.metrics["startup_s"].median == 0.5
    assert summary.metrics["startup_s"].ci_low is None


def test_summarise__spread_is_the_distance_as_a_share_of_the_median() -> None:
    trials = [make_trial(block=block, speed=speed) for block, speed in enumerate((90, 100, 130))]
    assert summarise(trials, SUBJECTS)[0].spread == pytest.approx(0.4)
    assert summarise(trials[:1], SUBJECTS)[0].spread is None


def test_summarise__invalid_trials_are_counted_and_left_out() -> None:
    trials = [make_trial(block=1, speed=100), make_trial(block=2, speed=9999, **INVALID)]
    (summary,) = summarise(trials, SUBJECTS)
    assert (summary.trials, summary.invalid_trials) == (2, 1)
    assert summary.metrics["requests_per_second"].median == 100


def test_summarise__only_invalid_trials_give_no_speed() -> None:
    (summary,) = summarise([make_trial(**INVALID), make_count()], SUBJECTS)
    assert "requests_per_second" not in summary.metrics
    assert summary.metrics["queries_per_request"].median == 1


def test_summarise__a_warning_that_does_not_invalidate_keeps_the_trial() -> None:
    (summary,) = summarise([make_trial(warnings=(warn(Code.STEAL),))], SUBJECTS)
    assert summary.invalid_trials == 0
    assert "requests_per_second" in summary.metrics


def test_trial_values__error_replies_do_not_count_as_speed() -> None:
    values = trial_values(make_trial(requests=1000, errors=Errors(status=400, timeout=100)))
    assert values["requests_per_second"] == 60
    assert values["error_rate"] == 0.5


def test_trial_values__attempts_that_were_never_answered_count_in_the_error_rate() -> None:
    assert trial_values(make_trial(requests=0, errors=Errors(connect=10)))["error_rate"] == 1
    assert trial_values(make_trial(requests=10, errors=Errors(read=10)))["error_rate"] == 0.5


def test_trial_values__cpu_is_divided_by_requests() -> None:
    values = trial_values(make_trial(requests=1000, cpu_ms={"application": 500.0, "db": 100.0}))
    assert (values["cpu_ms_per_request"], values["db_cpu_ms_per_request"]) == (0.5, 0.1)
    assert "cache_cpu_ms_per_request" not in values


def test_trial_values__only_a_count_measures_work() -> None:
    assert "queries_per_request" not in trial_values(make_trial())
    assert "requests_per_second" not in trial_values(make_count())


@given(st.lists(st.tuples(st.integers(10, 10_000), st.integers(10, 10_000)), min_size=1, max_size=12))
def test_compare_variants__ratio_is_head_over_base(speeds: list[tuple[int, int]]) -> None:
    trials = []
    for block, (base, head) in enumerate(speeds):
        trials += [make_trial("aiohttp", block, head), make_trial("django", block, base)]
    found = comparison(trials, "requests_per_second")
    assert found is not None
    assert found.ratio is not None
    assert found.ratio == pytest.approx(found.head_value / found.base_value)
    assert found.head_value == pytest.approx(geometric_mean(head for _, head in speeds))
    assert found.difference == pytest.approx(found.head_value - found.base_value)
    assert found.blocks == len(speeds)
    assert (found.base, found.head, found.variant) == ("django", "aiohttp", "aiohttp")
    assert (found.ci_low is None) == (len(speeds) < LEAST_BLOCKS)


def test_compare_variants__a_clear_difference_is_significant_and_relevant_but_not_judged() -> None:
    found = comparison(two_variants(), "requests_per_second")
    assert found is not None
    assert (found.significant, found.relevant, found.verdict, found.gate) == (True, True, "measured", None)
    assert (found.kind, found.method, found.confidence) == ("variant", "solo", 0.99)
    assert found.ci_low is not None
    assert found.ci_low > 1


def test_compare_variants__a_small_difference_may_be_significant_but_not_relevant() -> None:
    trials = []
    for block in range(6):
        trials += [make_trial("django", block, 1000), make_trial("aiohttp", block, 1005 + block % 2)]
    found = comparison(trials, "requests_per_second")
    assert found is not None
    assert (found.significant, found.relevant) == (True, False)


@pytest.mark.parametrize("percent", [-30, -10, 5, 10, 20, 30])
def test_compare_variants__a_steady_change_of_any_size_is_significant(percent: int) -> None:
    trials = []
    for block in range(5):
        trials += [make_trial("django", block, 1000), make_trial("aiohttp", block, 10 * (100 + percent) + block % 3)]
    found = comparison(trials, "requests_per_second")
    assert found is not None
    assert (found.significant, found.relevant) == (True, True)


def test_compare_variants__noise_is_neither_significant_nor_relevant() -> None:
    speeds = [(100, 130), (120, 100), (90, 95), (110, 80)]
    trials = []
    for block, (base, head) in enumerate(speeds):
        trials += [make_trial("django", block, base), make_trial("aiohttp", block, head)]
    found = comparison(trials, "requests_per_second")
    assert found is not None
    assert (found.significant, found.relevant) == (False, False)


def test_compare_variants__pairs_valid_trials_of_the_same_block() -> None:
    trials = [
        make_trial("django", 1, 100),
        make_trial("aiohttp", 1, 200),
        make_trial("django", 2, 100),
        make_trial("aiohttp", 2, 9999, **INVALID),
        make_trial("django", 3, 7777),
        make_trial("django", 4, 300),
        make_trial("aiohttp", 4, 600),
    ]
    found = comparison(trials, "requests_per_second")
    assert found is not None
    assert found.blocks == 2
    assert found.ratio == pytest.approx(2.0)


def test_compare_variants__leaves_out_what_cannot_be_compared() -> None:
    assert compare_variants([make_trial("django")], PAIR, PROFILES) == ()
    assert compare_variants(two_variants(), PAIR, ["other"]) == ()
    assert comparison([make_trial("django", latency=None), make_trial("aiohttp")], "latency_p99_us") is None


def test_compare_variants__work_is_exact() -> None:
    found = comparison(two_variants(), "queries_per_request")
    assert found is not None
    assert (found.base_value, found.head_value, found.ratio, found.difference) == (2, 1, 0.5, -1)
    assert (found.method, found.confidence, found.smallest_detectable) == ("count", 1, 0)
    assert (found.significant, found.relevant) == (True, True)
    same = comparison(two_variants(), "rows_per_request")
    assert same is not None
    assert (same.significant, same.ratio) == (False, 1)


def test_compare_variants__from_no_work_to_some_has_no_ratio() -> None:
    found = comparison([make_count("django", queries=0), make_count("aiohttp", queries=10)], "queries_per_request")
    assert found is not None
    assert (found.ratio, found.difference, found.significant) == (None, 1, True)


def test_default_pairs__pairs_all_others_with_the_first() -> None:
    assert default_pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c")]
    assert default_pairs(["a"]) == []


def test_collect_warnings__merges_equal_ones_of_a_cell_and_puts_invalidating_ones_first() -> None:
    trials = [
        make_trial(block=1, warnings=(warn(Code.STEAL, "6 %"), warn(Code.THROTTLED, "1 s"))),
        make_trial(block=2, warnings=(warn(Code.STEAL, "7 %"),)),
        make_trial(block=3, warnings=(warn(Code.STEAL, "8 %"), warn(Code.STEAL, "9 %", cell="django · x"))),
    ]
    found = [(warning.code, warning.message, warning.cell) for warning in collect_warnings(trials, [])]
    assert found == [
        (Code.THROTTLED, "1 s", "aiohttp · article-500"),
        (Code.STEAL, "6 % (and in 2 more trials)", "aiohttp · article-500"),
        (Code.STEAL, "9 %", "django · x"),
    ]


@pytest.mark.parametrize(("fastest", "codes"), [(129, []), (131, [Code.WIDE_SPREAD])])
def test_collect_warnings__warns_of_a_wide_spread(fastest: int, codes: list[Code]) -> None:
    trials = [make_trial(block=block, speed=speed) for block, speed in enumerate((100, 100, fastest))]
    assert [warning.code for warning in collect_warnings(trials, summarise(trials, SUBJECTS))] == codes


def test_decide_verdict__is_measured_only_if_every_trial_is_valid() -> None:
    valid, broken = make_trial(), make_trial(**INVALID)
    assert decide_verdict([valid], []) == "measured"
    assert decide_verdict([valid], [warn(Code.STEAL)]) == "measured"
    assert decide_verdict([valid, broken], []) == "invalid"
    assert decide_verdict([valid], [warn(Code.STOPPED_EARLY)]) == "invalid"


def test_decide_verdict__nothing_measured_is_not_invalid() -> None:
    assert decide_verdict([], []) == "inconclusive"


def test_summaries_and_comparisons__agree_on_what_is_typical() -> None:
    trials = two_variants(7)
    (django, aiohttp) = summarise(trials, SUBJECTS)
    found = comparison(trials, "requests_per_second")
    assert found is not None
    speeds = [trial.requests_per_second for trial in trials if trial.variant == "django" and trial.phase == "capacity"]
    assert django.metrics["requests_per_second"].median == median(speeds)
    assert found.head_value == pytest.approx(aiohttp.metrics["requests_per_second"].median, rel=0.01)
