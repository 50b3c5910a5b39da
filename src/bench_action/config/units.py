"""Parse durations as people write them: `10s`, `500ms`, `2m`."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")


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


Seconds = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=str | float)]
# wrk takes whole seconds only (`scan_time` in its units.c); pydantic rejects values with a fractional part
WholeSeconds = Annotated[int, BeforeValidator(parse_duration, json_schema_input_type=str | int)]
