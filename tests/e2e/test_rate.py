"""A k6 script against base and head, at a fixed rate: what head alone fails is named, and how long users wait."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.conftest import Tool
from tests.e2e.test_mix import EXAMPLE, change, commit
from tests.git import git

pytestmark = pytest.mark.e2e

_IMAGES = Path(__file__).parents[1] / "images" / "build.sh"
_SHOWN = '    return JSONResponse({**row, "reviews": [review["text"] for review in reviews]})\n'
_LATER = f'    await __import__("asyncio").sleep(0.4)\n{_SHOWN}'


@pytest.fixture
def shop(tool: Tool) -> Path:
    """A repository with the example, and k6 as its image has it."""
    subprocess.run([_IMAGES, "k6"], check=True)
    folder = tool.folder / "shop"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def test_script__checks_that_head_alone_fails_and_waits_are_named(tool: Tool, shop: Path) -> None:
    change(shop, ", 201)", ", 200)")
    change(shop, _SHOWN, _LATER)
    finished = replace(tool, folder=shop).run("--preset", "ci", "--profile", "checkout", "--baseline", "HEAD~2")
    assert finished.status == 1, finished.stderr
    result = finished.result
    assert {trial.phase for trial in result.trials} == {"count", "rate"}
    (finding,) = [finding for finding in result.findings if finding.fails]
    assert finding.code == "script-fails"
    assert "checks fail: is in the cart" in finding.message
    found = {c.metric: c for c in result.comparisons}
    assert "requests_per_second" not in found
    assert found["queries_per_request"].verdict == "unchanged"
    waited = found["latency_p90_at_rate_us"]
    assert (waited.method, waited.verdict) == ("rate", "regressed")
    assert waited.difference > 300_000
    assert "Latency at a fixed rate: shop · checkout, at 10/s" in finished.report
    assert "█" in finished.report


def test_check_up__runs_each_script_once(tool: Tool, shop: Path) -> None:
    script = shop / "load" / "checkout.js"
    text = script.read_text(encoding="utf-8")
    assert "reply.status === 201" in text
    script.write_text(text.replace("reply.status === 201", "reply.status === 200"), encoding="utf-8")
    checked = replace(tool, folder=shop).check("bench.yml", "--up")
    checked.assert_failed(4, "1 script failed: load/checkout.js", "listed as missing above")
    assert "load/checkout.js would not be measured, as its checks fail: is in the cart" in checked.stdout
