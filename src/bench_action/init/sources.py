"""Read the files of a repository: small text files only, and never one that is linked from elsewhere."""

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

_LARGEST = 2**20  # bytes: longer files are generated
_MOST_FILES = 20_000
_SKIPPED = frozenset(
    [
        "node_modules",
        "bower_components",
        "vendor",
        "venv",
        "env",
        "virtualenv",
        "site-packages",
        "__pycache__",
        "target",
        "dist",
    ]
)
_TESTS = frozenset(
    [
        "test",
        "tests",
        "spec",
        "specs",
        "e2e",
        "testing",
        "integration-test",
        "docs",
        "doc",
        "examples",
        "example",
        "fixtures",
        "benchmark",
        "benchmarks",
    ]
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The files below `folder`, as paths relative to it with `/`."""

    folder: Path
    names: tuple[str, ...]
    _texts: dict[str, str] = field(default_factory=dict, repr=False)
    _known: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", frozenset(self.names))

    @classmethod
    def from_folder(cls, folder: Path) -> "Sources":
        """List a folder's files. Hidden folders, and those of packages and build output, are left out."""
        names = sorted(_walk(folder), key=lambda name: (name.count("/"), name))
        return cls(folder, tuple(names))

    def find(self, *patterns: str) -> list[str]:
        """Find files whose path, or whose name, matches a pattern; those nearest to the top come first."""
        return [
            name
            for name in self.names
            if any(fnmatch(name, pattern) or fnmatch(PurePosixPath(name).name, pattern) for pattern in patterns)
        ]

    def has(self, name: str) -> bool:
        """Whether there is a file of this path."""
        return name in self._known

    def find_code(self, *suffixes: str) -> list[str]:
        """Find source files by their suffixes, except tests, documents, examples and benchmarks."""
        return [name for name in self.names if name.endswith(suffixes) and not is_test(name)]

    def read(self, name: str) -> str:
        """Read a file as text; empty if it cannot be read, is too large, or is a link to another place."""
        if name not in self._texts:
            self._texts[name] = _read(self.folder, name)
        return self._texts[name]


def is_test(name: str) -> bool:
    """Whether a path is of a test, a document, an example or a benchmark."""
    before, main, _ = name.partition("src/main/")  # below it, folders are packages, such as `com.example`
    *folders, file = PurePosixPath(name).parts
    folders, stem = list(PurePosixPath(before).parts) if main else folders, file.lower()
    return bool(_TESTS & {part.lower() for part in folders}) or any(
        mark in stem for mark in (".test.", ".spec.", "_test.", "test_", "_spec.")
    )


def _walk(folder: Path) -> Iterator[str]:
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for file in files:
            count += 1
            if count > _MOST_FILES:
                return
            yield (Path(place) / file).relative_to(folder).as_posix()


def _read(folder: Path, name: str) -> str:
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()) or path.stat().st_size > _LARGEST or not path.is_file():
            return ""
        content = path.read_bytes()
        # PowerShell writes UTF-16, also of `pip freeze > requirements.txt`
        encoding = "utf-16" if content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        return content.decode(encoding, errors="replace").replace("\r\n", "\n")
    except (OSError, RuntimeError):
        return ""
