"""Reading a file of an image, on a stand-in for the engine."""

import io
import tarfile
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import NotFound

from bench_action.engine.docker.samples import Samples

pytestmark = pytest.mark.unit

DEBIAN = "/usr/share/postgresql/postgresql.conf.sample"
ALPINE = "/usr/local/share/postgresql/postgresql.conf.sample"
PACKAGED = "/usr/share/postgresql/17/postgresql.conf.sample"
LINK = "a link"


class Engine:
    """An engine whose only image contains these files; it counts containers that were created, and those left."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files, self.created, self.left = files, 0, 0
        self.containers = SimpleNamespace(create=self._create)
        self.api = SimpleNamespace(get_archive=self._get_archive)

    def _create(self, _image: str, _command: list[str], **options: Any) -> SimpleNamespace:
        assert options["network_mode"] == "none"
        self.created, self.left = self.created + 1, self.left + 1
        return SimpleNamespace(id="1", attrs={"Config": {"Env": ["PG_MAJOR=17"]}}, remove=self._remove)

    def _remove(self, **_: bool) -> None:
        self.left -= 1

    def _get_archive(self, _: str, path: str) -> tuple[list[bytes], dict[str, int]]:
        if path not in self.files:
            raise NotFound("no such file")
        content, archive = self.files[path].encode(), io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo("postgresql.conf.sample")
            member.size, member.type = len(content), tarfile.SYMTYPE if content == LINK.encode() else tarfile.REGTYPE
            tar.addfile(member, io.BytesIO(content))
        packed = archive.getvalue()
        return [packed[:100], packed[100:]], {"size": len(content)}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({DEBIAN: "a"}, "a"),
        ({ALPINE: "ü"}, "ü"),
        ({PACKAGED: "c"}, "c"),
        ({DEBIAN: "a", PACKAGED: LINK}, "a"),
        ({DEBIAN: LINK, PACKAGED: "c"}, "c"),
        ({DEBIAN: "x" * 2**21}, ""),
        ({}, ""),
    ],
)
def test_read__finds_the_file_once_and_leaves_no_container(files: Mapping[str, str], found: str) -> None:
    engine = Engine(files)
    samples = Samples(cast(DockerClient, engine), {})
    assert [samples.read("postgres", "name"), samples.read("postgres", "other")] == [found, found]
    assert (engine.created, engine.left) == (1, 0)


def test_read__leaves_no_container_if_the_engine_fails() -> None:
    engine = Engine({})
    engine.api.get_archive = None
    with pytest.raises(TypeError):
        Samples(cast(DockerClient, engine), {}).read("postgres", "name")
    assert engine.left == 0
