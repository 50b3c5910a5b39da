"""Seeded mutations: of bytes, of lines, of trees of JSON and YAML; and the texts and numbers that are put into them."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Path = tuple[str | int, ...]

# what GitHub, browsers, terminals, the runner and parsers would act on
TEXTS: Sequence[str] = (
    "@octocat",
    "org/team @org/team",
    "#1 org/shop#2 GH-3",
    "https://evil.example/?a=1",
    "www.evil.example",
    "me@evil.example",
    "[a](https://evil.example)",
    "![a](//evil.example/x.png)",
    "[a]: https://evil.example\n\n[a]",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title></pre></code></td></table></details><h1>x",
    "<!-- bench-action:bench-action -->",
    "--><b>",
    "<![CDATA[ ]]>",
    "]]>",
    "'\" onmouseover=alert(1) x='",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "a\n\n# heading\n\n- list\n\n> quote",
    "\n\n---\n\n",
    "a\n===\n",
    "```\n</details>\n```",
    "````\n~~~\n",
    "`@octocat",
    "a | b | c",
    "| a |\n|---|\n| b |",
    "**bold** *it* ~~no~~ _u_ $x$ \\@octocat",
    "&lt;b&gt; &#64;octocat &commat;octocat",
    "- [x] done",
    "1. one",
    "[^1]\n\n[^1]: note",
    ":+1: \\",
    "::set-output name=verdict::unchanged",
    "x\n::set-output name=verdict::unchanged",
    "x\r::add-mask::e",
    "##[set-output name=verdict;]unchanged",
    "a ##[add-mask]e",
    "%0A::error::x%25",
    "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[31m",
    "\x9b31m\x85\x90",
    "\x00\x01\x08\x0b\x0c\x7f",
    "\u202eevil\u2066\u200b\u00ad\u2028\u2029\ufeff",
    "\U000e0041\U000e0042",
    "e\u0301\u0320" * 20,
    '"} 1\nbench_action_verdict{x="',
    'a"b\\c\nd',
    "a=b,c=d",
    "${GITHUB_TOKEN} $(id) `id` ; rm -rf /",
    "../../etc/passwd",
    "/proc/self/environ",
    "-rf --upload-pack=x",
    "\ud800",
    "\udfff\ud83d",
    "",
    " ",
    "\t",
    "a" * 5000,
    "<" * 3000,
    "null",
    "0",
    "é" * 300,
)
NUMBERS: Sequence[Any] = (
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    -(2**63),
    2**64,
    10**400,
    0.0,
    -0.0,
    1e-320,
    1e308,
    -1e308,
    1.5,
    float("inf"),
    float("-inf"),
    float("nan"),
)
_VALUES: Sequence[Any] = (None, True, False, [], {}, [[]], [None], {"": None}, {"a": {"b": []}})


def list_paths(tree: Any, above: Path = ()) -> Iterator[Path]:
    """List the path of every value, keys and indexes, the outermost first."""
    yield above
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from list_paths(value, (*above, key))
    if isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from list_paths(value, (*above, index))


def mutate_tree(tree: Any, chance: random.Random, *, most: int = 4, words: Sequence[str] = ()) -> Any:
    """Return a copy with one to `most` mutations. `words`: keys that mean something here."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.randint(1, most)):
        paths = [path for path in list_paths(tree) if path]
        if not paths:
            return make_value(chance)
        tree = chance.choice(_TREE_MUTATIONS)(tree, chance.choice(paths), chance, words)
    return tree


def make_value(chance: random.Random) -> Any:
    """Make a value of any kind."""
    return copy.deepcopy(chance.choice(chance.choice((TEXTS, NUMBERS, _VALUES))))


def _find_parent(tree: Any, path: Path) -> Any:
    for part in path[:-1]:
        tree = tree[part]
    return tree


def _replace(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    _find_parent(tree, path)[path[-1]] = make_value(chance)
    return tree


def _remove(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    del _find_parent(tree, path)[path[-1]]
    return tree


def _rename(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    parent = _find_parent(tree, path)
    if isinstance(parent, dict):
        key = chance.choice(words) if words and chance.random() < 0.6 else chance.choice(TEXTS)
        parent[key] = parent.pop(path[-1])
    return tree


def _add(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    parent, value = _find_parent(tree, path), make_value(chance)
    if isinstance(parent, list):
        parent.insert(chance.randint(0, len(parent)), value)
    else:
        parent[chance.choice(words or TEXTS)] = value
    return tree


def _repeat(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    parent = _find_parent(tree, path)
    value = copy.deepcopy(parent[path[-1]])
    if isinstance(parent, list):
        parent += [copy.deepcopy(value) for _ in range(chance.choice((1, 3, 50)))]
    else:
        parent[f"{path[-1]}-{chance.randint(0, 9)}"] = value
    return tree


def _wrap(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    parent = _find_parent(tree, path)
    value = parent[path[-1]]
    for _ in range(chance.choice((1, 2, 60))):
        value = [value] if chance.random() < 0.5 else {"a": value}
    parent[path[-1]] = value
    return tree


def _swap(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    """Put a copy of any other part here."""
    source = tree
    for part in chance.choice(list(list_paths(tree))):
        source = source[part]
    _find_parent(tree, path)[path[-1]] = copy.deepcopy(source)
    return tree


def _change_type(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    parent = _find_parent(tree, path)
    parent[path[-1]] = chance.choice((str, repr, lambda value: [value], lambda _: None))(parent[path[-1]])
    return tree


def _append_text(tree: Any, path: Path, chance: random.Random, words: Sequence[str]) -> Any:
    parent = _find_parent(tree, path)
    if isinstance(parent[path[-1]], str):
        parent[path[-1]] = chance.choice(("{0}{1}", "{1}{0}", "{0}\n{1}")).format(
            parent[path[-1]], chance.choice(TEXTS)
        )
    return tree


_TREE_MUTATIONS: Sequence[Callable[[Any, Path, random.Random, Sequence[str]], Any]] = (
    _replace,
    _replace,
    _remove,
    _rename,
    _add,
    _repeat,
    _wrap,
    _swap,
    _change_type,
    _append_text,
)


def mutate_bytes(content: bytes, chance: random.Random, *, most: int = 8) -> bytes:
    """Return a copy with one to `most` mutations: bytes changed, removed, repeated, inserted; or cut off."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, most)):
        at = chance.randint(0, len(changed))
        end = min(len(changed), at + chance.choice((1, 1, 2, 8, 64, 1024)))
        match chance.randint(0, 5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randint(0, 7)
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = changed[at:end]
            case 3:
                changed[at:at] = chance.randbytes(chance.choice((1, 4, 32)))
            case 4:
                changed[at:end] = bytes(end - at)
            case _ if chance.random() < 0.2:
                del changed[at:]
    return bytes(changed)


def mutate_lines(text: str, chance: random.Random, additions: Sequence[str], *, most: int = 4) -> str:
    """Return a copy with one to `most` mutations: lines removed, repeated, moved, indented, cut, or added."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, most)):
        at = chance.randrange(len(lines))
        match chance.randint(0, 6):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(chance.randrange(len(lines)), lines[at])
            case 2:
                lines.insert(chance.randrange(len(lines)), lines.pop(at))
            case 3:
                lines[at] = chance.choice(("  ", "\t", " ")) + lines[at]
            case 4:
                lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
            case 5:
                lines[at] += chance.choice(TEXTS)
            case _:
                lines.insert(at, chance.choice(additions))
    return "\n".join(lines)
