"""Read what a Dockerfile says about how the stage that is built is started."""

import json
import re
import shlex
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

_INSTRUCTION = re.compile(
    r"^\s*(FROM|EXPOSE|ENV|CMD|ENTRYPOINT|WORKDIR|ARG|COPY|ADD|HEALTHCHECK|RUN)\s+(.*)$", re.IGNORECASE
)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?::?-([^}]*))?\}?")
_STARTS_NOTHING = re.compile(
    r"(?:.*/)?(?:python|node|ruby|golang|rust|debian|ubuntu|alpine|openjdk|eclipse-temurin|amazoncorretto|buildpack-deps)"
    r"(?:[:@]|$)"
)
_FROM = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_EXTENSIONS = re.compile(r"\b(?:docker-php-ext-install|install-php-extensions)\b([^&|;]*)")
_REMOTE = re.compile(r"^(?:\w+://|git@|<<)")
_LONGEST = 4096  # characters: a value that refers to itself twice doubles with each line
_FOR_DEVELOPERS = re.compile(r"dev|debug|test|local")
_SERVES = re.compile(r"\b(?:start|serve|server|runserver|gunicorn|uvicorn|puma|unicorn|httpd|nginx)\b")
_JOB = re.compile(r"\b(?:jobs?|workers?|cron|scheduler|migrat\w*|tasks?|tests?|lint|celery|sidekiq|rake)\b")


@dataclass(slots=True)
class Dockerfile:
    """One stage. `image`: what it is based on. `ports`: those exposed, in order. `health`: its HEALTHCHECK's command.

    `line`: the CMD as it is written, if that is a line of a shell. `name`: the stage's name if it has to be chosen, as
    a later stage is a job; empty for the one that is built anyway. `copied`: for each COPY of the whole file, what it
    takes from the build context. `extensions`: those of PHP that it installs. `arguments`: the names of arguments
    without a default that say what it is based on. `text`: the whole file.
    """

    image: str = ""
    env: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    line: str = ""
    workdir: str = ""
    health: str = ""
    name: str = ""
    copied: tuple[tuple[str, ...], ...] = ()
    extensions: list[str] = field(default_factory=list)
    arguments: tuple[str, ...] = ()
    text: str = ""

    @property
    def starts(self) -> bool:
        """Whether it starts anything: by a command, or that of an image which is a server."""
        return bool(self.start) or _STARTS_NOTHING.match(self.image) is None

    @property
    def images(self) -> list[str]:
        """What the file's stages are based on, in order."""
        return _FROM.findall(self.text)

    @property
    def start(self) -> list[str]:
        """The words of the entrypoint and the command."""
        return [*self.entrypoint, *self.command]


def parse_dockerfile(text: str, target: str = "") -> Dockerfile:
    """Parse the stage that is built: `target`, else the last, or, if that is a job, the last one that exposes a port.

    A stage begins with what an earlier stage of its name ended with.
    """
    stages: dict[str, Dockerfile] = {}
    stage, arguments, last = Dockerfile(), dict[str, str](), ""
    copied, unknown = list[tuple[str, ...]](), list[str]()
    for line in _join_lines(text):
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        kind, value = match[1].upper(), match[2].strip()
        if kind == "FROM":
            words = [word for word in value.split() if not word.startswith("--")]
            base = _fill(words[0], arguments) if words else ""
            unknown += [
                match[1] for match in _VARIABLE.finditer(words[0] if words else "") if not _fill(match[0], arguments)
            ]
            stage = deepcopy(stages.get(base.lower(), Dockerfile(base)))
            last = words[2].lower() if len(words) == 3 else ""
            if last:
                stages[last] = stage
        elif kind == "ARG":
            for word in split_words(value):
                name, _, default = word.partition("=")
                # without a default, the name of one that has been given before the stages
                arguments[name] = _fill(default, arguments) or arguments.get(name, "")
        elif kind in {"COPY", "ADD"}:
            copied.append(_list_copied(_fill(value, {**arguments, **stage.env})))
        else:
            _apply(stage, kind, value, arguments)
    chosen = stages.get(target.lower()) or _leave_job(stages, stage, last)
    chosen.copied, chosen.arguments, chosen.text = tuple(copied), tuple(dict.fromkeys(unknown)), text
    return chosen


def _leave_job(stages: Mapping[str, Dockerfile], stage: Dockerfile, name: str) -> Dockerfile:
    """Choose the last stage that exposes a port if the last of all exposes none, and is a job by name or command."""
    words = re.sub(r"[-_:/.]", " ", " ".join([name, *stage.start]))
    serving = [(other, each) for other, each in stages.items() if each.ports and not _FOR_DEVELOPERS.search(other)]
    if stage.ports or not serving or not _JOB.search(words) or _SERVES.search(words):
        return stage
    name, chosen = serving[-1]
    chosen.name = name
    return chosen


def _list_copied(value: str) -> tuple[str, ...]:
    """List what a COPY or ADD takes from the build context: nothing of another stage, of the network or of itself."""
    words = split_command(re.sub(r"^(?:--\S+\s+)+", "", value))
    if re.match(r"(?:--\S+\s+)*--from=", value) or any(word.startswith("<<") for word in words):
        return ()
    return tuple(word for word in words[:-1] if word and not _REMOTE.match(word))


def _join_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r"\\\s*\n", " ", "\n".join(lines)).splitlines()


def _apply(stage: Dockerfile, kind: str, value: str, arguments: dict[str, str]) -> None:
    known = {**arguments, **stage.env}
    if kind == "ENV":
        stage.env.update(_parse_env(_fill(value, known)))
    elif kind == "EXPOSE":
        ports = re.findall(r"\b(\d{2,5})(?!/udp)\b", _fill(value, known))
        stage.ports += [int(port) for port in ports if int(port) < 65536]
    elif kind == "WORKDIR":
        stage.workdir = value if value.startswith("/") else f"{stage.workdir}/{value}"
    elif kind == "RUN":
        for match in _EXTENSIONS.finditer(value):
            stage.extensions += [f"ext-{name}" for name in match[1].split()]
    elif kind == "HEALTHCHECK":
        text = re.sub(r"^(?:--\S+\s+)*(?:CMD\s+)?", "", _fill(value, known), flags=re.IGNORECASE)
        words = split_command(text)
        stage.health = "" if words[:1] == ["NONE"] else " ".join(words)
    elif kind == "ENTRYPOINT":
        stage.entrypoint, stage.command, stage.line = split_command(value), [], ""
    else:
        stage.command, stage.line = split_command(value), "" if value.startswith("[") else value


def _fill(text: str, known: Mapping[str, str]) -> str:
    """Put in the values of variables; if they have none, their defaults."""
    return _VARIABLE.sub(lambda match: known.get(match[1]) or match[2] or "", text)[:_LONGEST]


def _parse_env(value: str) -> dict[str, str]:
    if not re.match(r"[A-Za-z_]\w*=", value):
        name, _, rest = value.partition(" ")
        return {name: rest.strip()}
    return dict(word.partition("=")[::2] for word in split_words(value) if "=" in word)


def split_command(value: object) -> list[str]:
    """Split a command that is a list, a list in JSON, or a line of a shell."""
    if isinstance(value, list):
        return [str(word) for word in value]
    text = str(value or "").strip()
    if text.startswith("["):
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, list):
            return [str(word) for word in words]
    return split_words(text)


def split_words(text: str) -> list[str]:
    """Split a line as a shell does, or at spaces if its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
