"""Records of many runs in a branch or a folder. Writers may append in parallel; no record is lost or doubled."""

from typing import Final

DEFAULT_BRANCH: Final = "bench-history"
