"""What a Dockerfile asks for that the classic builder does not refuse, but builds wrong. Pure."""

import re
from collections.abc import Iterator

_PLATFORM_ARGS = frozenset(
    f"{side}{name}" for side in ("TARGET", "BUILD") for name in ("PLATFORM", "OS", "ARCH", "VARIANT")
)
_INSTRUCTION = re.compile(r"[ \t]*(?:ONBUILD[ \t]+)?(?P<name>RUN|COPY|ADD|ARG)[ \t]+(?P<rest>.*)", re.IGNORECASE)
_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*+"|'[^']*+'|\\.|[^\s"'\\])++""")
_HEREDOC = re.compile(r"""\d*<<(?P<tabs>-?)(?P<quote>["']?)(?P<end>[^<"']+)(?P=quote)""")
_ESCAPE = re.compile(r"#[ \t]*escape[ \t]*=[ \t]*`", re.IGNORECASE)


def find_heredoc(text: str) -> str:
    """The first word that begins a here-document, such as `<<EOF`; empty without one.

    As in BuildKit a word of its own, outside quotes. Its end must be a line of the file: `1 <<2` is arithmetic.
    """
    lines = text.splitlines()
    ends = {False: set(lines), True: {line.lstrip("\t") for line in lines}}
    for name, rest in _instructions(lines):
        for word in _WORD.findall(rest) if name != "ARG" else ():
            found = _HEREDOC.fullmatch(word)
            if found and found["end"] in ends[bool(found["tabs"])]:
                return str(word)
    return ""


def declared_platform_args(text: str) -> frozenset[str]:
    """Arguments without a default that BuildKit sets by itself, such as TARGETARCH."""
    declared = (word for name, rest in _instructions(text.splitlines()) if name == "ARG" for word in rest.split())
    return _PLATFORM_ARGS.intersection(declared)


def _instructions(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Name and rest of each instruction that can matter, continued lines joined."""
    escape = "`" if lines and _ESCAPE.match(lines[0]) else "\\"
    parts: list[str] = []
    for line in lines:
        if line.lstrip().startswith("#"):
            continue  # also between continued lines
        part = line.rstrip()
        if part.endswith(escape):
            parts.append(part[:-1])
            continue
        if found := _INSTRUCTION.match(" ".join([*parts, part])):
            yield found["name"].upper(), found["rest"]
        parts = []
