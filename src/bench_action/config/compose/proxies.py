"""Find out from the configuration of a web server how it reaches the service behind it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench_action.config.compose.parse import ComposeService

_CONFIGURATIONS = re.compile(r".*\.(conf|template|cfg|caddyfile|ya?ml|toml|vcl)|caddyfile", re.IGNORECASE)
_COMMENT = re.compile(r"#[^\n]*")
_UPSTREAM = re.compile(r"\bupstream\s+([\w.-]+)\s*\{([^}]*)\}")
_LARGEST = 64 * 1024  # bytes
_MOST_FILES = 100


def find_proxied_port(name: str, proxies: Sequence[ComposeService]) -> int | None:
    """Find the port under which web servers reach a service: `name:8000` in their variables or configuration."""
    named = re.compile(rf"(?<![\w.-]){re.escape(name)}:(\d{{2,5}})\b")
    for proxy in proxies:
        for text in (*proxy.env.values(), *_read_configurations(proxy)):
            if found := named.search(text):
                return int(found[1])
    return None


def passes_fastcgi(name: str, proxy: ComposeService) -> bool:
    """Whether a web server reaches a service by FastCGI or uwsgi, as its variables or configuration say."""
    texts = [_COMMENT.sub("", text) for text in (*proxy.env.values(), *_read_configurations(proxy))]
    server = re.compile(rf"\bserver\s+{re.escape(name)}[:;\s]")
    upstreams = [match[1] for text in texts for match in _UPSTREAM.finditer(text) if server.search(match[2])]
    names = "|".join(re.escape(each) for each in (name, *upstreams))
    passed = re.compile(rf"(?:fastcgi_pass|uwsgi_pass|php_fastcgi|fcgi:/)[\s/]*(?:{names})[:/;\s]")
    return any(passed.search(text) for text in texts)


def _read_configurations(proxy: ComposeService) -> Iterator[str]:
    """Read the configuration files that a web server mounts or is built with; no link leads out of them."""
    if proxy.danger:
        return
    places = [Path(mount.source) for mount in proxy.mounts if mount.type == "bind" and mount.inside]
    places += [Path(str(proxy.build.get("context")))] if proxy.build is not None else []
    for place in places:
        with suppress(OSError, RuntimeError):  # a name that no file can have, or a link to itself
            files = [place] if place.is_file() else sorted(place.rglob("*"))[:_MOST_FILES] if place.is_dir() else []
            for file in files:
                if _CONFIGURATIONS.fullmatch(file.name) and file.is_file() and _is_within(file, place):
                    yield from _read(file)


def _is_within(file: Path, place: Path) -> bool:
    return file == place or file.resolve().is_relative_to(place.resolve())


def _read(file: Path) -> Iterator[str]:
    try:
        if file.stat().st_size <= _LARGEST:
            yield file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
