"""Tell which Redis commands are work, and count those that were run between two readings."""

from collections.abc import Mapping

# connection set-up and tear-down, and our own commands; a subcommand is named like `client|setinfo`
_NOT_WORK = frozenset(
    {"auth", "client", "command", "config", "echo", "hello", "info", "quit", "readonly", "reset", "select"}
)
_RESET = "config|resetstat"  # counts itself after it has set all counters to zero; before Redis 7 it has no counter


def is_work(command: str) -> bool:
    """Tell whether a command counts as a cache command (docs/glossary.md); named as INFO commandstats names it."""
    return command.partition("|")[0] not in _NOT_WORK


def was_reset(calls: Mapping[str, int]) -> bool:
    """Tell whether somebody has reset the counters since the server started."""
    return calls.get(_RESET, 0) > 0


def count_commands(before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """Count the cache commands between two readings of INFO commandstats; None if the counters were ever reset."""
    if was_reset(after) or any(after.get(name, 0) < calls for name, calls in before.items()):
        return None
    return sum(calls - before.get(name, 0) for name, calls in after.items() if is_work(name))
