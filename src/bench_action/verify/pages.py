"""Compare pages: what makes no difference, and what differs from itself at each request. Pure."""

import re

_WORD = re.compile(r"([0-9A-Za-z_+/-]+)")
_SHORTEST_TOKEN = 8  # a shorter word that changes is a number that counts, and that may be the difference itself
_MARK = "\N{HORIZONTAL ELLIPSIS}"


def collapsed(text: str) -> str:
    """Every run of white space as one space."""
    return " ".join(text.split())


def normalised(text: str) -> str:
    """Apart from white space: none is left beside a tag, elsewhere a run of it counts as one space."""
    return re.sub(r"\s*([<>])\s*", r"\1", collapsed(text))


def without_tokens(page: str, again: str) -> str:
    """The page with a mark for each token in which it differs from itself, requested `again`.

    A token (against forgery, a nonce) is a word of at least 8 characters. Whatever else differs stays as it is: a
    number that counts requests is the same for all that were asked as often. So does a page of another length.
    """
    words, others = _WORD.split(page), _WORD.split(again)
    if len(words) != len(others):
        return page
    both = enumerate(zip(words, others, strict=True))
    return "".join(_MARK if index % 2 and _is_token(word, other) else word for index, (word, other) in both)


def _is_token(word: str, other: str) -> bool:
    return word != other and min(len(word), len(other)) >= _SHORTEST_TOKEN


def around_difference(one: str, other: str) -> tuple[str, str]:
    """Both texts around the place where they begin to differ, quoted."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - 20)
    return repr(one[start : at + 40]), repr(other[start : at + 40])
