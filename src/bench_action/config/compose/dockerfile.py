"""Read what a service is from its Dockerfile: the image that its final stage comes from, and the ports it exposes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FROM = re.compile(r"^FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE)
_EXPOSE = re.compile(r"^EXPOSE[ \t]+(.+)", re.IGNORECASE)
_ARGUMENT = re.compile(r"^ARG[ \t]+(\w+)=(\S+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?(\w+)(?::?-([^}]*))?\}?")
_LARGEST = 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Stage:
    """The final stage of a Dockerfile: the `image` that it comes from in the end, and its `ports`."""

    image: str = ""
    ports: Sequence[int] = ()


def read_final_stage(build: Mapping[str, Any]) -> Stage:
    """Read the stage that is built: `target`, else the last. An empty one if the Dockerfile cannot be read."""
    path = Path(str(build.get("context") or ".")) / str(build.get("dockerfile") or "Dockerfile")
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return Stage()
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Stage()
    return parse_final_stage(text, str(build.get("target") or ""))


def parse_final_stage(text: str, target: str = "") -> Stage:
    """Follow the final stage to the image that it comes from, and collect the ports that are exposed on the way."""
    stages, arguments = dict[str, tuple[str, list[int]]](), dict[str, str]()
    name = ""
    for line in (line.strip() for line in text.replace("\\\n", " ").splitlines()):
        if found := _ARGUMENT.match(line):
            arguments[found[1]] = found[2].strip("\"'")
        elif found := _FROM.match(line):
            name = (found[2] or f"#{len(stages)}").lower()
            stages[name] = (_fill_in(found[1], arguments), [])
        elif (found := _EXPOSE.match(line)) and name:
            words = _fill_in(found[1], arguments).split()
            stages[name][1].extend(
                int(word.partition("/")[0]) for word in words if re.fullmatch(r"\d{1,5}(/tcp)?", word)
            )
    name = target.lower() if target.lower() in stages else name
    ports: list[int] = []
    seen = set[str]()
    while name in stages and name not in seen:
        seen.add(name)
        image, own = stages[name]
        ports += own
        name = image.lower()
        if name not in stages:
            return Stage(image, tuple(ports))
    return Stage(name, tuple(ports))


def _fill_in(text: str, arguments: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: arguments.get(found[1], found[2] or ""), text)
