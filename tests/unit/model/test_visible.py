"""Characters that nobody sees are removed, all others stay."""

import sys
import unicodedata

import pytest

from bench_action.model.visible import remove_invisible

pytestmark = pytest.mark.unit

REMOVED = [
    "\u00ad",  # soft hyphen
    "\u061c",  # Arabic letter mark
    "\u200b",  # zero width space
    "\u202e",  # right-to-left override
    "\u2060",  # word joiner
    "\u2066",  # left-to-right isolate
    "\u3164",  # Hangul filler, which counts as a letter
    "\ufe0f",  # variation selector
    "\ufeff",  # byte order mark
    "\U000e0041",  # a tag
    "\U000e0101",  # variation selector
]


@pytest.mark.parametrize("character", REMOVED, ids=ascii)
def test_remove_invisible__leaves_only_what_is_seen(character: str) -> None:
    assert remove_invisible(f"un{character}changed") == "unchanged"


@pytest.mark.parametrize("text", ["", "a b", "größer · 10\u00a0µs", "日本語", "שלום", "e\u0301", "a\tb\nc", "🟢 ⚪ 👋"])
def test_remove_invisible__keeps_every_other_text(text: str) -> None:
    assert remove_invisible(text) == text


def test_remove_invisible__leaves_no_control_format_or_separator_character() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {unicodedata.category(c) for c in set(remove_invisible(everything)) - {"\t", "\n"}}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_remove_invisible__replaces_what_separates_or_cannot_be_encoded() -> None:
    assert remove_invisible("a\u2028b\x1bc\r\ud800") == "a b c \ufffd"
