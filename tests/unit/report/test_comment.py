"""The comment: what it says first, that it fits, and that nobody speaks through it."""

import json
import re
from typing import Any

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.factories import make_compared, make_comparison, make_duet, make_paired, make_result, warn

from bench_action.model.errors import StackError
from bench_action.model.result import INITIAL_DATA_OF, Finding, NotCompared, Result, RuleChange, Statement
from bench_action.model.warning import Code
from bench_action.report.comment import LONGEST, Links, render_comment, render_failure
from bench_action.report.sentences import list_causes
from bench_action.report.templating import escape_text

pytestmark = pytest.mark.unit

RUN = "https://github.com/org/shop/actions/runs/12"


def comment(result: Result, **options: Any) -> str:
    return render_comment(result, Links(RUN), **options)


def page(markdown: str) -> str:
    """What GitHub's own renderer makes of it; raw HTML is kept, as GitHub keeps details and summary."""
    html: str = cmarkgfm.github_flavored_markdown_to_html(markdown, options=Options.CMARK_OPT_UNSAFE)
    return html


def test_comment__of_a_loss_says_what_how_much_and_why_before_anything_else() -> None:
    statement = Statement(text="SELECT tag FROM item WHERE id = $1", calls=200, rows=200)
    text = comment(make_compared(make_paired(940, queries=210, statements=(statement,))))
    lines = [line for line in text.splitlines() if line]
    assert re.fullmatch(r"### 🔴 bench-action: `aiohttp` is 6\.\d % slower on `article-500`: 21 queries .*", lines[0])
    assert lines[1].startswith("**Cause:** `aiohttp · article-500`, counted exactly: queries/request 1 → 21")
    assert lines[2].startswith("- aiohttp · article-500: new query: `SELECT tag FROM item")
    assert lines[3].startswith("**Confidence:** 99 % interval −")
    assert text.index("| Metric | Base | Head |") < text.index("<details>")
    assert "**Next:** reproduce it with `bench-action run" in text
    assert "SELECT tag FROM item" in text


def test_comment__of_errors_does_not_advise_to_accept_them() -> None:
    message, cell = "errors: 0 % → 100 % of all requests", "aiohttp · article-500"
    errors = Finding(code="errors", message=message, cell=cell, before=0.0, after=1.0, fails=True)
    lost = make_compared(make_paired(940))
    assert "raise the gate in" in comment(lost)
    same = make_compared(make_paired(1003)).model_copy(update={"findings": (errors,), "verdict": "regressed"})
    assert "**Next:** reproduce it with `bench-action run" in comment(same)
    assert "raise the gate in" not in comment(same)


def test_comment__says_why_a_cell_was_not_compared_if_its_headline_is_about_something_else() -> None:
    reason = "base `1a2b3c4` could not be built: step `RUN make` failed"
    missing = NotCompared(cell="aiohttp · article-500", status="base-failed", reason=reason, log=("make: Error 2",))
    text = "queries/request 2 instead of 1"
    work = Finding(code="work-deviates", message=text, cell=missing.cell, before=1, after=2, fails=True)
    alone = make_compared([trial for trial in make_paired(1000) if trial.phase == "capacity"], compared=())
    result = alone.model_copy(update={"not_compared": (missing,), "comparisons": ()})
    plain = comment(result)
    assert plain.count("could not be built") == 1  # the headline says it
    failing = comment(result.model_copy(update={"findings": (work,), "verdict": "regressed"}))
    assert "queries/request 2 instead of 1" in failing.splitlines()[0]
    assert "`aiohttp · article-500` was not compared: base `1a2b3c4` could not be built" in failing


def test_comment__names_what_base_s_rules_do_not_judge() -> None:
    check = RuleChange(what="check home", before="contains Hello", after="contains Bye")
    seed = RuleChange(what="seed", before="seed.sql", after="small.sql")
    initial = RuleChange(what=f"{INITIAL_DATA_OF} db", before="init.sql", after="other contents of init.sql")
    for changes, said in (
        ((initial,), "base's rules, except for its data."),
        ((check,), "base's rules, except for the checks that it changes."),
        ((check, seed), "base's rules, except for the checks that it changes and its data."),
        ((RuleChange(what="check new", before="", after="status 200"),), "base's rules."),
    ):
        result = make_compared(make_paired(1003)).model_copy(update={"rules": "base", "rule_changes": changes})
        assert f"It was judged by {said}" in comment(result)


def test_list_causes__name_the_worker_that_needs_more_cpu() -> None:
    duets = [
        trial.model_copy(
            update={"cpu_ms": {"application": 2000.0, "db": 400.0, "celery": 400.0 if trial.side == "base" else 1600.0}}
        )
        for block in range(1, 6)
        for trial in make_duet(block)
    ]
    lost = make_comparison(
        metric="total_cpu_ms_per_request", base_value=0.7, head_value=1.0, ratio=1.43, difference=0.3, gate=0.03
    )
    result = make_result(duets, comparisons=(lost,), verdict="regressed")
    (cause,) = list_causes(result)
    assert cause == ("`aiohttp · article-500` needs more CPU in its services: celery, 0.10 ms → 0.40 ms per request.")
    (unknown,) = list_causes(result.model_copy(update={"trials": ()}))
    assert unknown.endswith("needs more CPU in its services.")


def test_comment__of_no_change_is_calm() -> None:
    text = comment(make_compared(make_paired(1003)))
    head = text.partition("<details>")[0]
    assert head.startswith("### 🟢 bench-action: no change detected (detectable: 0.")
    assert "Work per request is identical" in head
    assert "**Next:**" not in head


def test_comment__has_warnings_in_one_line_after_the_table_and_then_what_to_do() -> None:
    result = make_compared(make_paired(940))
    warnings = tuple(warn(Code.COUNTS_VARY, "queries vary", f"web · p{n}") for n in range(3))
    text = comment(result.model_copy(update={"warnings": warnings}))
    line = f"⚠️ web · p0, web · p1, web · p2: queries vary. {Code.COUNTS_VARY.advice}"
    lines = text.splitlines()
    assert [part for part in lines if part.startswith("⚠️")] == [line]
    assert text.index("🔴 regressed") < text.index(line) < text.index("**Next:**") < text.index("<details>")


def test_comment__names_the_cells_in_which_nothing_moved_and_has_no_rows_of_them() -> None:
    calm = make_comparison(profile="calm", verdict="unchanged", significant=False, relevant=False, ratio=1.0)
    result = make_compared(make_paired(940))
    text = comment(result.model_copy(update={"comparisons": (*result.comparisons, calm)})).partition("<details>")[0]
    assert "No change detected: `aiohttp · calm` (detectable: 1.2 %)." in text
    assert "**aiohttp · calm**" not in text
    assert "**aiohttp · article-500**" in text


def test_comment__names_a_k6_script_in_which_nothing_moved() -> None:
    still: dict[str, Any] = {"verdict": "unchanged", "significant": False, "relevant": False, "ratio": 1.0}
    of_script: dict[str, Any] = {**still, "profile": "checkout", "method": "rate"}
    script = [
        make_comparison(**of_script, metric="cpu_ms_per_request_at_rate"),
        make_comparison(**of_script, metric="latency_p50_at_rate_us", smallest_detectable=0.03),
    ]
    result = make_compared(make_paired(940))
    text = comment(result.model_copy(update={"comparisons": (*result.comparisons, *script)})).partition("<details>")[0]
    assert "No change detected: `aiohttp · checkout` (detectable: 3.0 %)." in text


def test_comment__of_what_cannot_be_trusted_has_the_cause_first_and_no_verdict() -> None:
    result = make_result(verdict="invalid", warnings=(warn(Code.CONNECT_ERRORS, "244 of 500 were refused"),))
    text = comment(result)
    assert text.startswith(
        "### ⚪ bench-action: no verdict, the measurement is invalid\n\n❌ aiohttp · article-500: 244 of 500"
    )
    assert Code.CONNECT_ERRORS.advice in text


def test_comment__has_a_chart_that_github_draws_and_a_way_to_repeat_it() -> None:
    text = comment(make_result())
    assert "```mermaid\nxychart-beta\n" in text
    assert "pipx install git+https" in text
    assert "bench-action run --preset article" in text


@pytest.mark.parametrize("longest", [LONGEST, 9000, 5000, 2500, 1200])
def test_comment__fits_and_never_cuts_a_table(longest: int) -> None:
    result = make_compared(make_paired(940))
    many = tuple(make_comparison(variant=f"v{n}", profile=f"p{n}") for n in range(300))
    text = comment(result.model_copy(update={"comparisons": result.comparisons + many}), longest=longest)
    assert len(text) <= longest
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}) == 1
    assert text.count("<details>") == text.count("</details>")
    assert text.startswith("### 🔴")
    assert "<sub>bench-action" in text


HOSTILE = [
    "@octocat",
    "x|y",
    "<img src=x onerror=alert(1)>",
    "$(id)",
    "${{github.token}}",
    "`code` @octocat",
    "#12",
    "GH-12",
    "org/shop#12",
    "https://evil.example",
    "www.evil.example",
    "[a](https://evil.example)",
    "![a](//evil.example/x.png)",
    "</details><h1>",
    "a\n\n# heading",
    "me@evil.example",
    "***",
    "<!-- bench-action:x -->",
    "\\@octocat",
    "http://x.y",
    "```\n",
    "&lt;b&gt; &commat;octocat &#64;octocat",
    "javascript:alert(1)",
    "^[x]",
    "~~~",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_comment__gives_untrusted_text_no_power(text: str) -> None:
    stored = json.loads(make_compared(make_paired(940)).model_dump_json())
    for name in ("comparisons", "summaries", "trials", "subjects", "findings"):
        for one in stored[name]:
            one |= {key: text for key in ("variant", "profile", "message") if key in one}
    stored["profiles"][0]["name"] = text
    stored["run"]["command"] = text
    stored["environment"] |= {"cpu_model": text, "images": {text: text}}
    result = Result.model_validate(stored | {"warnings": [warn(Code.STEAL, text, text).model_dump(mode="json")]})
    assert_powerless(page(comment(result)))


@example("`@1")
@example("1@.a")
@example("&commat;octocat www&period;evil&period;example")
@given(st.text(alphabet=st.sampled_from(list("@#:/.wGH-12ab`|<>[]()!*_~\\&; \n")), max_size=40))
def test_escaped_text__is_powerless(text: str) -> None:
    assert_powerless(page(escape_text(text)))


def assert_powerless(html: str) -> None:
    """No tag but ours, no address but ours, and nothing that GitHub's later filters would act on."""
    allowed = "h3|p|code|pre|table|thead|tbody|tr|th|td|details|summary|sub|ul|ol|li|a|strong|br"
    tags = set(re.findall(r"</?([a-zA-Z0-9]+)", html))
    assert not {tag for tag in tags if not re.fullmatch(allowed, tag)}
    assert not re.findall(r"<!--", html)
    for address in re.findall(r'href="([^"]*)"', html):
        assert address == RUN
    prose = re.sub(r"<(pre|code)\b.*?</\1>", " ", html, flags=re.DOTALL)
    prose = re.sub(r"<[^>]*>", " ", prose)
    assert not re.findall(r"(?<!\w)@\w|\w#\d|(?<!\w)#\d|\bGH-\d|https?://|\bwww\.", prose, re.IGNORECASE)


@pytest.mark.parametrize(
    ("links", "what"),
    [
        (Links(RUN, "8f2c1a9" * 5), "could not measure: "),
        (Links(RUN, "8f2c1a9" * 5, foreign=True), "could not use the other job's result: "),
        (Links(RUN, "8f2c1a9" * 5, foreign=True, fork=True), "could not use the fork's result: "),
    ],
)
def test_comment__names_the_commit_that_it_is_about(links: Links, what: str) -> None:
    """A newer one may have been pushed since, or its run cancelled."""
    source = make_result().source.model_copy(update={"base_sha": "1a2b3c4" * 5})
    footer = render_comment(make_result(source=source), links).splitlines()[-1]
    assert footer.startswith("<sub>bench-action · head 8f2c1a9 · base 1a2b3c4 · [log")
    assert ("unverified" in footer) == links.fork
    failure = render_failure(StackError("web did not start"), links)
    assert f"### ⚪ bench-action {what}web did not start" in failure
    assert failure.splitlines()[-1].startswith("<sub>bench-action · head 8f2c1a9 · [log")


def test_failure__keeps_a_log_inside_its_fence() -> None:
    error = StackError("aiohttp@base did not start", cause="@octocat", log=["line", "```", "</details>", "@octocat"])
    text = render_failure(error, Links(RUN))
    html = page(text)
    assert "<h3>⚪ bench-action could not measure" in html
    assert html.count("</details>") == 1
    assert "@octocat" in re.findall(r"<pre.*?</pre>", html, re.DOTALL)[0]
    assert_powerless(html)
