"""Read a Dockerfile: its stages, and how each of them is started."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from posixpath import join

from bench_action.config.variables import LONGEST, fill, list_unset, split_words

_INSTRUCTION = re.compile(
    r"\s*(FROM|EXPOSE|ENV|CMD|ENTRYPOINT|WORKDIR|ARG|COPY|ADD|HEALTHCHECK|RUN)\s+(.*)", re.IGNORECASE | re.DOTALL
)
_CONTINUED = re.compile(r"\\[ \t\r]*\Z")
_HEREDOC = re.compile(r"(?<!<)<<-?([\"']?)([A-Za-z_]\w*)\1")
_TAKES_HEREDOCS = re.compile(r"\s*(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_FLAGS = re.compile(r"(?:--\S+\s+)*")
_COMMAND = re.compile(r"^CMD\s+", re.IGNORECASE)
_PORTS = re.compile(r"(?:\S*:)?([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/tcp)?", re.IGNORECASE)
_EXTENSIONS = re.compile(r"\b(?:docker-php-ext-install|install-php-extensions)\b([^&|;]*)")
_REMOTE = re.compile(r"^(?:\w+://|git@|<<)")
# the arguments that BuildKit sets
_PLATFORM: Mapping[str, str] = {
    f"{machine}{name}": value
    for machine in ("BUILD", "TARGET")
    for name, value in (("PLATFORM", "linux/amd64"), ("OS", "linux"), ("ARCH", "amd64"), ("VARIANT", ""))
}
# a hostile file beyond these limits would take minutes, or all memory
_LARGEST = 2**17  # bytes
_MOST_INSTRUCTIONS = 2000
_MOST_STAGES = 200
_MOST_LISTED = 500  # variables, ports or extensions of a stage, or files that are copied together


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, with what it has from the stage that it is based on.

    `name`: in lower case; empty without one. `base`: what its FROM names, as it is written if a variable of it has no
    value; `image`: the image that this leads to. `arguments`: those that it declares. `exposed`: the ports that it
    names itself, `inherited`: those of its base. `line`: the CMD as it is written, if that is a line of a shell;
    `has_command`: whether the CMD is in this stage. `health`: its HEALTHCHECK's command. `extensions`: those of PHP
    that it installs.
    """

    image: str = ""
    base: str = ""
    name: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    exposed: Sequence[int] = ()
    inherited: Sequence[int] = ()
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    line: str = ""
    has_command: bool = False
    workdir: str = "/"
    health: str = ""
    extensions: Sequence[str] = ()

    @property
    def ports(self) -> list[int]:
        """The ports that are exposed, in order, its own first. Of a range, its ends."""
        return list(dict.fromkeys((*self.exposed, *self.inherited)))

    @property
    def start(self) -> list[str]:
        """The words of the entrypoint and the command."""
        return [*self.entrypoint, *self.command]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file. `text`: as it is written.

    `copied`: for each COPY and ADD, what it takes from the build context. `arguments`: the names of arguments without a
    value that say what a stage is based on.
    """

    stages: Sequence[Stage] = ()
    copied: Sequence[Sequence[str]] = ()
    arguments: Sequence[str] = ()
    text: str = ""

    @property
    def images(self) -> list[str]:
        """What the stages are based on, in order."""
        return [stage.base for stage in self.stages]

    def find_stage(self, target: str = "") -> Stage:
        """Find the stage that is built: `target`, by its name or number, else the last. An empty one without any."""
        if re.fullmatch(r"[0-9]{1,5}", target) and int(target) < len(self.stages):
            return self.stages[int(target)]
        named = [stage for stage in self.stages if target and stage.name == target.lower()]
        return next(reversed(named or self.stages), Stage())


def read_dockerfile(path: Path, arguments: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a file; an empty one if it cannot be read, or is larger than 128 KiB. `arguments`: as for parsing."""
    try:
        if not path.is_file() or (stat := path.stat()).st_size > _LARGEST:
            return Dockerfile()
        return _read(path.absolute(), stat.st_mtime_ns, stat.st_size, frozenset((arguments or {}).items()))
    except OSError:
        return Dockerfile()


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _size: int, arguments: frozenset[tuple[str, str]]) -> Dockerfile:
    """Read a file that other services of the same compose file may be built by as well."""
    return parse_dockerfile(path.read_text(encoding="utf-8-sig", errors="replace"), dict(arguments))


def parse_dockerfile(text: str, arguments: Mapping[str, str] | None = None) -> Dockerfile:
    """Parse the text of a file; an empty one if it is too long.

    `arguments`: the values that a build gives, which replace defaults.
    """
    given = arguments or {}
    shared = _PLATFORM  # and what is declared before the first stage
    stages, copied, unset = list[Stage](), list[Sequence[str]](), list[str]()
    lines = _join_lines(text) if len(text) <= _LARGEST else ()
    for match in filter(None, (_INSTRUCTION.match(line) for line in islice(lines, _MOST_INSTRUCTIONS))):
        kind, value = match[1].upper(), match[2].strip()
        if kind == "FROM" and len(stages) < _MOST_STAGES:
            unset += list_unset(_split_from(value)[0], shared)
            stages.append(_begin_stage(value, shared, stages))
        elif kind == "ARG" and not stages:
            shared = _add(shared, _parse_arguments(value, shared, given, {}))
        elif kind == "ARG":
            known = {**stages[-1].arguments, **stages[-1].env}
            declared = _parse_arguments(value, known, given, shared)
            stages[-1] = replace(stages[-1], arguments=_add(stages[-1].arguments, declared))
        elif stages:
            known = {**stages[-1].arguments, **stages[-1].env}
            stages[-1] = _apply(stages[-1], kind, value, known)
            copied += [_list_copied(value, known)] if kind in {"COPY", "ADD"} else []
    return Dockerfile(stages, copied, tuple(dict.fromkeys(unset)), text)


def _split_from(value: str) -> tuple[str, str]:
    """Split what follows a FROM into what it names and the name of the stage, in lower case."""
    base, *words = split_words(_FLAGS.sub("", value, count=1)) or [""]
    return base, words[1].lower() if len(words) == 2 else ""


def _begin_stage(value: str, known: Mapping[str, str], stages: Sequence[Stage]) -> Stage:
    """Begin a stage: with what an earlier stage of the base's name ended with, or with nothing."""
    base, name = _split_from(value)
    image = fill(base, known)
    parent = next((stage for stage in reversed(stages) if stage.name and stage.name == image.lower()), Stage(image))
    base = base if list_unset(base, known) else image
    return replace(parent, base=base, name=name, exposed=(), inherited=parent.ports, has_command=False)


def _join_lines(text: str) -> Iterator[str]:
    """Join the lines of each instruction, also those that follow it up to a word (`<<EOF`), as lines of a shell."""
    lines = text.split("\n")
    last = {line.strip(): number for number, line in enumerate(lines)}
    parts, at = list[str](), 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # also inside of an instruction
        parts.append(_CONTINUED.sub("", line))
        if parts[-1] != line:
            continue
        joined = "".join(parts)
        parts = [joined]
        for _, word in _HEREDOC.findall(joined) if _TAKES_HEREDOCS.match(joined) else ():
            if last.get(word, -1) >= at:
                end = next(number for number in range(at, len(lines)) if lines[number].strip() == word)
                parts += lines[at:end]
                at = end + 1
        yield "; ".join(parts)
        parts = []
    yield "".join(parts)


def _parse_arguments(
    value: str, known: Mapping[str, str], given: Mapping[str, str], shared: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Parse the arguments of an ARG that have a value: the given one, their default, or that of all stages."""
    for word in split_words(value):
        name, has_default, default = word.partition("=")
        if name in given:
            yield name, given[name]
        elif has_default:
            yield name, fill(default, known)
        elif name in shared:
            yield name, shared[name]


def _add(known: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    return dict(islice(chain(known.items(), pairs), _MOST_LISTED))


def _list_copied(value: str, known: Mapping[str, str]) -> Sequence[str]:
    """List what a COPY or ADD takes from the build context: nothing of another stage, of the network or of itself."""
    flags = _FLAGS.match(value)
    text = value[flags.end() :] if flags else value
    listed = _parse_list(text)
    words = split_words(text) if listed is None else listed
    if (flags and "--from=" in flags[0]) or any(word.startswith("<<") for word in words):
        return ()
    filled = [fill(word, known) for word in words[:-1][:_MOST_LISTED]]
    return tuple(word for word in filled if word and not _REMOTE.match(word))


def _apply(stage: Stage, kind: str, value: str, known: Mapping[str, str]) -> Stage:
    """Apply an instruction to a stage. `known`: its variables and arguments."""
    if kind == "ENV":
        stage = replace(stage, env=_add(stage.env, _parse_env(value, known)))
    elif kind == "EXPOSE":
        found = filter(None, (_PORTS.fullmatch(word) for word in fill(value, known).split()))
        ports = [int(port) for match in found for port in match.groups() if port and 0 < int(port) < 65536]
        stage = replace(stage, exposed=[*stage.exposed, *ports][:_MOST_LISTED])
    elif kind == "WORKDIR":
        stage = replace(stage, workdir=join(stage.workdir, fill(value, known))[:LONGEST])
    elif kind == "RUN":
        names = [f"ext-{name}" for match in _EXTENSIONS.finditer(value) for name in match[1].split()]
        stage = replace(stage, extensions=[*stage.extensions, *names][:_MOST_LISTED])
    elif kind == "HEALTHCHECK":
        stage = replace(stage, health=_parse_health(_FLAGS.sub("", value, count=1), known))
    elif kind == "CMD":
        line = "" if value.startswith("[") else value
        stage = replace(stage, command=_split_command(value), line=line, has_command=True)
    elif kind == "ENTRYPOINT":
        stage = replace(stage, entrypoint=_split_command(value))
        if not stage.has_command:
            stage = replace(stage, command=(), line="")
    return stage


def _parse_env(value: str, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Parse `NAME=value …`, or the older `NAME value`."""
    words = split_words(value)
    if words and "=" not in words[0]:
        name, *rest = value.split(maxsplit=1)
        yield name, fill(rest[0] if rest else "", known)
        return
    for name, sign, text in (word.partition("=") for word in words):
        if sign:
            yield name, fill(text, known)


def _parse_health(text: str, known: Mapping[str, str]) -> str:
    """Parse a HEALTHCHECK without its flags; empty for NONE."""
    command = _COMMAND.sub("", text, count=1)
    words = _parse_list(command)
    if text.lower() == "none":
        return ""
    return fill(command, known) if words is None else fill(" ".join(words), known, keep_quotes=True)


def _parse_list(text: str) -> list[str] | None:
    """Parse a list in JSON; None if it is none."""
    try:
        words = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return [str(word) for word in words] if isinstance(words, list) else None


def _split_command(value: str) -> Sequence[str]:
    """Split a command: a list in JSON, or a line as a shell does, at spaces if its quotes do not match."""
    words = _parse_list(value)
    if words is not None:
        return words
    try:
        return shlex.split(value[:LONGEST])
    except ValueError:
        return value[:LONGEST].split()
