"""Spell numbers and counts in one way, in every message and report, and show text of strangers as plain text."""

import re

from bench_action.model.visible import remove_invisible

_UNCHANGED = {"series"}
_SPACES = str.maketrans("\t\n", "  ")
# ECMA-48: CSI with its parameters; OSC, DCS, SOS, PM and APC up to their end; all others. As ESC and one letter, or C1
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 except tab and newline, DEL, C1, and what changes the direction of text or breaks its lines
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def strip_controls(text: str) -> str:
    """Remove all that a terminal obeys (colours, titles, the clipboard) except tabs and newlines, and all unseen."""
    return remove_invisible(_CONTROLS.sub("", _ESCAPES.sub("", text)))


def make_line(text: str) -> str:
    """Make one line of a stranger's text, of which a terminal obeys nothing: a line end could begin a line of ours."""
    return strip_controls(text).translate(_SPACES)


def plural(count: int, noun: str) -> str:
    """Spell a count with its noun: `1 trial`, `2 trials`, `0 queries`, `3 series`."""
    if count == 1 or noun in _UNCHANGED:
        return f"{count} {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def percent(fraction: float | None, *, exact: bool = False) -> str:
    """Spell a fraction as a percentage: 0.0612 → `6.1 %`, 0.123 → `12 %`, 12.34 → `1,234 %`, 0 → `0 %`, None → `–`.

    A measured value gets one decimal below 10 %, two below 0.1 %, and is `0 %` below 0.005 %. `exact` is for a value
    that a person wrote, such as a gate: it keeps the decimals that it has, 0.01 → `1 %`, 0.125 → `12.5 %`.
    """
    if fraction is None:
        return "–"
    value = fraction * 100
    if exact:
        return f"{value:g} %"
    size = abs(value)
    decimals = 0 if size < 0.005 or size >= 9.95 else 1 if size >= 0.095 else 2
    return f"{value:,.{decimals}f} %"


def format_change(fraction: float) -> str:
    """Format a change with its sign: `+6.1 %`, `−0.4 %`, `±0 %`."""
    size = percent(abs(fraction))
    return f"{'±' if size == '0 %' else sign(fraction)}{size}"


def sign(value: float) -> str:
    """Return the sign of a number: `+`, `−` or, for zero, `±`."""
    return "+" if value > 0 else "−" if value < 0 else "±"


def memory(size: int) -> str:
    """Spell bytes of memory: `1.2 GiB`, `512 MiB`."""
    mib = size / 2**20
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
