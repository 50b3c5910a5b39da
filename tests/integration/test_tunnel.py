"""The socket to which ssh forwards an engine."""

import socket
import tempfile
from pathlib import Path

import pytest

from bench_action.engine.hosts.tunnel import is_listening

pytestmark = pytest.mark.integration


def test_is_listening__only_once_connections_are_accepted() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder, "s")
        assert not is_listening(path)
        server.bind(str(path))
        assert path.exists()
        assert not is_listening(path)
        server.listen()
        assert is_listening(path)
