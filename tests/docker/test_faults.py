"""A sample of `make faults`: an engine that goes away for a moment."""

import gc
import os
import threading
from pathlib import Path

import pytest
from tests.docker.footprint import Footprint
from tests.faults.proxy import open_proxy

from bench_action.engine.docker import DockerEngine
from bench_action.engine.ownership import Ownership

pytestmark = pytest.mark.docker


# the SDK closes no socket that it could not connect
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_remove__waits_for_an_engine_that_restarts(tmp_path: Path) -> None:
    with Footprint.track_session() as footprint, open_proxy(tmp_path) as proxy:
        owner = Ownership.claim("restarts", footprint.repository)
        engine = DockerEngine(owner, {**os.environ, "DOCKER_HOST": proxy.address})
        engine.open(["a"])
        assert footprint.networks() != []
        proxy.go()
        back = threading.Timer(1.0, proxy.come)
        back.start()
        engine.remove()
        back.join()
        assert footprint.left() == []
        del engine
        gc.collect()  # its sockets, while they are ignored
