"""Measure how a history grows: `.venv/bin/python benchmarks/history.py` (docs/architecture.md shows its figures).

For 1,000, 10,000 and 100,000 records (ten years, and one month that has everything), in a folder and in a git
repository: the seconds that append, index, read and check take, the best of a few, and the sizes of index and month in
MB. Nothing is thinned, as the history's clock still shows the day of the first record.
"""

import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from bench_action.history.folder import Folder
from bench_action.history.history import History
from bench_action.history.layout import INDEX
from bench_action.history.record import SHORT, Record, round_digits
from bench_action.history.recording import COMPARED
from bench_action.history.repository import Repository
from bench_action.history.store import Place
from bench_action.trend.trends import Trends

_SIZES = (1_000, 10_000, 100_000)
_CELLS = 8
_END = datetime(2026, 11, 29, tzinfo=UTC)
_YEARS = timedelta(days=3650)
_MONTH = timedelta(days=28)
_REPEATED = 3


def main() -> None:
    """Fill, measure and print."""
    print(
        f"{'records':>8} {'over':>9} {'place':>10} {'append s':>9} {'index s':>8} {'read s':>7} {'one year s':>10} "
        f"{'check s':>7} {'index MB':>9} {'month MB':>9}"
    )
    for size in _SIZES:
        for span, name in ((_YEARS, "10 years"), (_MONTH, "1 month")):
            for kind in ("folder", "repository"):
                with tempfile.TemporaryDirectory() as folder:
                    print_row(size, name, kind, History(place(kind, Path(folder)), now=lambda: _END - _YEARS), span)


def place(kind: str, folder: Path) -> Place:
    """Create an empty place."""
    if kind == "folder":
        return Folder(folder)
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)  # noqa: S607
    return Repository(folder)


def print_row(size: int, over: str, kind: str, history: History, span: timedelta) -> None:
    """Fill and measure one history."""
    history.append(records(size, _END - span, span))
    runs = (list(records(_CELLS, _END + timedelta(hours=n), timedelta(0), f"new-{n}")) for n in range(_REPEATED))
    append_s = best(lambda: history.append(next(runs)))
    index_s = best(history.index)
    read_s = best(lambda: count(history.read()))
    year_s = best(lambda: count(history.read("2025-11")))
    check_s = best(lambda: Trends(history, lambda _: None).check())
    snapshot = history._place.take_snapshot()  # noqa: SLF001 - a store does not report sizes
    sizes_mb = [len(content) / 1e6 for content in snapshot.read([INDEX, max(history.index().shards)]).values()]
    print(
        f"{size:>8,} {over:>9} {kind:>10} {append_s:>9.3f} {index_s:>8.3f} {read_s:>7.2f} {year_s:>10.2f} "
        f"{check_s:>7.2f} {sizes_mb[0]:>9.3f} {sizes_mb[1]:>9.2f}"
    )


def best(action: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few."""
    times = []
    for _ in range(_REPEATED):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def count(records: Iterable[Record]) -> int:
    """Count records without keeping them."""
    return sum(1 for _ in records)


def records(number: int, start: datetime, span: timedelta, prefix: str = "run") -> Iterator[Record]:
    """Full records of runs with eight cells each, evenly over a time."""
    return islice(_runs(-(-number // _CELLS), start, span, prefix), number)


def _runs(runs: int, start: datetime, span: timedelta, prefix: str) -> Iterator[Record]:
    for run in range(runs):
        at = (start + span * run / max(1, runs)).isoformat()
        for cell in range(_CELLS):
            noise = random.Random(run * _CELLS + cell).gauss(1, 0.014)  # as of a ratio to a control
            metrics = dict.fromkeys(SHORT, (round_digits(1000.5 * noise), 990.25, 1010.75 + run % 7))
            yield Record(
                run_id=f"{prefix}-{run:06}-{at}",
                at=at,
                sha=f"{run:040x}",
                ref="refs/heads/main",
                preset="article",
                engine="docker",
                tool_version="0.1.0",
                fingerprint="0123456789ab",
                cpu_model="AMD EPYC 7763 64-Core Processor",
                variant=f"variant-{cell}",
                profile="article-500",
                blocks=5,
                metrics=metrics,
                control=dict.fromkeys(COMPARED, (round_digits(0.98765 * noise), 0.9123, 1.0654)),
                control_id="c0ffee",
                work=None,
            )


if __name__ == "__main__":
    main()
