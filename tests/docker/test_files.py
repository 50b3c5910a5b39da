"""Files of the repository in a container, which nothing is mounted into."""

from dataclasses import replace
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


def test_put_files__replace_what_the_image_has_in_a_folder_that_is_a_volume_too(tmp_path: Path) -> None:
    """As a mount hides it: nginx would answer with the start page that its image has in `conf.d`."""
    (tmp_path / "site.conf").write_text("site\n", encoding="utf-8")
    files = [FileCopy("/etc/apt", tmp_path), FileCopy("/etc/dpkg/added", content="x")]
    form = ContainerForm(files=files, volumes=["/etc/apt", "/etc/dpkg"])
    look = ["sh", "-c", "touch /etc/apt/written; ls /etc/apt /etc/dpkg"]
    form = replace(form, user="1000")  # as most images of databases and tools run
    spec = ServiceSpec("other", "files", "python:3.13-slim", command=look, container=form)

    client = docker.from_env()
    container = client.containers.create(spec.image, **make_container_options(spec, [], {}, Limits(2**28, 256)))
    try:
        put_files(client, str(container.id), files, form.volumes)
        container.start()
        assert container.wait()["StatusCode"] == 0
        apt, dpkg = container.logs().decode().split("/etc/dpkg:")
        assert apt.split() == ["/etc/apt:", "site.conf", "written"]
        assert {"added", "dpkg.cfg"} <= set(dpkg.split())
    finally:
        container.remove(force=True, v=True)
        client.close()
