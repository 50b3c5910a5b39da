"""Compare pages: ignore differences that do not matter, and the parts that change with every request. Pure."""

import re

_WORD = re.compile(r"([\w+/-]+(?:[.=~:]+[\w+/-]+)*=*)", re.ASCII)
_SEPARATORS = re.compile(r"[.=~:]+")  # between the parts of a signed token, and what fills it up at the end
_SHORTEST_TOKEN = 8  # a shorter word that changes is probably a count, which may be the very difference to find
_MARK = "\N{HORIZONTAL ELLIPSIS}"


def collapse_spaces(text: str) -> str:
    """Replace every run of white space by one space."""
    return " ".join(text.split())


def normalise_page(text: str) -> str:
    """Normalise white space: remove it around tags, and replace every other run of it by one space."""
    return re.sub(r"\s*([<>])\s*", r"\1", collapse_spaces(text))


def mask_tokens(page: str, again: str) -> str:
    """Replace by a mark each token in which a page differs from `again`, the reply to the same request sent again.

    A token (against forgery, a nonce) is a word of which a part of at least 8 characters changes. It is masked as a
    whole: the time in a signed one changes only every second. No other difference is masked: a number that counts
    requests is the same for all subjects that received as many. A page whose number of words changed is returned
    unchanged.
    """
    words, others = _WORD.split(page), _WORD.split(again)
    if len(words) != len(others):
        return page
    both = enumerate(zip(words, others, strict=True))
    return "".join(_MARK if index % 2 and _is_token(word, other) else word for index, (word, other) in both)


def _is_token(word: str, other: str) -> bool:
    """Whether each of two words has a part of a token's length that the other one lacks."""
    parts, others = (set(_SEPARATORS.split(text)) for text in (word, other))
    return all(any(len(part) >= _SHORTEST_TOKEN for part in changed) for changed in (parts - others, others - parts))


def quote_difference(first: str, second: str) -> tuple[str, str]:
    """Quote both texts around the place where they begin to differ."""
    pairs = enumerate(zip(first, second, strict=False))
    at = next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))
    start = max(0, at - 20)
    return repr(first[start : at + 40]), repr(second[start : at + 40])
