"""Keeping and removing the images of runs, on a stand-in that treats names and images as Docker does."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from bench_action.engine.docker.images import RunImages
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit

NOW = int(time.time())
SPEC = BuildSpec("subject", "bench-action/app", Path("app"))
HOURS = 3600


class Engine:
    """Images by id with the time of their creation, their names, and those that a container uses."""

    def __init__(self) -> None:
        self.created: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.used: set[str] = set()
        self.foreign: set[str] = set()
        self.images = SimpleNamespace(get=self._get)
        self.api = SimpleNamespace(images=self._images, remove_image=self._remove)
        self.version = lambda: {"Os": "linux", "Arch": "amd64"}

    def build(self, image: str, *names: str, created: int = NOW) -> None:
        self.created.setdefault(image, created)
        self.names |= dict.fromkeys(names, image)

    def run(self, run_id: str, expires_at: int = NOW + 6 * HOURS) -> RunImages:
        return RunImages(cast(DockerClient, self), Ownership(run_id, "", expires_at, ""))

    def _get(self, name: str) -> SimpleNamespace:
        if name not in self.names:
            raise ImageNotFound(name)
        labels = {} if self.names[name] in self.foreign else {"bench-action": ""}
        return SimpleNamespace(id=self.names[name], attrs={}, labels=labels)

    def _images(self, filters: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        assert filters["label"] == "bench-action"
        tags = {image: [name for name, target in self.names.items() if target == image] for image in self.created}
        images = [
            {"Id": image, "Created": created, "RepoTags": tags[image]}
            for image, created in self.created.items()
            if image not in self.foreign
        ]
        return [image for image in images if not (filters.get("dangling") and image["RepoTags"])]

    def _remove(self, name: str) -> None:
        image = self.names.get(name, name)
        if image not in self.created:
            raise ImageNotFound(name)
        if image in self.used and list(self.names.values()).count(image) <= 1:
            raise APIError("409: a container uses it")
        self.names.pop(name, None)
        if image not in self.names.values():
            del self.created[image]


def build(engine: Engine, run: RunImages, image: str) -> str:
    return run.build(SPEC, lambda name: engine.build(image, SPEC.name, name))


def test_build__keeps_an_image_for_its_run_and_its_name_for_the_next() -> None:
    engine = Engine()
    run = engine.run("one")
    assert build(engine, run, "first") == "first"
    assert len(engine.names) == 2
    run.release()
    assert engine.names == {"bench-action/app": "first"}


def test_build__removes_an_image_that_lost_its_name() -> None:
    engine = Engine()
    for number, image in enumerate(("first", "second", "second", "third")):
        run = engine.run(str(number))
        assert build(engine, run, image) == image
        run.release()
    assert set(engine.created) == {"third"}


def test_build__another_run_may_take_the_name_but_not_the_image() -> None:
    engine = Engine()
    ours, others = engine.run("ours"), engine.run("others")
    build(engine, ours, "first")
    build(engine, others, "second")
    others.release()
    assert set(engine.created) == {"first", "second"}
    ours.release()
    assert set(engine.created) == {"second"}


def test_build__keeps_a_shared_image_until_the_last_of_its_runs() -> None:
    engine = Engine()
    ours, others = engine.run("ours"), engine.run("others")
    build(engine, ours, "same")
    build(engine, others, "same")
    ours.release()
    del engine.names[SPEC.name]  # as if a third run had taken it
    assert set(engine.created) == {"same"}


def test_build__reports_an_image_that_the_engine_does_not_have() -> None:
    with pytest.raises(StackError, match="was built, but the Docker engine does not have it") as caught:
        Engine().run("one").build(SPEC, lambda _: None)
    assert "docker buildx use default" in caught.value.advice


def test_require_usable__refuses_what_another_run_has_built() -> None:
    engine = Engine()
    ours, others = engine.run("ours"), engine.run("others")
    build(engine, ours, "first")
    engine.build("pulled", "postgres:17")
    engine.foreign.add("pulled")
    for name in (SPEC.name, "postgres:17", "nothing"):
        ours.require_usable(name)
    with pytest.raises(StackError, match="image bench-action/app was built by another run") as caught:
        others.require_usable(SPEC.name)
    assert "code of another repository" in caught.value.cause


def test_release__keeps_images_in_use_and_those_of_others() -> None:
    engine = Engine()
    engine.build("used", SPEC.name)
    engine.build("foreign")
    engine.used, engine.foreign = {"used"}, {"foreign"}
    run = engine.run("one")
    build(engine, run, "new")
    run.release()
    assert set(engine.created) == {"used", "foreign", "new"}


def test_sweep__removes_what_killed_runs_kept_and_what_long_had_no_name() -> None:
    engine = Engine()
    build(engine, engine.run("2026-killed"), "killed")
    build(engine, engine.run("2026-forgotten", NOW - 1), "forgotten")
    build(engine, engine.run("2026-long", NOW - 1), "long")
    build(engine, engine.run("2026-alive"), "alive")
    build(engine, engine.run("2026-killed-too"), "named")
    engine.build("old", created=NOW - 2 * HOURS)
    engine.build("new", created=NOW - HOURS // 2)
    engine.run("sweep").sweep({"2026-killed", "2026-killed-too"}, {"2026-long", "2026-alive"})
    assert set(engine.created) == {"alive", "long", "named", "new"}
    assert sorted(engine.names.values()) == ["alive", "long", "named"]
