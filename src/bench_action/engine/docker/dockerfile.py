"""What a Dockerfile may contain that the classic builder builds wrong without an error. Pure."""

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
    """Return the first word that starts a here-document, such as `<<EOF`, or an empty string.

    As in BuildKit, it is a separate word outside quotes. The file must have a line that ends it: `1 <<2` is arithmetic.
    """
    lines = text.splitlines()
    ends = {False: set(lines), True: {line.lstrip("\t") for line in lines}}
    for name, rest in _read_instructions(lines):
        for word in _WORD.findall(rest) if name != "ARG" else ():
            heredoc = _HEREDOC.fullmatch(word)
            if heredoc and heredoc["end"] in ends[bool(heredoc["tabs"])]:
                return str(word)
    return ""


def find_platform_args(text: str) -> frozenset[str]:
    """Find the declared arguments that BuildKit sets, such as TARGETARCH; one with a default is not among them."""
    declared = (word for name, rest in _read_instructions(text.splitlines()) if name == "ARG" for word in rest.split())
    return _PLATFORM_ARGS.intersection(declared)


def _read_instructions(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and arguments of each RUN, COPY, ADD and ARG, with continued lines joined."""
    escape = "`" if lines and _ESCAPE.match(lines[0]) else "\\"
    parts: list[str] = []
    for line in lines:
        if line.lstrip().startswith("#"):
            continue  # even between continued lines
        part = line.rstrip()
        if part.endswith(escape):
            parts.append(part[:-1])
            continue
        if instruction := _INSTRUCTION.match(" ".join([*parts, part])):
            yield instruction["name"].upper(), instruction["rest"]
        parts = []
