"""What a Dockerfile may contain that the classic builder builds wrong without an error. Pure."""

import re
from collections.abc import Iterator

_PLATFORM_ARGS = frozenset(
    f"{side}{name}" for side in ("TARGET", "BUILD") for name in ("PLATFORM", "OS", "ARCH", "VARIANT")
)
_INSTRUCTION = re.compile(r"[ \t]*(?:ONBUILD[ \t]+)?(?P<name>FROM|RUN|COPY|ADD|ARG)[ \t]+(?P<rest>.*)", re.IGNORECASE)
_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*+"|'[^']*+'|\\.|[^\s"'\\])++""")
_HEREDOC = re.compile(r"""\d*<<(?P<tabs>-?)(?P<quote>["']?)(?P<end>[^<"']+)(?P=quote)""")
_ESCAPE = re.compile(r"#[ \t]*escape[ \t]*=[ \t]*`", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#[ \t]*(?P<name>[A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(?P<value>.+)")
_FRONTEND = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")
# The flags of COPY and ADD that the classic builder obeys or refuses (engines 20.10 to 29). It ignores all others that
# the engine's parser knows, such as --exclude and --checksum. --link changes no file.
_OBEYED_FLAGS = frozenset({"chmod", "chown", "from", "link"})
_FLAG = re.compile(r"--(?P<name>[a-z][a-z-]*)(?:=.*)?")
_GIT_ADDRESS = re.compile(r"https?://(?:[^\s#]+\.git(?:[#?]\S*)?|(?:github|gitlab)\.com/\S+#\S+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?(?P<name>[A-Za-z_]\w*)")


def find_misread(text: str) -> str:
    """Find what the classic builder would misread without an error, and say so in one sentence; else return ''."""
    if (frontend := find_frontend(text)) and not _FRONTEND.fullmatch(frontend):
        return f"only BuildKit uses the frontend that `# syntax={frontend}` names; the classic builder ignores it"
    if heredoc := find_heredoc(text):
        return f"only BuildKit reads here-documents (`{heredoc}`); the classic builder would drop its lines"
    declared: set[str] = set()
    seen_from = False
    for name, rest in _read_instructions(text.splitlines()):
        if name in {"COPY", "ADD"} and (problem := _find_misread_copy(name, rest)):
            return problem
        if name == "FROM":
            seen_from = True
            unset = {match["name"] for match in _VARIABLE.finditer(rest)} & _PLATFORM_ARGS - declared
            if unset:
                return (
                    f"only BuildKit sets {min(unset)} in `FROM` without an `ARG`; for the classic builder it is empty"
                )
        elif name == "ARG" and not seen_from:
            declared |= {word.partition("=")[0] for word in rest.split()}
    return ""


def _find_misread_copy(name: str, rest: str) -> str:
    """Find a flag or an address of COPY or ADD that the classic builder does not understand; else return ''."""
    words = rest.split()
    for word in words:
        flag = _FLAG.fullmatch(word)
        if flag is None:
            break  # flags come first
        if flag["name"] not in _OBEYED_FLAGS:
            return f"only BuildKit obeys `{name} --{flag['name']}`; the classic builder would ignore it"
    address = next((word for word in words if name == "ADD" and _GIT_ADDRESS.fullmatch(word)), "")
    return address and f"only BuildKit clones `ADD {address}`; the classic builder would add what a browser gets there"


def find_frontend(text: str) -> str:
    """Return the frontend image that a `# syntax=` line names, or an empty string.

    As in BuildKit, such lines come before anything else, comments included.
    """
    for line in text.splitlines():
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            return ""
        if directive["name"].lower() == "syntax":
            return directive["value"]
    return ""


def find_heredoc(text: str) -> str:
    """Return the first word that starts a here-document, such as `<<EOF`, or an empty string.

    As in BuildKit, it is a separate word outside quotes. The file must have a line that ends it: `1 <<2` is arithmetic.
    """
    lines = text.splitlines()
    ends = {False: set(lines), True: {line.lstrip("\t") for line in lines}}
    for name, rest in _read_instructions(lines):
        for word in _WORD.findall(rest) if name in {"RUN", "COPY", "ADD"} else ():
            heredoc = _HEREDOC.fullmatch(word)
            if heredoc and heredoc["end"] in ends[bool(heredoc["tabs"])]:
                return str(word)
    return ""


def find_platform_args(text: str) -> frozenset[str]:
    """Find the declared arguments that BuildKit sets, such as TARGETARCH; one with a default is not among them."""
    declared = (word for name, rest in _read_instructions(text.splitlines()) if name == "ARG" for word in rest.split())
    return _PLATFORM_ARGS.intersection(declared)


def _read_instructions(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and arguments of each FROM, RUN, COPY, ADD and ARG, with continued lines joined."""
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
