"""Find the compose files of a project, and refuse those that name files outside of the repository.

Compose reads `env_file`, `extends` and `include` itself, so they are checked before it runs: what it reads would end up
in an environment of a container, which belongs to the pull request.
"""

import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from bench_action.config.compose.command import ComposeCommand
from bench_action.config.documents import Loader, check_document, describe_yaml_error
from bench_action.config.paths import ALLOWED_FILES, Role, find_problem
from bench_action.config.schema import COMPOSE_FILES
from bench_action.model.errors import InputError

_OVERRIDES = tuple(name.replace("compose.", "compose.override.") for name in COMPOSE_FILES)
_DOTENV = ".env"
_MOST_FILES = 50
_REMOTE = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|git@|github\.com/)", re.IGNORECASE)


class Spare(NamedTuple):
    """Another revision's tree, from which files may be copied that are not under git: none of `tracked`.

    `tracked`: the paths of the files under git, relative to `root`. One that this revision lacks has been added there.
    """

    root: Path
    tracked: Collection[str] = ()


class _Reference(NamedTuple):
    """A file or folder that a compose file names. `via`: what else compose does with it than read it."""

    text: str
    role: Role
    via: Literal["", "extends", "include", "directory"] = ""


class _Reader(NamedTuple):
    """A compose file, and the folders that its paths may be relative to. `included`: its variables may be others."""

    file: Path
    bases: tuple[Path, ...]
    included: bool = False


class _Loader(Loader):
    """Reads compose's own tags (`!reset`, `!override`) as what they stand in front of.

    What compose may read as another text than we do, such as `!!binary`, is refused.
    """


def _construct_tagged(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_Loader.add_multi_constructor("!", _construct_tagged)


def find_compose_file(folder: Path) -> Path | None:
    """Find the compose file of a usual name in a folder, in the order in which compose looks for it."""
    return next((folder / name for name in COMPOSE_FILES if (folder / name).is_file()), None)


def find_override(folder: Path) -> Path | None:
    """Find the file that compose lays over the one of a usual name."""
    return next((folder / name for name in _OVERRIDES if (folder / name).is_file()), None)


def list_compose_files(
    command: ComposeCommand, root: Path, named: Sequence[Path], spare: Spare | None = None
) -> list[Path]:
    """List the files to read: those named, else what compose reads in the project's folder, its override included.

    `spare`: where to copy environment files, secrets and configs from that are missing here, as few are under git.
    Raises InputError if a file, or one that it names, is outside of `root`.
    """
    _fill_gap(command.folder / _DOTENV, root, spare)
    _check([(".env", command.folder / _DOTENV, "env_file")], root, command.folder / _DOTENV)
    files = list(named) or _list_usual_files(command)
    for file in files:
        _check([(file.name, file, "configuration")], root, file)
    _check_references(command, root, files, spare)
    return files


def _list_usual_files(command: ComposeCommand) -> list[Path]:
    dotenv = command.folder / _DOTENV
    if dotenv.is_file() and b"COMPOSE_FILE" in dotenv.read_bytes():
        names, separator = command.interpolate(["${COMPOSE_FILE:-}", "${COMPOSE_PATH_SEPARATOR:-:}"])
        if names:
            return [command.folder / name for name in names.split(separator)]
    file = find_compose_file(command.folder)
    if file is None:
        raise InputError(f"no compose file in {command.folder}", advice=f"name it, or call it {COMPOSE_FILES[0]}")
    override = find_override(command.folder)
    return [file, *([override] if override is not None else [])]


def _check_references(command: ComposeCommand, root: Path, files: Sequence[Path], spare: Spare | None) -> None:
    """Check all files that compose would read because of these, also those named by them in turn."""
    waiting = [_Reader(file, (file.parent, command.folder)) for file in files]
    seen = set[_Reader]()
    while waiting:
        reader = waiting.pop()
        if reader in seen:
            continue
        seen.add(reader)
        if len(seen) > _MOST_FILES:
            raise InputError(f"{files[0]} includes or extends more than {_MOST_FILES} files")
        waiting += _follow(command, root, reader, spare)


def _follow(command: ComposeCommand, root: Path, reader: _Reader, spare: Spare | None) -> Iterator[_Reader]:
    """Check the files that one compose file names, and yield those that name others."""
    references = _fill_in(command, reader, _list_references(reader.file))
    folders = [
        base / reference.text for reference in references for base in reader.bases if reference.via == "directory"
    ]
    for reference in references:
        # relative to the file for `extends`, to the project for most others: wherever it is, it must be inside
        paths = [base / reference.text for base in reader.bases]
        _check([(reference.text, path, reference.role) for path in paths], root, reader.file)
        if reference.role in {"env_file", "file"} and not reference.via:
            for path in paths:
                _fill_gap(path, root, spare)
        for path in paths:
            if reference.via == "extends" and path.is_file():
                yield _Reader(path, tuple(dict.fromkeys((*reader.bases, path.parent))), reader.included)
            elif reference.via == "include" and path.is_file():
                bases = tuple(dict.fromkeys((*reader.bases, *folders, path.parent)))
                _check([(_DOTENV, base / _DOTENV, "env_file") for base in bases], root, reader.file)
                yield _Reader(path, bases, included=True)


def _fill_gap(path: Path, root: Path, spare: Spare | None) -> None:
    """Copy a small file that is missing in `root` from its counterpart in `spare`, if that may be used."""
    problem = find_problem(path, root, "env_file")
    if spare is None or problem is None or not problem.absent:
        return
    missing = path.resolve()
    name = missing.relative_to(root)
    counterpart = spare.root / name
    if name.as_posix() in spare.tracked or find_problem(counterpart, spare.root, "env_file") is not None:
        return
    if missing.parent.is_dir():
        shutil.copyfile(counterpart, missing)


def _fill_in(command: ComposeCommand, reader: _Reader, references: Sequence[_Reference]) -> list[_Reference]:
    """Fill in the variables of references, and refuse those that no file of this repository can be meant by."""
    variable = [reference.text for reference in references if "$" in reference.text]
    if variable and reader.included:
        raise InputError(
            f"{reader.file} names {variable[0]}", advice="write the path of an included file without variables"
        )
    filled = dict(zip(variable, command.interpolate(variable), strict=True)) if variable else {}
    found = [reference._replace(text=filled.get(reference.text, reference.text)) for reference in references]
    for reference in found:
        if reference.text.startswith("~"):  # compose reads it as a home folder's
            raise InputError(
                f"{reader.file} may not use {reference.text}, as it is in a home folder", advice=ALLOWED_FILES
            )
        if reference.via and _REMOTE.match(reference.text):
            raise InputError(
                f"{reader.file} names {reference.text}, which is not in this repository", advice=ALLOWED_FILES
            )
    return found


def _check(references: Sequence[tuple[str, Path, Role]], root: Path, file: Path) -> None:
    for text, path, role in references:
        problem = find_problem(path, root, "file" if path.is_dir() else role)
        if problem is not None and not problem.absent:
            raise InputError(f"{file} may not use {text}, as it {problem.text}", advice=ALLOWED_FILES)


def _list_references(file: Path) -> list[_Reference]:
    """List the files that a compose file names and that compose reads, with their roles. Raises InputError."""
    try:
        text = file.read_text(encoding="utf-8")
        check_document(text)
        documents = list(yaml.load_all(text, _Loader))
        return list(dict.fromkeys(found for document in documents for found in _walk(document, set())))
    except OSError as error:
        raise InputError(f"could not read the compose file {file}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"could not read the compose file as YAML\n  {describe_yaml_error(file, error)}") from error


def _walk(value: Any, seen: set[int]) -> Iterator[_Reference]:
    """Walk through a file's values. Those that aliases repeat are seen once."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, seen)
        return
    for key, item in value.items():
        yield from _list_named(key, item)
        yield from _walk(item, seen)


def _list_named(key: Any, item: Any) -> Iterator[_Reference]:
    """List what one key of a compose file names."""
    if key in {"env_file", "label_file"}:
        yield from (_Reference(text, "env_file") for text in _list_texts(item, "path"))
    elif key == "extends" and isinstance(item, dict):
        yield from (_Reference(text, "configuration", "extends") for text in _list_texts(item.get("file"), ""))
    elif key == "include":
        yield from (_Reference(text, "configuration", "include") for text in _list_texts(item, "path"))
        yield from (_Reference(text, "file", "directory") for text in _list_texts(_pick(item, "project_directory"), ""))
    elif key in {"configs", "secrets"} and isinstance(item, dict):
        yield from (_Reference(text, "file") for body in item.values() for text in _list_texts(_pick(body, "file"), ""))


def _list_texts(value: Any, key: str) -> list[str]:
    """List texts in a text, a list, or under a key of mappings."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _list_texts(item, key)]
    return _list_texts(value.get(key), key) if isinstance(value, dict) and key else []


def _pick(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [found for item in value if (found := _pick(item, key)) is not None]
    return value.get(key) if isinstance(value, dict) else None
