"""Draw the picture of the trend's page in the README: 120 simulated daily runs, on three kinds of machine.

    .venv/bin/python scripts/picture_of_trend.py docs/images/trend.png

Chromium, which must be on PATH, draws it.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # tests/, which have the browser
from tests.e2e.browser import chromium

from bench_action.trend.change_points import find_all_change_points
from bench_action.trend.page import CommitLinks, render_site, write_files
from bench_action.trend.series import Point, Series

_RUNS = 120
_LEVELS = {"aiohttp": 1.1, "aiohttp-tuned": 1.63, "django": 0.11, "django-tuned": 0.62}
_CHANGES = {"aiohttp": (50, 1.06), "django-tuned": (81, 0.93)}  # variant → number of the run, factor
_MACHINES = ("AMD EPYC", "Intel Xeon 8370C", "Intel Xeon 8272CL")
_WIDTH, _HEIGHT = 1200, 920


def main(picture: Path) -> None:
    """Simulate the runs, write the trend's site, and take a picture of a chart."""
    random = np.random.default_rng(15)
    machines = random.choice(_MACHINES, _RUNS, p=(0.5, 0.3, 0.2))
    series = [_simulate(variant, machines, random) for variant in _LEVELS]
    with tempfile.TemporaryDirectory() as folder:
        links = CommitLinks("https://github.com/org/shop")
        write_files(render_site(series, find_all_change_points(series), links), Path(folder))
        with chromium() as page:
            page.open((Path(folder) / "quick-64-requests-per-second.html").as_uri(), _WIDTH, _HEIGHT)
            page.until("document.getElementById('chart').dataset.drawn")
            page.screenshot(picture, whole=False)


def _simulate(variant: str, machines: "np.ndarray", random: np.random.Generator) -> Series:
    return Series(
        variant, "quick-64", "requests_per_second", True, tuple(_list_points(variant, machines, random)), "control"
    )


def _list_points(variant: str, machines: "np.ndarray", random: np.random.Generator) -> Iterator[Point]:
    start, (changed, factor) = np.datetime64("2026-07-29T03:00:00"), _CHANGES.get(variant, (0, 1.0))
    for number, machine in enumerate(machines):
        value = _LEVELS[variant] * float(np.exp(random.normal(0, 0.012))) * (factor if number >= changed else 1.0)
        at, sha = f"{start + np.timedelta64(number, 'D')}Z", f"{(number + 7) * 0x9E3779B97F4A7C15 % 2**64:016x}{0:024x}"
        yield Point(at, sha, f"run-{number}", value, value * 0.985, value * 1.015, str(machine), (1.0, 20.0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
