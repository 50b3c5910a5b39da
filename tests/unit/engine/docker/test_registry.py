"""Pulling images, and what is said when a registry or a platform does not allow it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import APIError

from bench_action.engine.docker.registry import advise_on_refusal, check_requested_platform, pull, require_platform
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit


class Engine:
    """A stand-in for the SDK's client: an engine for one platform, with one image."""

    def __init__(self, *events: dict[str, Any], refuses: str = "", arch: str = "amd64", image: str = "amd64") -> None:
        self.pulled: list[tuple[str, str]] = []
        self.api = SimpleNamespace(pull=self._pull)
        attributes = {"Os": "linux", "Architecture": image}
        self.images = SimpleNamespace(get=lambda _: SimpleNamespace(id="sha256:it", attrs=attributes))
        self.version = lambda: {"Os": "linux", "Arch": arch}
        self._events, self._refuses = events, refuses

    @property
    def client(self) -> DockerClient:
        return cast(DockerClient, self)

    def _pull(self, repository: str, *, tag: str, **_: Any) -> Any:
        self.pulled.append((repository, tag))
        if self._refuses:
            raise APIError("500", explanation=self._refuses)
        return iter(self._events)


@pytest.mark.parametrize(
    ("name", "repository", "tag"),
    [
        ("redis", "redis", "latest"),
        ("redis:8", "redis", "8"),
        ("localhost:5000/redis", "localhost:5000/redis", "latest"),
        ("localhost:5000/a/redis:8", "localhost:5000/a/redis", "8"),
        ("a/b@sha256:0f", "a/b", "sha256:0f"),
    ],
)
def test_pull__splits_the_name(name: str, repository: str, tag: str) -> None:
    engine = Engine({"status": "done"})
    pull(engine.client, name)
    assert engine.pulled == [(repository, tag)]


def test_pull__explains_a_refusal_however_it_arrives() -> None:
    refusal = "unauthorized: authentication required"
    for engine in (Engine({"status": "x"}, {"error": refusal}), Engine(refuses=refusal)):
        with pytest.raises(StackError, match="could not pull image private/app:1") as caught:
            pull(engine.client, "private/app:1")
        assert caught.value.cause == refusal
        assert "docker login" in caught.value.advice
        assert "`registries`" in caught.value.advice


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('Head "http://r/v2/a/manifests/1": no basic auth credentials', "log in"),
        ("pull access denied for x, repository does not exist or may require 'docker login': denied", "log in"),
        ("pulling from host r failed with status code [manifests 1]: 401 Unauthorized", "log in"),
        ("error from registry: incorrect username or password", "log in"),
        ("toomanyrequests: You have reached your pull rate limit.", "limits anonymous pulls"),
        ("manifest for r/x:2 not found: manifest unknown", "name and tag"),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', "reaches it"),
        ("x509: certificate signed by unknown authority", "reaches it"),
        ("no matching manifest for linux/amd64 in the manifest list entries", "exists for linux/amd64"),
        ("no match for platform in manifest: not found", "exists for linux/amd64"),
        ("disk full", ""),
    ],
)
def test_advise_on_refusal__by_reason(text: str, part: str) -> None:
    advice = advise_on_refusal(text, "linux/amd64")
    assert part in advice
    assert bool(advice) == bool(part)


@pytest.mark.parametrize(("engine", "image"), [("amd64", "386"), ("arm64", "arm"), ("s390x", "s390x"), ("amd64", "")])
def test_require_platform__accepts_what_the_processor_runs(engine: str, image: str) -> None:
    assert require_platform(Engine(arch=engine, image=image).client, "x") == "sha256:it"


@pytest.mark.parametrize(("engine", "image"), [("amd64", "arm64"), ("arm64", "amd64"), ("arm64", "386")])
def test_require_platform__refuses_another_processor(engine: str, image: str) -> None:
    with pytest.raises(StackError, match=f"image x is for linux/{image}, and this Docker engine runs linux/{engine}"):
        require_platform(Engine(arch=engine, image=image).client, "x")


@pytest.mark.parametrize("platform", ["", "linux/amd64", "linux", "amd64", "linux/amd64/v2", "linux/x86_64"])
def test_check_requested_platform__accepts_the_engines_own(platform: str) -> None:
    check_requested_platform(Engine().client, platform, "x")


@pytest.mark.parametrize(
    "platform", ["linux/arm64", "linux/arm64/v8", "windows/amd64", "arm64", "linux/aarch64", "windows"]
)
def test_check_requested_platform__refuses_another(platform: str) -> None:
    with pytest.raises(StackError, match=f"the service x has `platform: {platform}`") as caught:
        check_requested_platform(Engine().client, platform, "the service x")
    assert "remove `platform`" in caught.value.advice
