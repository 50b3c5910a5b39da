"""What makes no difference between pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.verify.pages import around_difference, collapsed, normalised, without_tokens

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<ul>\n  <li> a </li>\n</ul>", "<ul><li>a</li></ul>"),
        ("<p>a\n\n b</p>", "<p>a b</p>"),
        ("  <p>x</p>\n", "<p>x</p>"),
    ],
)
def test_normalised__white_space_makes_no_difference(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("<p>a</p>", "<p>b</p>"), ("<p>A</p>", "<p>a</p>")])
def test_normalised__anything_else_does(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text())
def test_normalised__once_is_enough(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    assert collapsed(collapsed(text)) == collapsed(text)


@given(st.text())
def test_without_tokens__a_page_that_stays_has_none(page: str) -> None:
    assert without_tokens(page, page) == page


@pytest.mark.parametrize(
    ("page", "again"),
    [
        ("visits: 17", "visits: 18"),  # a number that counts is no token
        ("a token: 1234567", "a token: 7654321"),  # of seven characters
        ("one line", "one line, and more"),
        ("abcdefgh, abcdefgh", "abcdefgh; abcdefgh"),
    ],
)
def test_without_tokens__other_differences_are_not_hidden(page: str, again: str) -> None:
    assert without_tokens(page, again) == page


def test_without_tokens__marks_each() -> None:
    page, again = "<a nonce='0123456789abcdef' b='AbCd+/-_=='>", "<a nonce='fedcba9876543210' b='Zyxw-_+/=='>"
    assert without_tokens(page, again) == "<a nonce='\N{HORIZONTAL ELLIPSIS}' b='\N{HORIZONTAL ELLIPSIS}=='>"


def test_around_difference__shows_both() -> None:
    assert around_difference("a" * 30 + "b", "a" * 30 + "c") == (repr("a" * 20 + "b"), repr("a" * 20 + "c"))
