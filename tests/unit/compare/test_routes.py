"""Mixes: each request is counted, compared and shown separately."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.compare.test_rates import make_turn
from tests.unit.factories import make_count, make_duet, make_latency, make_result, warn

from bench_action.compare.alphas import split_alpha
from bench_action.compare.counting import is_settled, warn_of_varying_counts
from bench_action.compare.explain import find_changes
from bench_action.compare.pairs import Rules, compare_pairs
from bench_action.compare.routes import sum_up_routes
from bench_action.config.gates import AT_RATE, EXACT, OBJECTIVE, default_gates
from bench_action.model.result import (
    Comparison,
    Errors,
    Result,
    RouteAtRate,
    Statement,
    Trial,
    Work,
    find_routes,
    name_route,
    split_route,
)
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell, Pair
from bench_action.report.comment import Links, render_comment
from bench_action.report.figures import draw_figures
from bench_action.report.headline import choose_headline
from bench_action.report.routes import tabulate_routes
from bench_action.report.sentences import list_causes

pytestmark = pytest.mark.unit

PAIR = Pair("revision", Cell("web", "base", "shop"), Cell("web", "head", "shop"))
LIST, ITEM = "GET /items", "GET /items/{random}"
BLOCKS = range(1, 13)


def make_counts(title: str, base: int, head: int, **changes: Any) -> list[Trial]:
    """Count ten requests twice for each side: so many queries in all."""
    profile = name_route("shop", title) if title else "shop"
    statement = "SELECT * FROM item WHERE id = $1"
    return [
        make_count(
            "web",
            queries,
            revision=revision,
            profile=profile,
            block=block,
            statements=(Statement(text=statement, calls=queries, rows=queries),) if title else (),
            **changes,
        )
        for block in (0, 1)
        for revision, queries in (("base", base), ("head", head))
    ]


def make_alone(title: str, base_us: float, head_us: float) -> list[Trial]:
    pair = PAIR.take_route(title)
    return [
        trial.model_copy(update={"variant": "web", "profile": pair.head.profile, "pair": str(pair)})
        for block in BLOCKS
        for noise in [1 + 0.01 * (block % 3)]
        for trial in make_latency(block, base_us=base_us * noise, head_us=head_us * noise)
    ]


def make_mix(item_queries: int = 10, item_us: float = 2000.0) -> list[Trial]:
    """Make what is measured of a mix of two requests, of which the second may get worse."""
    duets = [
        trial.model_copy(
            update={"variant": "web", "profile": "shop", "pair": str(PAIR), "sent": {LIST: 300, ITEM: 100}}
        )
        for block in BLOCKS
        for trial in make_duet(block, base=1000 + block, head=1000 + block)
    ]
    counts = [
        *make_counts(LIST, 20, 20),
        *make_counts(ITEM, 10, item_queries),
        *make_counts("", 30, 20 + item_queries, work=Work(queries=20 + item_queries, rows=30, cache_commands=0)),
    ]
    return [*counts, *make_alone(LIST, 1000, 1000), *make_alone(ITEM, 2000, item_us), *duets]


def compare(trials: Sequence[Trial]) -> dict[str, dict[str, Comparison]]:
    gates = {name: gate for name, gate in default_gates().items() if name != "db_cpu_ms_per_request"}
    found: dict[str, dict[str, Comparison]] = {}
    for c in compare_pairs(trials, [PAIR], Rules(gates, {}, split_alpha(gates, 1, 2))):
        found.setdefault(c.profile, {})[c.metric] = c
    return found


def test_names__of_requests_lead_back_to_their_mix() -> None:
    assert split_route(name_route("shop", LIST)) == ("shop", LIST)
    assert split_route("shop") == ("shop", "")
    assert find_routes(make_mix(), "shop") == [LIST, ITEM]
    assert find_routes(make_mix(), "other") == []


def test_compare_pairs__counts_and_latency_are_gated_for_each_request() -> None:
    found = compare(make_mix())
    assert list(found) == ["shop", f"shop · {LIST}", f"shop · {ITEM}"]
    gated = {profile: {name for name, c in metrics.items() if c.gate is not None} for profile, metrics in found.items()}
    assert gated["shop"] >= {"requests_per_second", "cpu_ms_per_request"}
    assert not gated["shop"] & {"latency_p50_us", "queries_per_request", "cache_commands_per_request"}
    for title in (LIST, ITEM):
        assert gated[f"shop · {title}"] == {"latency_p50_us", "queries_per_request", "cache_commands_per_request"}
        assert "cpu_ms_per_request" in found[f"shop · {title}"]
    assert {c.verdict for metrics in found.values() for c in metrics.values()} <= {"unchanged", "measured"}


def test_compare_pairs__a_loss_names_its_request() -> None:
    found = compare(make_mix(item_queries=130, item_us=3000.0))
    lost = {(c.profile, c.metric) for metrics in found.values() for c in metrics.values() if c.verdict == "regressed"}
    item = f"shop · {ITEM}"
    assert lost == {(item, "queries_per_request"), (item, "latency_p50_us")}
    assert found["shop"]["queries_per_request"].verdict == "measured"


def test_find_changes__name_the_statement_and_the_request() -> None:
    found = find_changes(make_mix(item_queries=130), [PAIR], {})
    assert {finding.cell for finding in found} == {f"web · shop · {ITEM}"}
    assert {finding.code for finding in found} == {"n-plus-one", "statement"}


def test_list_causes__what_is_known_of_one_request_explains_the_mix() -> None:
    trials = make_mix(item_queries=130, item_us=3000.0)
    slower = [
        trial.model_copy(update={"cpu_ms": {"application": trial.cpu_ms["application"] * 1.2}})
        if trial.phase == "duet" and trial.side == "head"
        else trial
        for trial in trials
    ]
    comparisons = [c for metrics in compare(slower).values() for c in metrics.values()]
    result = make_result(slower).model_copy(
        update={"comparisons": tuple(comparisons), "findings": find_changes(slower, [PAIR], {}), "verdict": "regressed"}
    )
    (cause,) = list_causes(result)
    assert cause.startswith(f"`web · shop · {ITEM}`, counted exactly: queries/request 1 → 13")


def test_split_alpha__the_requests_of_mixes_have_their_share() -> None:
    gates = default_gates()
    assert split_alpha(gates, 1, 0) == split_alpha(gates, 1)
    divided, without = split_alpha(gates, 1, 5), split_alpha(gates, 1).gated
    alphas = divided.gated
    noisy = [metric for metric in gates if metric not in {*AT_RATE, *OBJECTIVE, *EXACT, "requests_per_second"}]
    latency = alphas["latency_p50_us"]
    assert sum(alphas[metric] for metric in noisy) + divided.turns + 5 * latency == pytest.approx(0.01)
    assert alphas["requests_per_second"] > 0.7 * without["requests_per_second"]


def test_is_settled__if_the_queries_of_every_request_are_the_same() -> None:
    def count(title: str, block: int, queries: int, rows: int) -> Trial:
        work = Work(queries=queries, rows=rows, cache_commands=0)
        return make_count("web", profile=name_route("shop", title), block=block, work=work)

    whole = [
        make_count("web", profile="shop", block=block, work=Work(queries=33, rows=1, cache_commands=0))
        for block in (0, 1)
    ]
    assert is_settled(
        [*whole, count(LIST, 0, 10, 7), count(LIST, 1, 10, 9), count(ITEM, 0, 20, 1), count(ITEM, 1, 20, 1)]
    )
    assert not is_settled([*whole, count(LIST, 0, 10, 7), count(LIST, 1, 11, 7)])


def test_warn_of_varying_counts__names_the_request_and_not_the_mix() -> None:
    trials = [
        trial.model_copy(update={"work": Work(queries=10 + trial.block, rows=1, cache_commands=0)})
        for trial in (*make_counts(ITEM, 10, 10), *make_counts("", 10, 10))
    ]
    assert {warning.cell for warning in warn_of_varying_counts(trials)} == {
        f"web · shop · {ITEM}",
        f"web@base · shop · {ITEM}",
    }


def test_sum_up_routes__has_figures_of_every_request_and_side() -> None:
    trials = make_mix(item_us=3000.0)
    failing = [
        trial.model_copy(update={"errors": Errors(status=5)})
        if trial.phase == "count" and trial.route == ITEM and trial.revision == "head"
        else trial
        for trial in trials
    ]
    found = {(each.revision, each.route): each for each in sum_up_routes(failing)}
    head = found["head", ITEM]
    assert len(found) == 4
    assert head.metrics["queries_per_request"] == 1
    assert head.metrics["latency_p50_us"] == pytest.approx(3030)
    assert head.sent == 100 * len(BLOCKS)
    assert head.error_rate == pytest.approx(10 / (20 + 300 * len(BLOCKS)))
    assert found["base", ITEM].error_rate == 0


def test_tabulate_routes__the_worst_comes_first() -> None:
    trials = make_mix(item_queries=130, item_us=3000.0)
    result = make_result(trials).model_copy(update={"routes": sum_up_routes(trials)})
    table = tabulate_routes(result)
    assert table.headings[:4] == ("Request", "Share", "queries", "cache commands")
    assert table.rows[0] == ("web · shop",)
    assert [row[0].replace("\u00a0", " ") for row in table.rows[1:]] == [ITEM, LIST]
    assert table.rows[1][1:3] == ("25 %", "1 → 13")
    assert table.rows[2][2] == "2"
    assert "Errors" not in table.headings


def test_sum_up_routes__at_the_rate_only_valid_turns_at_that_rate_count() -> None:
    def at_rate(phase: str, p99_us: float, failed: int, **changes: Any) -> Trial:
        routes = {ITEM: RouteAtRate(requests=100, p50_us=2000, p90_us=3000, p99_us=p99_us, failed=failed)}
        turn = make_turn("head", 1, 2000.0, rate={"routes": routes}, phase=phase, **changes)
        return turn.model_copy(update={"variant": "web", "profile": "shop"})

    steps = [at_rate("slo", 90_000, 50), at_rate("rate", 90_000, 50, warnings=(warn(Code.K6_SATURATED),))]
    own = make_alone(ITEM, 2000, 2000)
    (head,) = [each for each in sum_up_routes([*own, *steps]) if each.revision == "head"]
    assert "latency_p99_at_rate_us" not in head.metrics
    (head,) = [each for each in sum_up_routes([*own, *steps, at_rate("rate", 4000, 20)]) if each.revision == "head"]
    assert head.metrics["latency_p99_at_rate_us"] == 4000
    assert head.error_rate > 0


def test_tabulate_routes__a_request_that_fails_quickly_comes_first() -> None:
    trials = make_mix(item_us=3000.0)
    routes = [
        route.model_copy(update={"error_rate": 0.4 if (route.route, route.revision) == (LIST, "head") else 0.0})
        for route in sum_up_routes(trials)
    ]
    table = tabulate_routes(make_result(trials).model_copy(update={"routes": tuple(routes)}))
    assert [row[0].replace("\u00a0", " ") for row in table.rows[1:]] == [LIST, ITEM]


def make_slower_mix(item_queries: int, item_us: float, *metrics: str) -> Result:
    """Build the result of a mix of which one request got worse, and so did these metrics of the whole."""
    trials = make_mix(item_queries=item_queries, item_us=item_us)
    lost = {"verdict": "regressed", "level": "fail", "relevant": True, "significant": True}
    worse = [
        c.model_copy(update={**lost, "ratio": 0.95 if c.metric == "requests_per_second" else 1.05, "difference": 1.0})
        if c.profile == "shop" and c.metric in metrics
        else c
        for metrics_of in compare(trials).values()
        for c in metrics_of.values()
    ]
    return make_result(trials).model_copy(update={"comparisons": tuple(worse), "verdict": "regressed"})


def test_headline__a_mix_that_one_of_its_requests_makes_slower_is_no_other_cell() -> None:
    result = make_slower_mix(130, 3000.0, "cpu_ms_per_request")
    assert choose_headline(result).text == (
        f"`web` answers 1.0 ms later on `shop · {ITEM}`: 13 queries per request instead of 1"
    )


def test_headline__a_loss_of_a_mix_names_the_request_that_does_more() -> None:
    result = make_slower_mix(130, 2000.0, "requests_per_second")
    assert choose_headline(result).text == (
        f"`web` is 5.0 % slower on `shop`: its request `{ITEM}` makes 13 queries instead of 1"
    )


def test_draw_figures__all_requests_of_a_mix_are_in_one() -> None:
    titles = [figure.title for figure in draw_figures(make_slower_mix(130, 3000.0, "cpu_ms_per_request"))]
    assert "web · shop, each request: change, with 99 % intervals" in titles
    assert not [title for title in titles if title.startswith(f"web · shop · {ITEM}")]


def test_comment__good_news_of_a_mix_is_about_one_cell() -> None:
    trials = make_mix()
    comparisons = tuple(c for metrics in compare(trials).values() for c in metrics.values())
    result = make_result(trials).model_copy(
        update={"comparisons": comparisons, "verdict": "unchanged", "compared": ("web · shop",)}
    )
    comment = render_comment(result, Links())
    assert "`web · shop`, paired with base" in comment
    assert "Work per request is identical." in comment
    assert ITEM not in comment.partition("<details")[0]
