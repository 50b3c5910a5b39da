"""Services as compose v2 prints them, and as the classic docker-compose does, are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.config.compose.parse import Mount, parse_seconds, parse_service, parse_size, unescape

pytestmark = pytest.mark.unit

NEW = {
    "image": "app",
    "command": ["sh", "-c", "a b"],
    "entrypoint": ["/e", "x y"],
    "environment": {"A": "1", "B": None, "C": ""},
    "ports": [{"target": 8000, "published": "80", "protocol": "tcp"}, {"target": 53, "protocol": "udp"}],
    "expose": ["9000-9001"],
    "volumes": [
        {"type": "bind", "source": "/p/x", "target": "/x", "read_only": True},
        {"type": "volume", "source": "data", "target": "/data", "volume": {}},
        {"type": "volume", "target": "/anonymous"},
    ],
    "tmpfs": ["/run:size=1m"],
    "depends_on": {"db": {"condition": "service_healthy", "required": True}},
    "links": ["db:database"],
    "healthcheck": {"test": ["CMD-SHELL", "curl -f http://localhost:8000/health || exit 1"], "interval": "1m30s"},
    "secrets": [{"source": "s"}, {"source": "t", "target": "/etc/t", "mode": "0400"}],
}
CLASSIC = {
    "image": "app",
    "command": "sh -c 'a b'",
    "entrypoint": "/e 'x y'",
    "environment": ["A=1", "B", "C="],
    "ports": ["127.0.0.1:80:8000/tcp", "53:53/udp"],
    "expose": ["9000-9001"],
    "volumes": ["/p/x:/x:ro", "data:/data:rw", "/anonymous"],
    "tmpfs": "/run:size=1m",
    "depends_on": {"db": {"condition": "service_healthy"}},
    "links": ["db:database"],
    "healthcheck": {"test": "curl -f http://localhost:8000/health || exit 1", "interval": "1m30s"},
    "secrets": ["s", {"source": "t", "target": "/etc/t", "mode": 0o400}],
}


@pytest.mark.parametrize("raw", [NEW, CLASSIC], ids=["v2", "classic"])
def test_parse_service__reads_what_either_compose_prints(raw: dict[str, object]) -> None:
    service = parse_service("web", raw)

    assert service.command == ["sh", "-c", "a b"]
    assert service.entrypoint == ["/e", "x y"]
    assert service.env == {"A": "1", "C": ""}
    assert (service.published, service.exposed) == ((8000,), (9000, 9001))
    assert service.mounts == (
        Mount("bind", "/x", "/p/x", read_only=True),
        Mount("volume", "/data", "data"),
        Mount("volume", "/anonymous"),
        Mount("tmpfs", "/run", size="size=1m"),
    )
    assert service.conditions == {"db": "service_healthy"}
    assert service.links == {"database": "db"}
    assert service.health is not None
    assert service.health.limit_s == 270
    assert service.health.find_url(["web"]) == (8000, "/health")
    assert [(item.target, item.mode) for item in service.attachments] == [("/run/secrets/s", None), ("/etc/t", 0o400)]


def test_ports__of_a_huge_range_are_its_first_ones() -> None:
    ports = parse_service("web", {"ports": ["1-65535"] * 1000}).published
    assert ports[0] == 1
    assert len(set(ports)) == 100


def test_ports__are_numbers() -> None:
    odd = ["²", "1" * 5000, {"target": "²"}, {"published": "80"}, "1-999999999999", "80/sctp", {"target": 443}]
    assert parse_service("web", {"ports": odd}).published == (443,)


@pytest.mark.parametrize(
    "healthcheck",
    [{"disable": True}, {"test": ["NONE"]}, {"test": "NONE"}, None],
)
def test_parse_service__without_a_healthcheck(healthcheck: object) -> None:
    assert parse_service("web", {"healthcheck": healthcheck}).health is None


@pytest.mark.parametrize(
    ("test", "url"),
    [
        (["CMD", "curl", "-f", "http://localhost/health"], (0, "/health")),
        (["CMD", "wget", "-qO-", "http://127.0.0.1:3000"], (3000, "/")),
        (["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://web:80/up')"], (80, "/up")),
        (["CMD", "curl", "http://other/x"], None),
        (["CMD", "pg_isready"], None),
    ],
)
def test_health__finds_the_containers_own_url(test: list[str], url: object) -> None:
    health = parse_service("web", {"healthcheck": {"test": test}}).health

    assert health is not None
    assert health.find_url(["web"]) == url


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90.0), ("500ms", 0.5), ("1h0m0s", 3600.0), ("", 7.0), (None, 7.0)]
)
def test_parse_seconds(text: object, seconds: float) -> None:
    assert parse_seconds(text, 7.0) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64m", 64 * 2**20), ("1gb", 2**30), ("67108864", 67108864), (1024, 1024), (None, 0)]
)
def test_parse_size(text: object, size: int) -> None:
    assert parse_size(text) == size


@given(st.text())
def test_unescape__undoes_what_compose_does(text: str) -> None:
    assert unescape({"a": [text.replace("$", "$$")]}) == {"a": [text]}
