"""Read Python sources as trees, and other languages as text without comments and with nested blocks."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

_QUOTED = r""""(?:\\.|[^"\\\n])*+"|'(?:\\.|[^'\\\n])*+'"""
# what is escaped is skipped: looking for an end from each of many escaped quotes would take minutes
_COMMENTS = re.compile(rf"({_QUOTED}|`(?:\\.|[^`\\])*+`|\\.)|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LONGEST = 10_000  # characters of a statement
_DEEPEST = 100  # blocks within others
_OTHERS = rf"""{_QUOTED}|\\["']|[{{}}]"""


def parse_python(text: str) -> ast.Module:
    """Parse a Python file; an empty module if it is not valid Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in other people's sources
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def write_python(node: ast.AST) -> str:
    """Write an expression as Python; empty if it is nested too deeply, or has a number of too many digits."""
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):
        return ""


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
    """A match inside nested blocks. `prefixes`: those of the blocks around it, the outermost first.

    `guarded`: whether one of the blocks requires authentication. `guards`: the variables that do so inside them.
    """

    match: re.Match[str]
    prefixes: tuple[str, ...]
    guarded: bool
    guards: frozenset[str]


@dataclass(slots=True)
class _Block:
    prefix: str = ""
    guarded: bool = False
    guards: frozenset[str] = frozenset()


def scan_blocks(
    text: str, opening: str, wanted: str, *, before: str = "(?!)", inside: str = "(?P<receiver>(?!))"
) -> Iterator[Found]:
    """Find `wanted` in text with `{}` blocks. A match of `opening` gives its group `prefix` to the next block.

    A match of `before` says that the next block requires authentication, unless a `;` ends the statement first; one of
    `inside`, that the variable in its group `receiver` does in this block.
    """
    blocks, pending = [_Block()], _Block()
    for match in re.finditer(f"{wanted}|{opening}|(?P<before>{before})|{inside}|{_OTHERS}|;", text):
        if match[0] == "{":
            blocks.append(pending)
            pending = _Block()
        elif match[0] == "}":
            del blocks[max(1, len(blocks) - 1) :]
        elif match[0] == ";":
            pending = _Block()
        elif match["before"] is not None:
            pending.guarded = True
        elif match["receiver"] is not None:
            blocks[-1].guards |= {match["receiver"]}
        elif match["prefix"] is not None:
            pending.prefix = match["prefix"]
        elif match["path"] is not None:
            around = blocks[-_DEEPEST:]
            prefixes = tuple(block.prefix for block in around if block.prefix)
            guards = frozenset[str]().union(*(block.guards for block in around))
            yield Found(match, prefixes, any(block.guarded for block in around), guards)


def find_statement_end(text: str, at: int) -> int:
    """Find where the statement at a place ends: at its `;`, or where the block ends that it is in."""
    depth = 0
    for match in re.compile(f"{_OTHERS}|[();]").finditer(text, at, at + _LONGEST):
        if match[0] in "({":
            depth += 1
        elif match[0] in ")}":
            depth -= 1
            if depth < 0:
                return match.start()
        elif match[0] == ";" and depth == 0:
            return match.end()
    return min(len(text), at + _LONGEST)
