"""A whole run on an engine that accepts pinning and ignores it, as engines without the cpuset controller do."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from tests.docker.conftest import TINY_APP
from tests.docker.footprint import Footprint
from tests.quiet import Quiet

from bench_action.cli.interrupts import SignalInterrupts
from bench_action.config.options import Options
from bench_action.engine.docker import DockerEngine
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Handle
from bench_action.model.warning import Code
from bench_action.pipeline import Ports, run

pytestmark = pytest.mark.docker


class Ignoring(DockerEngine):
    """Takes the request for granted."""

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Nothing."""


def test_run__pairs_take_turns_where_pinning_is_ignored_and_it_says_so(tmp_path: Path, footprint: Footprint) -> None:
    """Where this engine has no cpuset controller itself, nothing is left out of it."""
    shutil.copytree(TINY_APP, tmp_path / "app")
    variant = {"build": "app", "ready": {"path": "/health"}}
    profile = {"path": "/", "connections": 4, "threads": 1, "duration": "1s"}
    body = {"variants": {"one": variant, "two": variant}, "services": {}, "profiles": {"home": profile}}
    (tmp_path / "bench.yml").write_text(yaml.safe_dump(body), encoding="utf-8")
    options = Options(tmp_path / "bench.yml", "ci", output=tmp_path / "out", compare=[("one", "two")], max_minutes=0.3)
    kind = Ignoring if footprint.client.info()["CPUSet"] else DockerEngine

    def engine(owner: Ownership, _: object) -> DockerEngine:
        return kind(Ownership(owner.run_id, owner.process, owner.expires_at, footprint.repository), os.environ)

    result = run(options, Ports({}, SignalInterrupts(), Quiet(), engine)).result

    assert {trial.phase for trial in result.trials} >= {"capacity", "interleaved"}
    assert "duet" not in {trial.phase for trial in result.trials}
    (warned,) = [one for one in result.warnings if one.code in {Code.PINNING_IGNORED, Code.NO_DUET}]
    assert warned.code is Code.PINNING_IGNORED
    assert "cpuset" in warned.message or "accepted CPU 0" in warned.message
    assert result.placement.keys() == {"count, capacity", "latency, interleaved"}
    assert result.placement["latency, interleaved"].startswith("not pinned: ")
    assert "one CPU" not in str(result.placement)
