"""Read the k6 script of a profile with everything that it needs: what it imports and opens, and its folder."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench_action.config.paths import ALLOWED_FILES, find_problem
from bench_action.model.errors import InputError

# modules of k6 itself; all others are files
_BUILT_IN = re.compile(r"k6(/(?!x/).*)?$")
_IMPORT = re.compile(r"""^\s*(?:import|export)\b[^;"'`=()]*?(["'])([^"'\n]+)\1""", re.MULTILINE)
_LOADED = re.compile(r"""\.load\s*\(\s*(?:\[([^\]]*)\]|null)\s*,\s*(["'])([^"'\n]+\.proto)\2""")  # of gRPC
_OPENED = re.compile(r"""(?<![.\w])(?:require|import|open)\s*\(\s*(["'`])([^"'`\n]+)\1""")
_COMMENT = re.compile(r"""(["'`])(?:\\.|(?!\1).)*\1|//[^\n]*|/\*.*?\*/""", re.DOTALL)
_SCRIPTS = {".js", ".ts", ".mjs", ".cjs"}
_SKIPPED = {"node_modules", "__pycache__"}
_MOST_FILES, _MOST_BYTES = 500, 32 * 1024**2


@dataclass(slots=True)
class _Closure:
    """The files that a script needs, found so far: path → contents."""

    root: Path
    where: str
    files: dict[Path, bytes] = field(default_factory=dict)

    def add_script(self, path: Path, name: str) -> None:
        """Add a script, and everything that it imports or opens. Raises InputError."""
        if path in self.files:
            return
        data = self._read(path, name)
        self.files[path] = data
        if path.suffix not in _SCRIPTS:
            return
        for target in _find_targets(data.decode(errors="replace")):
            self._add_target(path, target)

    def add_folder(self, folder: Path) -> None:
        """Add what else is in a folder, as a script may name files that it computes; nothing if that is too much."""
        found: dict[Path, bytes] = {}
        size = 0
        for path in _list_folder(folder):
            if path in self.files or find_problem(path, self.root, "file") is not None:
                continue
            size += path.stat().st_size
            if len(found) >= _MOST_FILES or size > _MOST_BYTES:
                return
            found[path] = path.read_bytes()
        self.files.update(found)

    def _add_target(self, path: Path, target: str) -> None:
        if "://" in target:
            raise InputError(
                f"{self.where}: {path.name} imports {target} from the network",
                cause="what a server delivers may differ from run to run, and the load generator reaches no server",
                advice="copy the module to the repository, and import it by its path, such as `./lib/utils.js`",
            )
        if target.startswith("k6/x/"):
            raise InputError(
                f"{self.where}: {path.name} needs the extension {target}",
                advice="import only what is built into k6, or files of the repository",
            )
        if target.startswith(("./", "../", "/")) or "." in Path(target).name:
            if _BUILT_IN.match(target) or "${" in target:
                return
            found = Path(os.path.normpath(path.parent / target))
            if find_problem(found, self.root, "file") is None:  # if it is missing, k6 reports it
                self.add_script(found, target)

    def _read(self, path: Path, name: str) -> bytes:
        if problem := find_problem(path, self.root, "file"):
            raise InputError(f"{self.where} names {name}, which {problem.text}", advice=ALLOWED_FILES)
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.where}: could not read {name}: {error}") from error


def read_script(script: str, folder: Path, root: Path, where: str) -> tuple[tuple[tuple[str, bytes], ...], str, str]:
    """Read a script and its files. Returns them by paths relative to a common folder, the path of the script, a digest.

    The digest is of what the script imports and opens, without the rest of its folder. `folder`: what `script` is
    relative to; `root`: the folder that all must be in. Raises InputError.
    """
    main = Path(os.path.normpath(folder / script))
    closure = _Closure(root, where)
    closure.add_script(main, script)
    digest = hashlib.sha256(repr(sorted(closure.files.values())).encode()).hexdigest()[:12]
    closure.add_folder(main.parent)
    top = Path(os.path.commonpath([path.parent for path in closure.files]))
    files = sorted((str(path.relative_to(top)), data) for path, data in closure.files.items())
    return tuple(files), str(main.relative_to(top)), digest


def _find_targets(text: str) -> list[str]:
    """Find what a script imports and opens by a literal name, outside of comments."""
    code = _COMMENT.sub(lambda found: found[0] if found[1] else " ", text)
    found = [match[2] for pattern in (_IMPORT, _OPENED) for match in pattern.finditer(code)]
    for match in _LOADED.finditer(code):
        folders = re.findall(r"""["']([^"'\n]+)["']""", match[1] or "") or ["."]
        found += [f"./{folder}/{match[3]}" for folder in folders]
    return found


def _list_folder(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))
