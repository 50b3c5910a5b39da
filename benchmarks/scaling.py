"""Measure what grows with cells and shards: `.venv/bin/python -m benchmarks.scaling` (docs/scaling.md has its figures).

For runs of up to 200 cells (pairs of variant and profile) and 50 shards, with simulated trials: the seconds that it
takes to divide the run and to merge its results, the peak memory of merging in MiB, the sizes of one shard's result and
of the merged one in MB, the seconds and characters of the comment, and the seconds and MB of `report.html`. Then how
many percent can be detected, with the share of the run's error of 1 % that each comparison has.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.unit.shards import make_shard

from bench_action.compare.alphas import split_alpha
from bench_action.compare.gating import ONE_SIDED
from bench_action.config.baseline import Baseline
from bench_action.config.gates import default_gates
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config
from bench_action.config.shard import Shard
from bench_action.plan.shares import divide
from bench_action.publish.shards import merge_folders
from bench_action.report.comment import Links, render_comment
from bench_action.report.folder import read_result
from bench_action.report.html import render_html
from bench_action.stats.sequential import smallest_detectable

_SIZES = ((1, 1), (8, 4), (40, 5), (40, 20), (200, 5), (200, 50))
_SD = 0.019  # of a block's loss in requests/s: docs/how-it-decides.md, "Restarts and slices"
_BLOCKS = 40  # five minutes
_Found = TypeVar("_Found")


def main() -> None:
    """Measure each size in a separate process, so that its peak memory is known."""
    if len(sys.argv) > 1:
        _print_row(int(sys.argv[1]), int(sys.argv[2]))
        return
    print(
        f"{'cells':>6} {'shards':>6} {'divide s':>8} {'merge s':>8} {'peak MiB':>8} {'shard MB':>8} {'merged MB':>9} "
        f"{'comment s':>9} {'characters':>10} {'report s':>8} {'report MB':>9} {'detected %':>10}"
    )
    for cells, shards in _SIZES:
        subprocess.run([sys.executable, "-m", "benchmarks.scaling", str(cells), str(shards)], check=True)


def _print_row(cells: int, shards: int) -> None:
    names = tuple(f"aiohttp · list-{number}" for number in range(cells))
    shares = tuple(names[shard::shards] for shard in range(shards))
    divide_s, _ = _time(lambda: divide(Shard(1, shards), *_make_projects(cells), facts={}))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, shards + 1):
            place = Path(folder, str(number))
            place.mkdir()
            text = make_shard(number, shares, 990.0 if number == 1 else 1000.0).model_dump_json(indent=2)
            (place / "result.json").write_text(text, encoding="utf-8")
        shard_mb = len(text) / 1e6
        merge_s, merged = _time(lambda: merge_folders([Path(folder)], lambda path: read_result(path / "result.json")))
        peak_mib = _read_peak_mib()
    comment_s, comment = _time(lambda: render_comment(merged, Links()))
    report_s, report = _time(lambda: render_html(merged))
    merged_mb = len(merged.model_dump_json(indent=2)) / 1e6
    level = min(split_alpha(default_gates(), cells).gated["requests_per_second"], ONE_SIDED)
    detected = smallest_detectable(_SD, _BLOCKS, level)
    print(
        f"{cells:>6} {shards:>6} {divide_s:>8.2f} {merge_s:>8.2f} {peak_mib:>8.0f} {shard_mb:>8.2f} {merged_mb:>9.2f} "
        f"{comment_s:>9.2f} {len(comment):>10,} {report_s:>8.2f} {len(report) / 1e6:>9.2f} {100 * detected:>10.2f}"
    )


def _make_projects(cells: int) -> tuple[Project, Baseline]:
    load = {"connections": 64, "threads": 2, "duration": 2}
    config = Config.model_validate(
        {
            "variants": {"aiohttp": {"image": "x"}},
            "profiles": {f"list-{n}": {**load, "path": f"/{n}"} for n in range(cells)},
        }
    )
    project = Project(config, load_policy("ci"), "ci", Path(), "bench.yml")
    return project, Baseline(project, "b" * 40, valid=True, profiles=project.profiles)


def _time(action: Callable[[], _Found]) -> tuple[float, _Found]:
    began = time.perf_counter()
    found = action()
    return time.perf_counter() - began, found


def _read_peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
