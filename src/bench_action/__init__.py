"""bench-action: what runs, in which order, is told by the file names (see docs/architecture.md)."""

__version__ = "0.1.0"
