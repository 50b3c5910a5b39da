"""Read Python sources as trees, and other languages as text without comments and with nested blocks."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

_COMMENTS = re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?\*/', re.DOTALL)
_OTHERS = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}]"""


def parse_python(text: str) -> ast.Module:
    """Parse a Python file; an empty module if it is not valid Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in other people's sources
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk through a tree in the order of the source, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def get_text(node: ast.AST | None) -> str | None:
    """Return a constant text; None for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def get_name(node: ast.AST | None) -> str:
    """Return a dotted name such as `auth.router`; empty for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def get_keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a keyword argument."""
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def drop_comments(text: str) -> str:
    """Remove `//` and `/* */`, but not inside strings."""
    return _COMMENTS.sub(lambda match: match[1] or " ", text)


@dataclass(frozen=True, slots=True)
class Found:
    """A match inside nested blocks. `prefixes`: those of the blocks around it, the outermost first."""

    match: re.Match[str]
    prefixes: tuple[str, ...]


def scan_blocks(text: str, opening: str, wanted: str) -> Iterator[Found]:
    """Find `wanted` in text with `{}` blocks. A match of `opening` gives its group `prefix` to the next block."""
    blocks: list[str] = []
    pending = ""
    for match in re.finditer(f"{wanted}|{opening}|{_OTHERS}", text):
        if match[0] == "{":
            blocks.append(pending)
            pending = ""
        elif match[0] == "}":
            del blocks[-1:]
        elif match["prefix"] is not None:
            pending = match["prefix"]
        elif match["path"] is not None:
            yield Found(match, tuple(filter(None, blocks)))
