"""URLs that others have written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.config.urls import split_url

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("url", ["//[", "http://[x", "http://a]/"])
def test_split_url__what_cannot_be_read_has_no_parts(url: str) -> None:
    assert split_url(url) is None
    assert split_url(url, "http://app:8000/") is None
    assert split_url("/items", url) is None


def test_split_url__is_relative_to_the_base() -> None:
    parts = split_url("login?next=/", "http://app:8000/items/1")
    assert parts is not None
    assert (parts.hostname, parts.path, parts.query) == ("app", "/items/login", "next=/")


@given(st.text(), st.text())
def test_split_url__never_raises(url: str, base: str) -> None:
    split_url(url, base)
