"""Tell which Redis commands are work, and count those that were run between two readings."""

from collections.abc import Mapping

# connection set-up and tear-down, and our own commands; a subcommand is named like `client|setinfo`
_NOT_WORK = frozenset(
    {"auth", "client", "command", "config", "echo", "hello", "info", "quit", "readonly", "reset", "select"}
)


def is_work(command: str) -> bool:
    """Tell whether a command counts as a cache command (docs/glossary.md); named as INFO commandstats names it."""
    return command.partition("|")[0] not in _NOT_WORK


def count_commands(before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """Count the cache commands between two readings of INFO commandstats; None if they were reset meanwhile."""
    if any(after.get(name, 0) < calls for name, calls in before.items()):
        return None
    return sum(calls - before.get(name, 0) for name, calls in after.items() if is_work(name))
