"""Which differences between pages are ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.verify.pages import collapse_spaces, mask_tokens, normalise_page, quote_difference

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("<ul>\n  <li> a </li>\n</ul>", "<ul><li>a</li></ul>"),
        ("<p>a\n\n b</p>", "<p>a b</p>"),
        ("  <p>x</p>\n", "<p>x</p>"),
    ],
)
def test_normalise_page__white_space_is_ignored(first: str, second: str) -> None:
    assert normalise_page(first) == normalise_page(second)


@pytest.mark.parametrize(("first", "second"), [("a b", "ab"), ("<p>a</p>", "<p>b</p>"), ("<p>A</p>", "<p>a</p>")])
def test_normalise_page__other_differences_are_kept(first: str, second: str) -> None:
    assert normalise_page(first) != normalise_page(second)


@given(st.text())
def test_normalise_page__a_normalised_page_is_unchanged(text: str) -> None:
    assert normalise_page(normalise_page(text)) == normalise_page(text)
    assert collapse_spaces(collapse_spaces(text)) == collapse_spaces(text)


@given(st.text())
def test_mask_tokens__a_page_that_does_not_change_has_none(page: str) -> None:
    assert mask_tokens(page, page) == page


@pytest.mark.parametrize(
    ("page", "again"),
    [
        ("visits: 17", "visits: 18"),  # a count is not a token
        ("a token: 1234567", "a token: 7654321"),  # of seven characters
        ("one line", "one line, and more"),
        ("abcdefgh, abcdefgh", "abcdefgh; abcdefgh"),
        ("visitors_today=17", "visitors_today=18"),  # the part that changes is short
        ("2026-01-01T10:00:01", "2026-01-01T10:00:02"),
        ("localhost.localdomain:8000", "localhost.localdomain"),
        ("id:1234567", "id:1234567.89"),
    ],
)
def test_mask_tokens__other_differences_are_not_masked(page: str, again: str) -> None:
    assert mask_tokens(page, again) == page


def test_mask_tokens__replaces_each_by_a_mark() -> None:
    page, again = "<a nonce='0123456789abcdef' b='AbCd+/-_=='>", "<a nonce='fedcba9876543210' b='Zyxw-_+/=='>"
    assert mask_tokens(page, again) == "<a nonce='\N{HORIZONTAL ELLIPSIS}' b='\N{HORIZONTAL ELLIPSIS}'>"


@pytest.mark.parametrize(
    ("token", "again"),
    [
        ("ImNzcmYi.aS1mQg.q3fWm8dLk2xp9TtYc5v", "ImNzcmYi.aS1mQh.Hs4jXe6gUa1ok0QwNi2"),  # Flask-WTF: the time is short
        ("ImNzcmYi.aS1mQg.q3fWm8dLk2xp9TtYc5v", "ImNzcmYi.aS1mQg.Hs4jXe6gUa1ok0QwNi2"),  # in the same second
        ("q3fWm8dLk2xp9TtYc5vA==", "Hs4jXe6gUa1ok0QwNi2/w="),  # Rails
        ("eyJhbGciOi.eyJleHAiOjE3.q3fWm8dLk2x", "eyJhbGciOi.eyJleHAiOjE4.Hs4jXe6gUa1"),  # a JSON web token
        ("q3fWm8dLk2x~p9TtYc5v", "Hs4jXe6gUa1ok0~QwNi2~zMv8"),
        ("s:q3fWm8dLk2x.p9TtYc5v", "s:Hs4jXe6gUa1.ok0QwNi2"),
    ],
)
def test_mask_tokens__a_token_of_several_parts_is_masked_as_a_whole(token: str, again: str) -> None:
    masked = mask_tokens(f'<input value="{token}">', f'<input value="{again}">')
    assert masked == '<input value="\N{HORIZONTAL ELLIPSIS}">'


def test_quote_difference__quotes_both() -> None:
    assert quote_difference("a" * 30 + "b", "a" * 30 + "c") == (repr("a" * 20 + "b"), repr("a" * 20 + "c"))
