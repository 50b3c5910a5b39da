"""Customers who log in send a mix: what got worse is named by its request, and a log-in that fails by its side."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.conftest import Tool
from tests.git import git

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "login"
_SHORT = ("--preset", "ci", "--max-minutes", "0.1", "--profile", "customers")
_REVIEWS = """\
    reviews = await pool.fetch("SELECT text FROM review WHERE product_id = $1 ORDER BY id", number)
"""
_ONE_BY_ONE = """\
    ids = await pool.fetch("SELECT id FROM review WHERE product_id = $1 ORDER BY id", number)
    reviews = [await pool.fetchrow("SELECT text FROM review WHERE id = $1", one["id"]) for one in ids]
"""


def change(folder: Path, old: str, new: str) -> None:
    """Commit a change of the application."""
    file = folder / "app" / "app.py"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    commit(folder)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a change")


@pytest.fixture
def shop(tool: Tool) -> Path:
    """A repository with the example, loaded for a second at a time."""
    folder = tool.folder / "shop"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "bench.yml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("duration: 2s", "duration: 1s\n    warmup: 1s"), encoding="utf-8"
    )
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def test_mix__a_query_for_each_row_is_named_by_request_and_statement(tool: Tool, shop: Path) -> None:
    change(shop, _REVIEWS, _ONE_BY_ONE)
    finished = replace(tool, folder=shop).run(*_SHORT, "--baseline", "HEAD~1")
    assert finished.status == 1, finished.stderr
    result = finished.result
    lost = {(c.profile, c.metric) for c in result.comparisons if c.verdict == "regressed"}
    assert {profile for profile, _ in lost if "·" in profile} == {"customers · GET /products/{random}"}
    assert ("customers · GET /products/{random}", "queries_per_request") in lost
    statements = [finding for finding in result.findings if finding.code == "statement"]
    assert {finding.cell for finding in statements} == {"shop · customers · GET /products/{random}"}
    assert any("SELECT text FROM review WHERE id = $1" in finding.message for finding in statements)
    queries = {each.route: each.metrics["queries_per_request"] for each in result.routes if each.revision == "base"}
    assert queries == {
        "GET /products": 2,
        "GET /products/{random}": 3,
        "GET /search": 2,
        "GET /cart": 2,
        "POST /cart": 2,
    }
    assert all(each.error_rate == 0 and each.sent > 0 for each in result.routes)
    assert all(trial.errors.total == 0 for trial in result.trials)
    assert "Requests of each mix" in finished.report


def test_mix__a_log_in_that_fails_in_base_only_is_why_nothing_is_compared(tool: Tool, shop: Path) -> None:
    change(shop, '"INSERT 0 1"', '"INSERT 0 2"')
    change(shop, '"INSERT 0 2"', '"INSERT 0 1"')
    finished = replace(tool, folder=shop).run(*_SHORT, "--baseline", "HEAD~1")
    assert finished.status == 0, finished.stderr
    (missing,) = finished.result.not_compared
    assert (missing.cell, missing.status) == ("shop · customers", "base-failed")
    assert (
        "`session of profile customers`: expected a reply with status 303 to POST /login, got status 401"
        in missing.reason
    )


def test_mix__a_log_in_that_fails_in_head_fails_verification(tool: Tool, shop: Path) -> None:
    change(shop, "the form is too old", "too late")
    change(shop, 'request.cookies.get("csrf")', '"never"')
    replace(tool, folder=shop).run(*_SHORT).assert_failed(
        4, "session of profile customers", "expected a reply with status 303 to POST /login, got status 403"
    )
