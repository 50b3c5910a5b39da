"""Presets for tests: the same phases as ours, each only as long as it takes to show a large change."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# `article` keeps its length, for tests that interrupt a run
_SHORT: Mapping[str, Mapping[str, Any]] = {
    "ci": {
        "paired_blocks": 1,
        "latency": {"warmup": 0, "slice": 1, "blocks": 1},
        "duet": {"warmup": 1, "slice": 1, "seconds": 180},
        "rate": {"warmup": 1, "slice": 1, "blocks": 5},
    },
    "quick": {
        "blocks": 2,
        "warmup": 1,
        "profiles": {"quick-64": {"path": "/", "connections": 64, "threads": 2, "duration": 1, "warmup": 1}},
    },
}


def shorten_presets(folder: Path) -> None:
    """Let the presets of the sources in a folder measure for seconds: enough for changes as large as those of tests."""
    for name, changes in _SHORT.items():
        file = folder / "src" / "bench_action" / "config" / "presets" / f"{name}.yml"
        preset = yaml.safe_load(file.read_text(encoding="utf-8"))
        file.write_text(yaml.safe_dump(preset | changes), encoding="utf-8")
