"""Small rules of English that messages share."""


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `0 queries`."""
    if count == 1:
        return f"{count} {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
