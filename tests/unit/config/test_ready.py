"""When something counts as ready, as the configuration says."""

from typing import Any

import pytest
from pydantic import ValidationError

from bench_action.config.schema import Config, Ready, Service, Variant

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "default"),
        ({"timeout": "60s"}, "default"),
        ({"path": "/up"}, "http"),
        ({"status": 301}, "http"),
        ({"host": "shop.example"}, "http"),
        ({"headers": {"X-A": "1"}, "port": 9000}, "http"),
        ({"port": 11211}, "tcp"),
        ({"tcp": True, "port": 11211}, "tcp"),
        ({"command": "pg_isready"}, "command"),
        ({"command": ["pg_isready"]}, "command"),
        ({"log": "ready$"}, "log"),
        ({"healthcheck": True}, "healthcheck"),
    ],
)
def test_kind__follows_from_the_keys(body: dict[str, Any], kind: str) -> None:
    assert Ready.model_validate(body).kind == kind


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"path": "/", "tcp": True}, "set only one of `path` and `tcp`"),
        ({"command": "x", "log": "y"}, "set only one of `command` and `log`"),
        ({"status": 200, "command": "x", "healthcheck": True}, "one of `status` and `command` and `healthcheck`"),
        ({"command": "x", "port": 1}, "`port` has no meaning with `command`"),
        ({"log": "["}, "not a regular expression: unterminated character set"),
        ({"tcp": False}, "Input should be True"),
        ({"command": []}, "at least 1 item"),
        ({"host": "http://shop.example"}, "should match pattern"),
        ({"status": []}, "at least 1 item"),
    ],
)
def test_ready__refuses_what_is_unclear(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Ready.model_validate(body)


def test_variant__is_probed_at_its_home_page() -> None:
    assert Variant(image="x").ready.path == "/"
    slow = Variant.model_validate({"image": "x", "ready": {"timeout": "60s"}}).ready
    assert (slow.kind, slow.path, slow.timeout) == ("http", "/", 60)
    assert Variant.model_validate({"image": "x", "ready": {"log": "up"}}).ready.kind == "log"


@pytest.mark.parametrize("kind", ["postgres", "redis", "mysql"])
def test_service__with_a_client_is_not_probed_by_http(kind: str) -> None:
    with pytest.raises(ValidationError, match=f"a service of kind {kind} does not speak HTTP"):
        Service.model_validate({"kind": kind, "image": "x", "ready": {"path": "/"}})
    assert Service.model_validate({"kind": kind, "image": "x", "ready": {"command": "x"}}).ready.kind == "command"


def test_service__a_probe_needs_a_port() -> None:
    for ready in ({"path": "/"}, {"tcp": True}):
        with pytest.raises(ValidationError, match="`ready` needs the `port` of the service"):
            Service.model_validate({"kind": "other", "image": "x", "ready": ready})
    assert Service.model_validate({"kind": "other", "image": "memcached:1", "ready": {"tcp": True}}).port is None
    assert Service.model_validate({"kind": "other", "image": "x", "ready": {"port": 1}}).ready.kind == "tcp"


def test_request__has_the_host_once() -> None:
    ready = Ready(host="shop.example", headers={"hOST": "other", "X-A": "1"}, status=["2xx", 301])
    assert ready.request.headers == {"Host": "shop.example", "X-A": "1"}
    assert [ready.expect.accepts(status) for status in (200, 204, 301, 302)] == [True, True, True, False]
    assert [Ready().expect.accepts(status) for status in (200, 204)] == [True, False]


def test_config__a_secret_in_the_headers_of_a_probe_is_refused() -> None:
    variant = {"image": "x", "ready": {"headers": {"Authorization": "Bearer ${TOKEN}"}}}
    with pytest.raises(ValidationError, match=r"the request of the `ready` of one contains `\$\{TOKEN\}`"):
        Config.model_validate({"variants": {"one": variant}, "secrets": ["TOKEN"]})
