"""Images of base: a failed build leaves its variant out, with the reason and the log."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from tests.quiet import Quiet

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config
from bench_action.engine.protocol import BuildSpec, Engine
from bench_action.model.errors import LostHostError, StackError
from bench_action.stack.images import make_images

pytestmark = pytest.mark.unit

NEW = Lack("new", "base `1a2b3c4` has no variant `new`")


class Builder:
    """An engine that builds with the function that a test passes in."""

    def __init__(self, build: Callable[[BuildSpec], str]) -> None:
        self.build = build

    def has_image(self, name: str, kind: str) -> bool:  # noqa: ARG002
        return bool(name)

    def image(self, name: str, kind: str, _platform: str = "") -> str:
        return f"{kind}:{name}"

    def tool_image(self) -> str:
        return "tool"


def make_project(*names: str) -> Project:
    config = Config.model_validate({"services": {}, "variants": {name: {"build": name} for name in names}})
    return Project(config, load_policy("ci"), "ci", Path("/project"), "bench.yml")


def test_make_images__a_variant_that_base_cannot_build_is_left_out() -> None:
    specs: list[BuildSpec] = []

    def build(spec: BuildSpec) -> str:
        specs.append(spec)
        if spec.name == "bench-action/bad:base":
            raise StackError(
                "the image bench-action/bad:base cannot be built", cause="RUN\n make: exit 2", log=["make: no"]
            )
        return f"id of {spec.name}"

    base = Baseline(make_project("good", "bad"), "1a2b3c4d5e6f", lacks={"new": NEW})
    images = make_images(cast(Engine, Builder(build)), make_project("good", "bad", "new"), base, Quiet(), environ={})
    assert {name: image.id for name, image in images.base.items()} == {"good": "id of bench-action/good:base"}
    assert images.lacks == {
        "new": NEW,
        "bad": Lack("base-failed", "base `1a2b3c4` could not be built: RUN make: exit 2", ("make: no",)),
    }
    namespaces = {spec.name: spec.cache_namespace for spec in specs}
    assert namespaces["bench-action/good"] == "bench-action-head"
    assert namespaces["bench-action/good:base"] == "bench-action-base"
    limits = {spec.name: spec.limit_s for spec in specs}
    assert limits["bench-action/good"] is None
    assert limits["bench-action/good:base"] == 600


def test_make_images__a_lost_host_is_no_fault_of_base() -> None:
    def build(spec: BuildSpec) -> str:
        if spec.name.endswith(":base"):
            raise LostHostError("the connection to host app was lost")
        return spec.name

    with pytest.raises(LostHostError):
        make_images(
            cast(Engine, Builder(build)), make_project("one"), Baseline(make_project("one")), Quiet(), environ={}
        )


def test_make_images__a_failed_build_of_head_ends_the_run() -> None:
    def build(spec: BuildSpec) -> str:
        raise StackError(f"the image {spec.name} cannot be built")

    with pytest.raises(StackError):
        make_images(
            cast(Engine, Builder(build)), make_project("one"), Baseline(make_project("one")), Quiet(), environ={}
        )


def test_make_images__hides_secrets_that_a_failed_build_printed() -> None:
    def build(spec: BuildSpec) -> str:
        raise StackError("could not build", cause="s3cret is wrong", log=["got s3cret and", "  token = abcdef", "}"])

    secrets = {"a": "s3cret", "b": "{\n  token = abcdef\n}\n", "c": ""}
    config = Config.model_validate(
        {"services": {}, "variants": {"web": {"build": {"context": "web", "secrets": secrets}}}}
    )
    project = Project(config, load_policy("ci"), "ci", Path("/project"), "bench.yml")
    with pytest.raises(StackError) as caught:
        make_images(cast(Engine, Builder(build)), project, None, Quiet(), environ={})
    assert caught.value.cause == "*** is wrong"
    assert caught.value.log == ("got *** and", "  ***", "}")


def test_make_images__builds_services_of_each_revision_once() -> None:
    built: list[str] = []

    def build(spec: BuildSpec) -> str:
        built.append(spec.name)
        return f"id of {spec.name}"

    services = {
        "worker": {"build": "web", "worker": True},
        "job": {"build": "job", "once": True},
        "db": {"image": "db"},
    }
    config = Config.model_validate({"services": services, "variants": {"web": {"build": "web"}}})
    project = Project(config, load_policy("ci"), "ci", Path("/project"), "bench.yml")
    images = make_images(cast(Engine, Builder(build)), project, Baseline(project), Quiet(), environ={})

    assert built == ["bench-action/web", "bench-action/job", "bench-action/web:base", "bench-action/job:base"]
    assert images.services["worker"] == images.variants["web"]
    assert images.services["db"].id == "other:db"
    assert {name: image.name for name, image in images.base_services.items()} == {
        "worker": "bench-action/web:base",
        "job": "bench-action/job:base",
    }
