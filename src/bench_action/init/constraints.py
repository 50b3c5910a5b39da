"""Choose a version that a constraint such as `>=3.10,<3.13` or `^18 || ^20` allows."""

import re
from collections.abc import Iterable, Sequence

Version = tuple[int, ...]

_LONGEST = 200  # characters of a constraint
_HYPHEN = re.compile(r"([\w.]+)\s+-\s+([\w.]+)")
_COMPARISON = re.compile(r"(?<![\w.+-])([~^<>=!]{0,3})\s*v?([0-9]{1,4}(?:\.[0-9]{1,4}){0,3}|[*x])(?!\w)")


def parse_version(text: str) -> Version:
    """Parse the numbers of a version, such as `3.11`."""
    return tuple(int(part) for part in text.split("."))


def choose_version(constraint: str, usual: str, others: Iterable[str]) -> str:
    """Choose the newest allowed version: the usual one, else an older one of `others`, else the highest that is named.

    Empty if the constraint names no version. It may be written as for npm, Poetry, pip, Composer or Bundler.
    """
    text = _HYPHEN.sub(r">=\1 <=\2", constraint[:_LONGEST])
    alternatives = [_COMPARISON.findall(part) for part in re.split(r"\|+", text)]
    named = [number for comparisons in alternatives for _, number in comparisons if number not in {"*", "x"}]
    allowed = [
        other
        for other in (usual, *others)
        if parse_version(other) <= parse_version(usual)
        and any(part and all(_allows(parse_version(other), *each) for each in part) for part in alternatives)
    ]
    if not named or allowed:
        return max(allowed, key=parse_version, default="")
    return ".".join(max(named, key=parse_version).split(".")[: usual.count(".") + 1])


def _allows(version: Version, operator: str, number: str) -> bool:
    """Whether a comparison allows any release of a version. Without an operator, it allows those of its number."""
    bound = parse_version(number) if number not in {"*", "x"} else ()
    length = min(len(bound), len(version))
    start, own, rest = bound[:length], version[:length], any(bound[length:])
    if operator == "!=":
        return True
    if operator == "<":
        return own < start or (own == start and rest)
    if operator == ">":
        return own > start or (own == start and rest)
    if operator == "<=":
        return own <= start
    if operator == ">=":
        return own >= start
    return own >= start and _share(version, bound, operator)


def _share(version: Version, bound: Version, operator: str) -> bool:
    """Whether a version has the same first numbers as the bound, as many as its operator fixes."""
    fixed: Sequence[int] = bound
    if operator == "^":
        fixed = bound[:1]
    elif operator == "~":
        fixed = bound[:2]
    elif operator in {"~=", "~>"}:
        fixed = bound[: max(len(bound) - 1, 1)]
    length = min(len(fixed), len(version))
    return version[:length] == tuple(fixed[:length])
