"""What an ignore file leaves out of a build context, for the classic builder; BuildKit reads it by itself.

The rules are Docker's (documentation of `.dockerignore`): patterns in order, the last that matches a path or a folder
above it decides, `!` takes back, `*` and `?` stay within a name, `**` stands for any folders.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_NONE = -1


@dataclass(frozen=True, slots=True)
class Ignore:
    """An ignore file. Each pattern: what it matches, and whether it takes back."""

    patterns: Sequence[tuple[re.Pattern[str], bool]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of the file's text; a pattern that is none, such as `[`, matches nothing."""
        lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
        found = [(_pattern(line.removeprefix("!").strip()), line.startswith("!")) for line in lines if line]
        return cls([(pattern, back) for pattern, back in found if pattern is not None])

    def kept(self, root: Path) -> Iterator[str]:
        """Files, folders and links below `root` that are not left out, relative to it. Raises OSError."""
        return self._kept(root, "", _NONE)

    def _kept(self, root: Path, folder: str, above: int) -> Iterator[str]:
        """`above`: the number of the pattern that decided about the folder."""
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = folder + entry.name
                deciding = self._deciding(path, above)
                out = deciding != _NONE and not self.patterns[deciding][1]
                if not out:
                    yield path
                # something in it may be taken back
                if entry.is_dir(follow_symlinks=False) and (not out or any(back for _, back in self.patterns)):
                    yield from self._kept(root, f"{path}/", deciding)

    def _deciding(self, path: str, above: int) -> int:
        """The number of the last pattern that matches the path or a folder above it."""
        for number in range(len(self.patterns) - 1, above, -1):
            if self.patterns[number][0].fullmatch(path):
                return number
        return above


def _pattern(text: str) -> re.Pattern[str] | None:
    """Without a way to try many splits: a name that many stars might match in many ways is matched in one."""
    names = os.path.normpath(f"/{text}").strip("/").split("/")
    runs: list[list[str]] = [[]]
    for name in names:
        if name == "**":
            runs.append([])
        else:
            runs[-1].append(_name(name))
    try:
        return re.compile(_joined(["/".join(run) for run in runs]), re.DOTALL)
    except re.error:
        return None


def _joined(runs: list[str]) -> str:
    """Runs of names with any folders between them. The first place that fits leaves most to the runs that follow."""
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    begin = f"{first}/" if first else ""
    between = "".join(f"(?>(?:[^/]+/)*?{run}/)" for run in middle if run)
    return begin + between + (f"(?:[^/]+/)*{last}" if last else ".+")


def _name(glob: str) -> str:
    """One name: a star takes as little as lets the text after it follow, and never tries more."""
    first, *others = re.split(r"\*+", glob)
    if not others:
        return _literal(first)
    *middle, last = others
    between = "".join(f"(?>[^/]*?{_literal(text)})" for text in middle)
    return _literal(first) + between + f"[^/]*{_literal(last)}"


def _literal(text: str) -> str:
    """`?`, `[a-z]` and `\\` before a character as they are meant; the rest for itself."""
    parts = re.findall(r"\\.|\[[^\]]*\]|.", text, re.DOTALL)
    return "".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if part == "?":
        return "[^/]"
    if part.startswith("[") and len(part) > 1:
        return part
    return re.escape(part.removeprefix("\\") if len(part) > 1 else part)
