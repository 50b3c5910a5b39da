"""What an ignore file excludes from a build context, for the classic builder; BuildKit reads the file itself.

The rules are those of Docker's documentation of `.dockerignore`: the last pattern that matches a path, or a folder
above it, decides; `!` includes again; `*` and `?` match within a name; `**` matches any number of folders.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

_NONE = -1
_ANY_FOLDERS = "**"


class _Rule(NamedTuple):
    """A line of an ignore file. `pattern`: what it matches. `includes`: whether it includes that again.

    Of one that includes, `first`: the patterns of the names before any `**`; `open_ended`: whether there is a `**`.
    """

    pattern: re.Pattern[str]
    includes: bool
    first: Sequence[re.Pattern[str]]
    open_ended: bool

    def may_match_below(self, folder: str) -> bool:
        """Whether it may match something below a folder."""
        names = folder.split("/")
        if not self.open_ended and len(names) >= len(self.first):
            return False
        return all(pattern.fullmatch(name) for pattern, name in zip(self.first, names, strict=False))


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules of an ignore file."""

    rules: Sequence[_Rule]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of the file. An invalid pattern, such as `[`, matches nothing."""
        lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
        rules = [_parse_rule(line.removeprefix("!").strip(), includes=line.startswith("!")) for line in lines if line]
        return cls([rule for rule in rules if rule is not None])

    def walk(self, root: Path) -> Iterator[str]:
        """Yield the files, folders and links below `root` that are not excluded, relative to it. Raises OSError."""
        return self._walk(root, "", _NONE)

    def _walk(self, root: Path, folder: str, above: int) -> Iterator[str]:
        """Walk one folder; `above` is the number of the pattern that decided about it."""
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = folder + entry.name
                deciding = self._find_deciding(path, above)
                excluded = deciding != _NONE and not self.rules[deciding].includes
                if not excluded:
                    yield path
                if entry.is_dir(follow_symlinks=False) and (not excluded or self._includes_below(path, deciding)):
                    yield from self._walk(root, f"{path}/", deciding)

    def _includes_below(self, folder: str, deciding: int) -> bool:
        """Whether a pattern after the one that excludes a folder may include something in it again."""
        return any(rule.includes and rule.may_match_below(folder) for rule in self.rules[deciding + 1 :])

    def _find_deciding(self, path: str, above: int) -> int:
        """Return the number of the last pattern that matches the path or a folder above it."""
        for number in range(len(self.rules) - 1, above, -1):
            if self.rules[number].pattern.fullmatch(path):
                return number
        return above


def _parse_rule(text: str, *, includes: bool) -> _Rule | None:
    """Parse a pattern; None for an invalid one.

    It never backtracks: if stars could match a name in many ways, it tries only one.
    """
    names = os.path.normpath(f"/{text}").strip("/").split("/")
    runs: list[list[str]] = [[]]
    for name in names:
        if name == _ANY_FOLDERS:
            runs.append([])
        else:
            runs[-1].append(_translate_name(name))
    try:
        pattern = re.compile(_join_runs(["/".join(run) for run in runs]), re.DOTALL)
        first = [re.compile(name, re.DOTALL) for name in runs[0]] if includes else []
    except re.error:
        return None
    return _Rule(pattern, includes, first, len(runs) > 1)


def _join_runs(runs: list[str]) -> str:
    """Join runs of names, with any folders between them. The first match leaves most to the runs that follow."""
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    begin = f"{first}/" if first else ""
    between = "".join(f"(?>(?:[^/]+/)*?{run}/)" for run in middle if run)
    return begin + between + (f"(?:[^/]+/)*{last}" if last else ".+")


def _translate_name(glob: str) -> str:
    """Translate the pattern of one name; a star takes only as much as lets the text after it match."""
    first, *others = re.split(r"\*+", glob)
    if not others:
        return _translate_text(first)
    *middle, last = others
    between = "".join(f"(?>[^/]*?{_translate_text(text)})" for text in middle)
    return _translate_text(first) + between + f"[^/]*{_translate_text(last)}"


def _translate_text(text: str) -> str:
    """Translate text without stars: `?`, `[a-z]` and backslashes keep their meaning, the rest matches itself."""
    return "".join(_translate_part(part) for part in re.findall(r"\\.|\[[^\]]*\]|.", text, re.DOTALL))


def _translate_part(part: str) -> str:
    if part == "?":
        return "[^/]"
    if part.startswith("[") and len(part) > 1:
        return part
    return re.escape(part.removeprefix("\\") if len(part) > 1 else part)
