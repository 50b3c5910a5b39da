"""A run that is interrupted or killed at any moment leaves nothing behind, and loses nothing it measured."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.docker.footprint import Footprint
from tests.e2e.conftest import Finished, Running, Tool, tiny

from bench_action.engine.docker.labels import make_labels
from bench_action.engine.ownership import Ownership

pytestmark = pytest.mark.e2e

BUILD_ENDS_S = 30.0


def interrupt(running: Running, number: signal.Signals) -> Finished:
    """Send the signal; the run exits with the shell's status for it, and prints why."""
    running.send_signal(number)
    finished = running.finish()
    finished.assert_failed(128 + number, f"interrupted by {number.name}")
    return finished


def test_interrupt__during_a_build(tool: Tool, footprint: Footprint) -> None:
    marker = f"sleep 60 && echo {tool.folder.name}-{os.getpid()}"
    (tool.folder / "Dockerfile").write_text(f"FROM python:3.13-slim\nRUN {marker}\n", encoding="utf-8")
    running = tool.start(tool.config({"slow-build": {"build": "."}}))

    def building() -> bool:
        # the builder's own containers carry no label, but their command shows whose they are
        listed = footprint.client.api.containers(all=True)
        return any(marker in item["Command"] for item in listed)

    running.wait_until(building, "build")
    interrupt(running, signal.SIGINT)
    deadline = time.monotonic() + BUILD_ENDS_S
    while building():
        assert time.monotonic() < deadline, "the builder goes on without anybody who waits for it"
        time.sleep(0.1)


def test_terminate__while_services_start(tool: Tool) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres", "redis"]))
    running.wait_for_text("starting services")
    interrupt(running, signal.SIGTERM)


def test_interrupt__while_subjects_are_awaited(tool: Tool) -> None:
    running = tool.start(tool.config({"tiny": tiny(LISTEN="never")}))
    running.wait_for_text("starting subjects")
    interrupt(running, signal.SIGINT)


def test_interrupt__while_verifying(tool: Tool) -> None:
    check = {"name": "slow", "request": {"path": "/"}, "repeat": 500, "expect": {"status": 200}}
    running = tool.start(tool.config({"tiny": tiny(DELAY_S="0.2")}, checks=[check]))
    running.wait_for_text("verifying tiny")
    interrupt(running, signal.SIGINT)


def test_interrupt__again_while_it_cleans_up_changes_nothing(tool: Tool, footprint: Footprint) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres", "redis"]))
    running.wait_for_trials(1)
    running.send_signal(signal.SIGINT)
    while footprint.containers():
        running.send_signal(signal.SIGINT)
    finished = running.finish()
    finished.assert_failed(130, "interrupted by SIGINT")
    assert len(finished.trials) >= 1


@pytest.mark.sweeps
def test_kill__leaves_what_the_next_run_removes(tool: Tool, footprint: Footprint, tmp_path: Path) -> None:
    running = tool.start(tool.config({"tiny": tiny()}, services=["postgres"]))
    running.wait_for_trials(1)
    running.process.kill()
    running.process.wait()
    left = footprint.containers()
    assert sorted(name.rpartition("-")[2] for name in left) == ["load", "postgres", "tiny"]

    # any next run does: this one lacks its image
    living = make_labels(Ownership.claim("living", footprint.repository))
    somebodys = {"bench-action.run": "somebody else's", "bench-action.repository": footprint.repository}
    kept = [
        str(
            footprint.client.containers.create("python:3.13-slim", labels=labels, name=f"bench-action-test-{name}").name
        )
        for name, labels in (("living", living), ("somebodys", somebodys))
    ]
    finished = tool.run(tool.config({"absent": {"image": "localhost:1/nobody:1"}}), output="next")
    for name in left:
        assert name in finished.stderr
    assert "removed what dead runs had left" in finished.stderr
    assert footprint.left() == sorted(kept)
    footprint.remove()
