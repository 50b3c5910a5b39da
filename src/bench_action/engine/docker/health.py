"""Read what the engine says about a container's health and times."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_SHELL = ("/bin/sh", "-c")


def parse_healthcheck(config: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the command of a HEALTHCHECK from an image's configuration; None if it has none."""
    form, *words = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    match form:
        case "CMD":
            return [str(word) for word in words] or None
        case "CMD-SHELL":
            return [*(config.get("Shell") or _SHELL), *map(str, words)]
        case _:
            return None


def parse_time(text: str) -> float | None:
    """Return the seconds of a time since 1970, rounded down to µs; None for the year 1, which stands for never."""
    moment = datetime.fromisoformat(f"{text[:26].rstrip('Z')}+00:00")
    return None if moment.year == 1 else moment.timestamp()
