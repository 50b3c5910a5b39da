"""The form of a container that an engine gets, from its configuration."""

from pathlib import Path

import pytest

from bench_action.config.schema import Service
from bench_action.engine.protocol import ContainerForm, FileCopy
from bench_action.stack.container import make_container_form

pytestmark = pytest.mark.unit


def test_make_container_form__finds_files_in_the_folder_of_the_configuration() -> None:
    body = {"kind": "other", "image": "x", "entrypoint": [], "user": "1", "aliases": ["my_db"], "memory": "64m"}
    files = {"/etc/a.ini": "a.ini", "/b": {"content": "text", "mode": 0o400}}
    form = make_container_form(Service.model_validate({**body, "files": files}), Path("/repository"), str)

    assert form == ContainerForm(
        entrypoint=[],
        files=[FileCopy("/etc/a.ini", Path("/repository/a.ini")), FileCopy("/b", content="text", mode=0o400)],
        volumes=[],
        tmpfs=[],
        user="1",
        aliases=["my_db"],
        memory=64 * 2**20,
    )


def test_make_container_form__mounts_no_memory_over_files() -> None:
    body = {"kind": "other", "image": "x", "tmpfs": ["/run", "/runtime", "/cache:size=1m"]}
    service = Service.model_validate({**body, "files": {"/run/secrets/key": {"content": "k"}}})

    assert make_container_form(service, Path(), str).tmpfs == ["/runtime", "/cache:size=1m"]


def test_make_container_form__fills_in_the_texts_of_files() -> None:
    service = Service.model_validate(
        {"kind": "other", "image": "x", "port": 1, "files": {"/run/key": {"content": "${KEY}"}}}
    )
    assert make_container_form(service, Path(), str.lower).files[0].content == "${key}"
