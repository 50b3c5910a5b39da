"""Fill in the variables of a Dockerfile's words, and take their quotes away, as Docker does."""

import re
from collections.abc import Mapping

LONGEST = 4096  # characters: a value that refers to itself twice doubles with each line
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_DEFAULT = r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*"  # it may have a variable, and that a default with another one
_VARIABLE = rf"\$(?:(?P<name>{_NAME})|\{{(?P<braced>{_NAME})(?:(?P<operator>:?[-+?])(?P<word>{_DEFAULT}))?\}})"
_DOUBLE = r'"(?:\\.|[^"\\])*"'
_TOKEN = re.compile(rf"\\.|'[^']*'|{_DOUBLE}|{_VARIABLE}", re.DOTALL)
_TOKEN_IN_QUOTES = re.compile(rf'\\["$\\]|{_VARIABLE}')
_WORD = re.compile(rf"(?:\\.|'[^']*'|{_DOUBLE}|\S)+", re.DOTALL)


def split_words(text: str) -> list[str]:
    """Split at the spaces that are not quoted; the words keep their quotes."""
    return _WORD.findall(text)


def list_unset(text: str, known: Mapping[str, str]) -> list[str]:
    """List the variables that have neither a value, which may be empty, nor a default."""
    found = [match for match in _TOKEN.finditer(text) if (match["operator"] or "?")[-1] == "?"]
    names = [match["name"] or match["braced"] for match in found]
    return [name for name in names if name and name not in known]


def fill(text: str, known: Mapping[str, str], *, keep_quotes: bool = False) -> str:
    """Put in the values of variables, or their defaults, and take quotes and backslashes away.

    Text in single quotes and what follows a backslash are no variables.
    """

    def put(match: re.Match[str]) -> str:
        token = match[0]
        if token.startswith("$"):
            return _find_value(match, known)
        if token.startswith('"'):
            inner = _TOKEN_IN_QUOTES.sub(put, token[1:-1])
            return f'"{inner}"' if keep_quotes else inner
        if keep_quotes:
            return token
        return token[1:] if token.startswith("\\") else token[1:-1]

    return _TOKEN.sub(put, text[:LONGEST])[:LONGEST]


def _find_value(match: re.Match[str], known: Mapping[str, str]) -> str:
    value = known.get(match["name"] or match["braced"])
    operator = match["operator"] or ""
    has_value = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return fill(match["word"], known) if has_value else ""
    return fill(match["word"], known) if operator.endswith("-") and not has_value else value or ""
