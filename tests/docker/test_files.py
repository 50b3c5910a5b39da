"""Files of the repository in a container, which nothing is mounted into."""

from pathlib import Path

import docker
import pytest

from bench_action.engine.docker.files import put_files
from bench_action.engine.docker.limits import Limits
from bench_action.engine.docker.recipes import make_container_options
from bench_action.engine.protocol import ContainerForm, FileCopy, ServiceSpec

pytestmark = pytest.mark.docker

LOOK = "cat /code/app.py /run/secrets/key; stat -c %a /run/secrets/key /tmp; touch /media/new /code/new && pwd && id -u"


def test_put_files__are_there_when_a_container_starts(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("app\n", encoding="utf-8")
    form = ContainerForm(entrypoint=["sh", "-c"], volumes=["/media"], working_dir="/code", tmpfs=["/run/lock"])
    spec = ServiceSpec("other", "files", "python:3.13-slim", command=[LOOK], container=form)
    files = [FileCopy("/code", tmp_path), FileCopy("/run/secrets/key", content="key\n", mode=0o400)]

    client = docker.from_env()
    container = client.containers.create(spec.image, **make_container_options(spec, [], {}, Limits(2**28, 256)))
    try:
        put_files(client, str(container.id), files)
        container.start()
        assert container.wait()["StatusCode"] == 0
        assert container.logs().decode().split() == ["app", "key", "400", "1777", "/code", "0"]
    finally:
        container.remove(force=True, v=True)
        client.close()
