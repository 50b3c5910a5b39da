"""A whole run on an engine that accepts pinning but ignores it, like engines without the cpuset controller."""

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


class UnpinnedEngine(DockerEngine):
    """An engine that accepts pinning and ignores it."""

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Do nothing."""


def test_run__pairs_take_turns_and_it_warns_if_pinning_is_ignored(tmp_path: Path, footprint: Footprint) -> None:
    """An engine that has no cpuset controller is tested as it is."""
    shutil.copytree(TINY_APP, tmp_path / "app")
    variant = {"build": "app", "ready": {"path": "/health"}}
    profile = {"path": "/", "connections": 8, "threads": 1, "duration": "1s", "warmup": "1s"}
    body = {"variants": {"one": variant, "two": variant}, "services": {}, "profiles": {"home": profile}}
    (tmp_path / "bench.yml").write_text(yaml.safe_dump(body), encoding="utf-8")
    options = Options(tmp_path / "bench.yml", "ci", output=tmp_path / "out", compare=[("one", "two")], max_minutes=0.3)
    kind = UnpinnedEngine if footprint.client.info()["CPUSet"] else DockerEngine

    def engine(owner: Ownership, _: object) -> DockerEngine:
        return kind(Ownership(owner.run_id, owner.process, owner.expires_at, footprint.repository), os.environ)

    result = run(options, Ports({}, SignalInterrupts(), Quiet(), engine)).result

    assert {trial.phase for trial in result.trials} >= {"capacity", "interleaved"}
    assert "duet" not in {trial.phase for trial in result.trials}
    (warning,) = [item for item in result.warnings if item.code in {Code.PINNING_IGNORED, Code.NO_DUET}]
    assert warning.code is Code.PINNING_IGNORED
    assert "cpuset" in warning.message or "accepted CPU 0" in warning.message
    assert result.placement.keys() == {"count, capacity", "latency, interleaved"}
    assert result.placement["latency, interleaved"].startswith("not pinned: ")
    assert "one CPU" not in str(result.placement)
