"""bench-action: the folders are the steps of a run, in the order of docs/architecture.md."""

__version__ = "0.1.0"
