"""The command `ledger` as a user runs it: from results in a git repository to the page and the badge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.git import git
from tests.unit.factories import make_compared, make_paired, make_result

from bench_action.model.result import Result, Source

pytestmark = pytest.mark.integration

SAME = Source(repository="org/shop", head_sha="a" * 40, base_sha="a" * 40)


def run_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench_action", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def make_run(run_id: str, head: float, source: Source) -> Result:
    """Make a run on a hosted runner, in which head serves `head` requests/s and base 1000."""
    result = make_compared(make_paired(head), source=source)
    environment = result.environment.model_copy(update={"runner": "github-hosted", "architecture": "aarch64"})
    run = result.run.model_copy(update={"id": run_id})
    return result.model_copy(update={"run": run, "environment": environment})


def test_ledger__counts_runs_of_unchanged_code_in_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    store = ("--store", str(tmp_path), "--branch", "history")
    empty = run_command(tmp_path, "ledger", *store)
    assert empty.returncode == 2
    assert "the history has no runs of unchanged code" in empty.stderr
    runs = [make_run(f"same-{n}", 1000, SAME) for n in range(3)]
    runs += [make_run("alarm", 900, SAME), make_run("slower", 900, Source(head_sha="a" * 40, base_sha="b" * 40))]
    runs += [make_result([]).model_copy(update={"source": SAME})]  # nothing was measured
    files = []
    for number, result in enumerate(runs):
        files.append(str(tmp_path / f"{number}.json"))
        Path(files[-1]).write_text(result.model_dump_json(), encoding="utf-8")
    appended = run_command(tmp_path, "trend", "append", *files, *store)
    assert appended.returncode == 0, appended.stderr
    done = run_command(tmp_path, "ledger", *store, "--repository", "https://example.org/org/shop")
    assert done.returncode == 0, done.stderr
    assert "github-hosted, arm64 (docker, article)" in done.stdout
    site = tmp_path / "bench-results" / "ledger"
    assert json.loads((site / "badge.json").read_text(encoding="utf-8"))["message"].startswith(
        "1 false alarm in 4 runs"
    )
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "requests/s of aiohttp · article-500 regressed" in page
    assert "(run alarm)" in page
    assert "(run slower)" not in page
    rendered = run_command(tmp_path, "trend", "render", *store, "--output", "trend")
    assert rendered.returncode == 0, rendered.stderr
    assert (tmp_path / "trend" / "ledger" / "index.html").is_file()
    assert 'href="ledger/index.html"' in (tmp_path / "trend" / "index.html").read_text(encoding="utf-8")
