"""What becomes of images that runs have built, on an engine that keeps names and images as Docker does."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from bench_action.engine.docker.built import BuiltImages
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit

NOW = int(time.time())
SPEC = BuildSpec("subject", "bench-action/app", Path("app"))
HOURS = 3600


class Engine:
    """Images by id, each with the time of its making; names of images; images that a container is made of."""

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.used: set[str] = set()
        self.foreign: set[str] = set()
        self.images = SimpleNamespace(get=self._get)
        self.api = SimpleNamespace(images=self._images, remove_image=self._remove)

    def build(self, image: str, *names: str, made: int = NOW) -> None:
        self.made.setdefault(image, made)
        self.names |= dict.fromkeys(names, image)

    def run(self, run_id: str, expires_at: int = NOW + 6 * HOURS) -> BuiltImages:
        return BuiltImages(cast(DockerClient, self), Ownership(run_id, "", expires_at, ""))

    def _get(self, name: str) -> SimpleNamespace:
        if name not in self.names:
            raise ImageNotFound(name)
        return SimpleNamespace(id=self.names[name])

    def _images(self, filters: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        assert filters["label"] == "bench-action"
        found = [
            {"Id": image, "Created": made, "RepoTags": [name for name, named in self.names.items() if named == image]}
            for image, made in self.made.items()
            if image not in self.foreign
        ]
        return [image for image in found if not (filters.get("dangling") and image["RepoTags"])]

    def _remove(self, name: str) -> None:
        image = self.names.get(name, name)
        if image not in self.made:
            raise ImageNotFound(name)
        if image in self.used and list(self.names.values()).count(image) <= 1:
            raise APIError("409: a container uses it")
        self.names.pop(name, None)
        if image not in self.names.values():
            del self.made[image]


def build(engine: Engine, run: BuiltImages, image: str) -> str:
    return run.build(SPEC, lambda name: engine.build(image, SPEC.name, name))


def test_build__what_a_run_built_stays_until_it_is_over_and_its_name_for_the_next() -> None:
    engine = Engine()
    run = engine.run("one")
    assert build(engine, run, "first") == "first"
    assert len(engine.names) == 2
    run.release()
    assert engine.names == {"bench-action/app": "first"}


def test_build__the_image_that_lost_its_name_is_removed() -> None:
    engine = Engine()
    for number, image in enumerate(("first", "second", "second", "third")):
        run = engine.run(str(number))
        assert build(engine, run, image) == image
        run.release()
    assert set(engine.made) == {"third"}


def test_build__another_run_takes_the_name_and_not_the_image() -> None:
    engine = Engine()
    ours, others = engine.run("ours"), engine.run("others")
    build(engine, ours, "first")
    build(engine, others, "second")
    others.release()
    assert set(engine.made) == {"first", "second"}
    ours.release()
    assert set(engine.made) == {"second"}


def test_build__the_same_image_for_two_runs_outlives_the_first_of_them() -> None:
    engine = Engine()
    ours, others = engine.run("ours"), engine.run("others")
    build(engine, ours, "same")
    build(engine, others, "same")
    ours.release()
    del engine.names[SPEC.name]  # as if yet another had taken it
    assert set(engine.made) == {"same"}


def test_build__an_image_that_the_engine_does_not_have_is_told() -> None:
    with pytest.raises(StackError, match="was built, and the Docker engine does not have it") as caught:
        Engine().run("one").build(SPEC, lambda _: None)
    assert "docker buildx use default" in caught.value.advice


def test_release__leaves_what_is_in_use_or_is_not_ours() -> None:
    engine = Engine()
    engine.build("used", SPEC.name)
    engine.build("foreign")
    engine.used, engine.foreign = {"used"}, {"foreign"}
    run = engine.run("one")
    build(engine, run, "new")
    run.release()
    assert set(engine.made) == {"used", "foreign", "new"}


def test_sweep__removes_what_killed_runs_kept_and_what_has_no_name_for_long() -> None:
    engine = Engine()
    build(engine, engine.run("2026-killed"), "killed")
    build(engine, engine.run("2026-forgotten", NOW - 1), "forgotten")
    build(engine, engine.run("2026-alive"), "alive")
    build(engine, engine.run("2026-killed-too"), "named")
    engine.build("old", made=NOW - 2 * HOURS)
    engine.build("new", made=NOW - HOURS // 2)
    engine.run("sweep").sweep({"2026-killed", "2026-killed-too"})
    assert set(engine.made) == {"alive", "named", "new"}
    assert sorted(engine.names.values()) == ["alive", "named"]
