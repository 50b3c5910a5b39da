"""Which Redis commands are work, and how many were run between two readings."""

from collections.abc import Mapping

# connection set-up and tear-down, and what we ask ourselves; a subcommand is named `client|setinfo`
_NOT_WORK = frozenset(
    {"auth", "client", "command", "config", "echo", "hello", "info", "quit", "readonly", "reset", "select"}
)


def is_work(command: str) -> bool:
    """Whether the glossary counts a command (its name as INFO commandstats writes it)."""
    return command.partition("|")[0] not in _NOT_WORK


def commands_between(before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """Commands of work between two readings of INFO commandstats; None where somebody has reset them."""
    if any(after.get(name, 0) < calls for name, calls in before.items()):
        return None
    return sum(calls - before.get(name, 0) for name, calls in after.items() if is_work(name))
