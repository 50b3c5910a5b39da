"""Put the versions of runtimes that a repository names into a suggested Dockerfile."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_action.init.constraints import choose_version, parse_version
from bench_action.init.sources import Sources, is_test

_LARGEST = 2**16  # characters of a file in TOML
_LONGEST_LINE = 2000
_JAVA_IMAGES = (8, 11, 17, 21, 25)
_LINES = re.ASCII | re.MULTILINE
_POM = re.compile(
    r"<(?:java\.version|maven\.compiler\.(?:release|target|source)|release)>\s{0,20}(?:1\.)?([0-9]{1,2})\s{0,20}<"
)
_GRADLE = re.compile(
    r"(?:(?:JavaLanguageVersion\.of|jvmToolchain)\(\s{0,20}|"
    r"(?:source|target)Compatibility\W{1,20}(?:JavaVersion\.VERSION_)?(?:1[._])?)([0-9]{1,2})\b"
)
_JAVA_TOOL = re.compile(r"^(?:java[ =])?(?:\S{1,40}(?:java|\.r)|(?:[^\s-]{1,40}-){0,3}(?:1\.)?)([0-9]{1,2})\b", _LINES)
_DOTNET = re.compile(r"(?<=[>;])net([0-9]{1,2}\.[0-9])(?=[<;])")
_GO = re.compile(r"^(?:toolchain go|go )([0-9]\.[0-9]{1,4})", _LINES)
_GEMFILE = re.compile(r"^[ \t]*ruby[ (]{1,9}((?:[\"'][^\"'\n]{1,40}[\"'][, ]{0,9}){1,4})", _LINES)
_EXACT = re.compile(r"\s*[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}\s*")

# reads the text of a file → the version to use instead of the usual one; empty if it names none
Reader = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class _Place:
    """Files that name a version. `first`: whether they count before others that are nearer to the top."""

    files: Sequence[str]
    read: Reader
    first: bool = False


def set_versions(dockerfile: str, sources: Sources) -> str:
    """Replace the tags of images in a Dockerfile by the versions that a repository names."""
    return _TAG.sub(lambda match: match[1] + _find_version(match[2], match[3], sources), dockerfile)


def _find_version(image: str, usual: str, sources: Sources) -> str:
    """Find the version that the file nearest to the top names; of one folder, in the order of its places."""
    found = [
        (not place.first, name.count("/"), number, name)
        for number, place in enumerate(_PLACES[image])
        for name in sources.find(*place.files)
        if not is_test(name)
    ]
    versions = (_PLACES[image][number].read(sources.read(name), usual) for _, _, number, name in sorted(found))
    return next(filter(None, versions), usual)


def _find(pattern: str) -> Reader:
    """Make a reader of the first version that a pattern finds."""
    compiled = re.compile(pattern, _LINES)

    def read(text: str, _usual: str) -> str:
        match = compiled.search(text)
        return str(match[1]) if match else ""

    return read


def _read_java_by(pattern: re.Pattern[str]) -> Reader:
    """Make a reader of the highest version that a pattern finds, or the next one that has images."""

    def read(text: str, _usual: str) -> str:
        highest = max(map(int, pattern.findall(text)), default=0)
        return str(next((each for each in _JAVA_IMAGES if each >= highest), highest)) if highest else ""

    return read


def _read_project(text: str, _usual: str) -> str:
    named: list[str] = _DOTNET.findall(text)
    return max(named, key=parse_version, default="")


def _read_web_project(text: str, usual: str) -> str:
    return _read_project(text, usual) if "Microsoft.NET.Sdk.Web" in text else ""


def _read_go(text: str, usual: str) -> str:
    """Read `go.mod`, which names the lowest version that will do."""
    named: list[str] = _GO.findall(text)
    return max([usual, *named], key=parse_version)


def _read_package(text: str, usual: str) -> str:
    """Read `package.json`: the version that Volta uses, else those that are allowed."""
    package = _parse_json(text)
    constraint = _get(package, "volta", "node") or _get(package, "engines", "node")
    return choose_version(constraint, usual, (str(number) for number in range(int(usual))))


def _read_composer(text: str, usual: str) -> str:
    package = _parse_json(text)
    constraint = _get(package, "config", "platform", "php") or _get(package, "require", "php")
    # for Composer, `~8.2` allows 8.3
    return choose_version(constraint.replace("~", "~="), usual, ["5.6", *_list_minor("7.4"), *_list_minor(usual)])


def _read_pyproject(text: str, usual: str) -> str:
    project = _parse_toml(text)
    poetry = ("tool", "poetry", "dependencies", "python")
    constraint = _get(project, "project", "requires-python") or _get(project, *poetry, "version")
    return choose_version(constraint or _get(project, *poetry), usual, _list_minor(usual))


def _read_pipfile(text: str, usual: str) -> str:
    return choose_version(_get(_parse_toml(text), "requires", "python_version"), usual, _list_minor(usual))


def _read_gemfile(text: str, usual: str) -> str:
    """Read a Gemfile. Bundler refuses any other version than one with three numbers."""
    constraint = re.sub("[\"']", " ", match[1]) if (match := _GEMFILE.search(text)) else ""
    if _EXACT.fullmatch(constraint):
        return constraint.strip()
    return choose_version(constraint, usual, ["2.7", *_list_minor(usual)])


def _list_minor(version: str) -> list[str]:
    """List a version and the minor ones before it."""
    major, minor = parse_version(version)
    return [f"{major}.{number}" for number in range(minor + 1)]


def _parse_json(text: str) -> Any:
    """Parse a file in JSON; None if it is damaged."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse_toml(text: str) -> Any:
    """Parse a file in TOML; None if it is damaged, or might be a key with so many dots that it takes all memory."""
    if len(text) > _LARGEST or any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        return None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _get(value: Any, *keys: str) -> str:
    """Get a text in mappings inside each other; empty without one."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


_TOOLS = (".tool-versions",)
_DOTNET_PLACES = (
    _Place(("*.csproj", "*.fsproj"), _read_web_project, first=True),
    _Place(("*.csproj", "*.fsproj", "Directory.Build.props"), _read_project),
)
_PLACES: Mapping[str, Sequence[_Place]] = {
    "eclipse-temurin": (
        _Place(("pom.xml",), _read_java_by(_POM)),
        _Place(("build.gradle", "build.gradle.kts"), _read_java_by(_GRADLE)),
        _Place((".java-version", ".sdkmanrc", *_TOOLS), _read_java_by(_JAVA_TOOL)),
    ),
    "dotnet/sdk": _DOTNET_PLACES,
    "dotnet/aspnet": _DOTNET_PLACES,
    "golang": (_Place(("go.mod",), _read_go),),
    "node": (
        _Place((".nvmrc", ".node-version"), _find(r"^v?([0-9]{1,4})\b")),
        _Place(_TOOLS, _find(r"^nodejs[ ]{1,9}([0-9]{1,4})\b")),
        _Place(("package.json",), _read_package),
    ),
    "php": (_Place(("composer.json",), _read_composer),),
    "python": (
        _Place((".python-version", "runtime.txt"), _find(r"^(?:python-)?(3\.[0-9]{1,4})")),
        _Place(_TOOLS, _find(r"^python[ ]{1,9}(3\.[0-9]{1,4})")),
        _Place(("Pipfile",), _read_pipfile),
        _Place(("pyproject.toml",), _read_pyproject),
    ),
    "ruby": (
        _Place((".ruby-version",), _find(r"^(?:ruby-)?([0-9]\.[0-9]{1,4}(?:\.[0-9]{1,4})?)")),
        _Place(_TOOLS, _find(r"^ruby[ ]{1,9}([0-9]\.[0-9]{1,4}(?:\.[0-9]{1,4})?)")),
        _Place(("Gemfile",), _read_gemfile),
    ),
}
_TAG = re.compile(rf"^(FROM (?:\S+/)?({'|'.join(_PLACES)}):)([0-9][0-9.]*)", re.MULTILINE)
