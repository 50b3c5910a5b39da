"""What a service is, by the name of its image."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

# Only images whose command and variables are the official ones' are of these kinds: bitnami's, for example, are not.
_POSTGRES = re.compile(
    r"(docker\.io/)?((library/)?postgres|postgis/postgis|imresamu/postgis|pgvector/pgvector|timescale/timescaledb(-ha)?|pgautoupgrade/pgautoupgrade)"
)
_REDIS = re.compile(r"(docker\.io/)?((library/)?redis|(valkey/)?valkey)")
_MYSQL = re.compile(r"(docker\.io/)?((library/)?(mysql|mariadb)|mysql/mysql-server)")
_IMAGES: Mapping[Literal["postgres", "redis", "mysql"], re.Pattern[str]] = {
    "postgres": _POSTGRES,
    "redis": _REDIS,
    "mysql": _MYSQL,
}

ServiceKind = Literal["postgres", "redis", "mysql", "other"]
SQL_KINDS = frozenset({"postgres", "mysql"})
DATABASE = ("host", "port", "user", "password", "database", "url")
# kind of a service → what a placeholder may name of it
ATTRIBUTES: Mapping[ServiceKind, Sequence[str]] = {
    "postgres": DATABASE,
    "mysql": DATABASE,
    "redis": ("host", "port", "password", "database", "url"),
    "other": ("host", "port"),
}


INITIAL_DATA = "/docker-entrypoint-initdb.d"  # whose files the official images of databases run at their first start

# where servers listen that people run as they are, by the end of their image's name
_PORTS = {
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "valkey": 6379,
    "mysql": 3306,
    "mariadb": 3306,
    "mongo": 27017,
    "mongodb": 27017,
    "memcached": 11211,
    "rabbitmq": 5672,
    "nats": 4222,
    "elasticsearch": 9200,
    "opensearch": 9200,
    "clickhouse-server": 8123,
    "minio": 9000,
    "meilisearch": 7700,
}


def find_usual_port(image: str) -> int | None:
    """Find the port on which the servers of an image usually listen."""
    return _PORTS.get(split_image(image).rpartition("/")[2])


def find_port(kind: ServiceKind, image: str) -> int:
    """Find the port on which a service of a kind listens if its configuration names none; 0 if it is not known."""
    return _PORTS.get(kind) or find_usual_port(image) or 0


def guess_kind(image: str) -> ServiceKind:
    """Tell the kind of a service from the name of its image; a registry in front of it does not matter."""
    name = split_image(image)
    mirrored = name.split("/", 1)[-1] if "." in name.split("/", 1)[0] or ":" in name.split("/", 1)[0] else name
    short = mirrored.rpartition("/library/")[2]
    for candidate in (name, mirrored, short):
        for kind, images in _IMAGES.items():
            if images.fullmatch(candidate):
                return kind
    return "other"


def split_image(image: str) -> str:
    """Return an image's name without its tag and digest."""
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


# Programs for people who look at a stack while they develop it: no request of a run reaches them.
_TOOLS = re.compile(
    r"(.*/)?(pgadmin4?|adminer|phpmyadmin|phppgadmin|mongo-express|redis-commander|redisinsight|redis-insight|pghero|flower|"
    r"portainer(-ce)?|watchtower|dozzle|prometheus|grafana|cadvisor|node[-_]exporter|postgres[-_]exporter|redis[-_]exporter|"
    r"promtail|swagger-ui|cloudbeaver|sqlpad|kafdrop|kafka-ui|cerebro|kibana|chronograf|certbot|cloudflared|ngrok)"
)
_MAIL_CATCHERS = re.compile(r"mail(hog|pit|dev|catcher|trap|crab|slurper)|smtp4dev|greenmail|inbucket|papercut")
_WEB_SERVERS = re.compile(
    r"(.*/)?(nginx|nginx-unprivileged|nginx-proxy|openresty|caddy|traefik|haproxy|httpd|envoy|varnish|angie|apache2?)"
)
_KEEPS_NOTHING = re.compile(r"rabbitmq|memcached|mail|smtp|nats|zipkin|jaeger|otel|statsd|selenium|chrom|mock")


def is_tool(image: str) -> bool:
    """Whether an image is a tool of developers, such as pgAdmin."""
    return _TOOLS.fullmatch(split_image(image)) is not None


def is_for_developers(name: str) -> bool:
    """Whether a service of this name is for developers, also if it is built here: a tool, or one that catches mail."""
    return is_tool(name) or _MAIL_CATCHERS.fullmatch(name.lower()) is not None


def is_web_server(image: str) -> bool:
    """Whether an image is a web server or a proxy that others stand behind, such as nginx."""
    return _WEB_SERVERS.fullmatch(split_image(image)) is not None


def is_initial(target: str) -> bool:
    """Whether a path in a database's container is one of the files that its image runs at its first start."""
    return f"{target}/".startswith(f"{INITIAL_DATA}/")


def keeps_data(image: str) -> bool:
    """Whether a service of this image may keep data for an application: it is no queue, cache or mail catcher."""
    return _KEEPS_NOTHING.search(split_image(image)) is None
