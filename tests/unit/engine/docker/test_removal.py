"""Removing what a run has made, however slow the engine is."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench_action.engine.docker import engine as module
from bench_action.engine.ownership import Ownership

pytestmark = pytest.mark.unit


class Client:
    """One container in one network, which cannot be removed before it."""

    def __init__(self) -> None:
        self.left = ["container", "network"]
        self.api = SimpleNamespace(
            containers=lambda **_: self._list("container"),
            networks=lambda **_: self._list("network"),
            volumes=lambda **_: {"Volumes": []},
            images=lambda **_: [],
            inspect_network=lambda _: {"Containers": {}},
            remove_container=lambda *_, **__: self.left.remove("container"),
            remove_network=lambda _: self.left.remove("network"),
        )

    def close(self) -> None:
        """Nothing is open."""

    def _list(self, name: str) -> list[dict[str, Any]]:
        return [{"Id": name, "Name": name, "Names": [f"/{name}"]}] if name in self.left else []


def test_remove__tries_networks_even_if_containers_have_taken_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    monkeypatch.setattr(module, "connect", lambda _: client)
    monkeypatch.setattr(module, "_REMOVAL_S", 0.0)
    engine = module.DockerEngine(Ownership("run", "", 0, ""), {})
    assert engine.remove() == []
    assert client.left == []
