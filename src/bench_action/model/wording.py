"""Spell numbers and counts in one way, in every message and report."""

_UNCHANGED = {"series"}


def plural(count: int, noun: str) -> str:
    """Spell a count with its noun: `1 trial`, `2 trials`, `0 queries`, `3 series`."""
    if count == 1 or noun in _UNCHANGED:
        return f"{count} {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def percent(fraction: float | None, *, exact: bool = False) -> str:
    """Spell a fraction as a percentage: 0.0612 → `6.1 %`, 0.123 → `12 %`, 12.34 → `1,234 %`, 0 → `0 %`, None → `–`.

    A measured value gets one decimal below 10 %, two below 0.1 %. `exact` is for a value that a person wrote, such as a
    gate: it keeps the decimals that it has, 0.01 → `1 %`, 0.125 → `12.5 %`.
    """
    if fraction is None:
        return "–"
    value = fraction * 100
    if exact:
        return f"{value:g} %"
    size = abs(value)
    decimals = 0 if size == 0 or size >= 9.95 else 1 if size >= 0.095 else 2
    return f"{value:,.{decimals}f} %"
