"""Records of many runs, kept in a branch or folder: appended by several writers at once, never lost, never doubled."""

from typing import Final

DEFAULT_BRANCH: Final = "bench-history"
