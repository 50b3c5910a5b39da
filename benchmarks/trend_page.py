"""Measure how the trend's pages grow: data of the first view, the whole site, and the time until the first chart.

    python benchmarks/trend_page.py [RECORDS …]

Makes sites of 1,000, 10,000 and 100,000 records (one per day and cell, 7 metrics each; so 100,000 are ten years of 27
cells), and opens them in headless Chromium from a folder, each in a browser with an empty cache. Times are medians of
three. Needs chromium; takes about two minutes.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # tests/, which have the browser
from tests.e2e.browser import chromium

from bench_action.model.benchmark import UNNAMED, Benchmark
from bench_action.trend.change_points import find_all_change_points
from bench_action.trend.page import CommitLinks, render_site, write_files
from bench_action.trend.series import make_series

CELLS, DAYS = 27, 3_704
METRICS = (
    "requests_per_second",
    "latency_p50_us",
    "latency_p99_us",
    "cpu_ms_per_request",
    "db_cpu_ms_per_request",
    "memory_peak_mib",
    "queries_per_request",
)
_PROFILES, _TRIES = 3, 3
DRAWN = "document.getElementById('chart').dataset.drawn"


@dataclass(frozen=True, slots=True)
class SimulatedRecord:
    """The part of a record that series need."""

    at: str
    sha: str
    run_id: str
    fingerprint: str
    variant: str
    profile: str
    metrics: dict[str, list[float | None]]
    control: dict[str, list[float | None]]
    control_id: str
    counts: tuple[float, ...]
    tool_version: str = "0.1.0"
    committed_at: str = ""
    benchmark: Benchmark = UNNAMED


def records(count: int) -> Iterator[SimulatedRecord]:
    """Simulate `count` records, over as many cells as a repository has."""
    random = np.random.default_rng(7)
    cells = max(1, min(CELLS, count // 100))
    start = np.datetime64("2016-01-01T03:00:00")
    for day in range(-(-count // cells)):
        at, machine = f"{start + np.timedelta64(day, 'D')}Z", f"cpu-{random.integers(4)}"
        for cell in range(cells):
            noise = np.exp(random.normal(0, 0.014, len(METRICS)))
            values = {name: _bounds(float(v)) for name, v in zip(METRICS, noise, strict=True)}
            yield SimulatedRecord(
                at,
                f"{day:040x}",
                f"run-{day}",
                machine,
                f"variant-{cell // _PROFILES}",
                f"profile-{cell % _PROFILES}",
                values,
                values,
                "control",
                (1.0,),
            )


def _bounds(value: float) -> list[float | None]:
    return [value, value * 0.98, value * 1.02]


def measure(count: int, folder: Path) -> str:
    """Measure one row of the table."""
    series = make_series(records(count))
    before = time.perf_counter()
    changes = find_all_change_points(series)
    searched = time.perf_counter() - before
    before = time.perf_counter()
    write_files(render_site(series, changes, CommitLinks("https://example.org/o/r")), folder)
    rendered = time.perf_counter() - before
    page = next(folder.glob("*-requests-per-second.html"))
    index, _ = zip(*(_time_page(folder / "index.html", "true") for _ in range(_TRIES)), strict=True)
    first, whole = zip(
        *(_time_page(page, "document.getElementById('chart').dataset.drawn") for _ in range(_TRIES)), strict=True
    )
    sizes = (_kilobytes(folder / "index.html"), _kilobytes(page, folder / "data" / f"{page.stem}-0.js"))
    total = sum(file.stat().st_size for file in folder.rglob("*")) / 1e6
    return (
        f"| {count:,} | {len(series)} | {searched:.1f} s | {rendered:.1f} s | {total:.0f} MB | {sizes[0]} kB | "
        f"{median(index):.2f} s | {sizes[1]} kB | {median(first):.2f} s | {median(whole):.2f} s |"
    )


def _time_page(page: Path, ready: str) -> tuple[float, float]:
    """Return seconds until something is painted, and until all is drawn, in a new browser that is idle."""
    with chromium() as browser:
        browser.open("about:blank")
        time.sleep(2)
        browser.open(page.as_uri())
        browser.until(ready)
        painted = browser.until("(performance.getEntriesByName('first-contentful-paint')[0] || {}).startTime")
        drawn = browser.value("(performance.getEntriesByName('trend-first-chart')[0] || {startTime: 0}).startTime")
        return float(painted) / 1000, float(drawn) / 1000


def _kilobytes(*files: Path) -> int:
    return round(sum(file.stat().st_size for file in files) / 1000)


def main() -> None:
    """Print the table as markdown."""
    print("| records | series | change points | render | site | index | shown | chart, data | shown | zoomable |")
    print("| ---: " * 10 + "|")
    for count in [int(argument) for argument in sys.argv[1:]] or [1_000, 10_000, 100_000]:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(count, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
