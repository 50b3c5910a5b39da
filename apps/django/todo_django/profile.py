"""Choose how the application is served: as the article did, or tuned."""

import os
from typing import Final

# One PostgreSQL with 500 connections serves two subjects at a time, and the benchmark itself.
DATABASE_CONNECTIONS: Final = 200

_NAMES = ("published", "tuned")
_name = os.environ.get("TODO_PROFILE", "published")
if _name not in _NAMES:
    raise SystemExit(f"TODO_PROFILE is {_name!r}: expected one of {', '.join(_NAMES)}")

TUNED: Final = _name == "tuned"
