"""Parse durations and sizes as people write them: `10s`, `500ms`, `2m`; `512m`, `1.5g`."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_duration(value: object) -> object:
    """Parse text such as "500ms" into seconds (0.5).

    Anything that is not text is left to pydantic, which rejects what is not a number. Raises ValueError for text that
    is not a duration.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("expected a duration such as 10s, 500ms or 2m")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(text: str) -> int:
    """Parse a size such as `64m` into bytes (67108864), as compose does. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a size such as 512m or 1.5g")
    unit: int = 1024 ** _POWERS[match[2].lower()]
    return round(float(match[1]) * unit)


def _parse_bytes(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=str | float)]
# wrk takes whole seconds only (`scan_time` in its units.c); pydantic rejects values with a fractional part
WholeSeconds = Annotated[int, BeforeValidator(parse_duration, json_schema_input_type=str | int)]
Bytes = Annotated[int, BeforeValidator(_parse_bytes, json_schema_input_type=str | int)]
