"""Small rules of English that messages share."""

_UNCHANGED = {"series"}


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `0 queries`, `3 series`."""
    if count == 1 or noun in _UNCHANGED:
        return f"{count} {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
