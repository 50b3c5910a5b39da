"""Numbers and counts are spelled in one way everywhere."""

import pytest

from bench_action.model.wording import make_line, percent, plural, strip_controls

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("count", "noun", "text"), [(1, "trial", "1 trial"), (2, "trial", "2 trials"), (0, "query", "0 queries")]
)
def test_plural__follows_the_count(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.0004, "0.04 %"),
        (0.00096, "0.1 %"),
        (0.012, "1.2 %"),
        (-0.0612, "-6.1 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.123, "12 %"),
        (12.34, "1,234 %"),
    ],
)
def test_percent__shows_no_more_figures_than_noise_allows(fraction: float | None, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(("fraction", "text"), [(0.0, "0 %"), (0.01, "1 %"), (0.125, "12.5 %"), (0.07, "7 %")])
def test_percent__of_what_a_person_wrote_keeps_its_decimals(fraction: float, text: str) -> None:
    assert percent(fraction, exact=True) == text


ESCAPES = {
    "colours": ("\x1b[1;31mred\x1b[0m", "red"),
    "the clipboard": ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
    "the clipboard, ended by ST": ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
    "a title that does not end": ("a\x1b]0;title\nb", "a\nb"),
    "a link": ("\x1b]8;;https://evil.example\x1b\\text\x1b]8;;\x1b\\", "text"),
    "clearing": ("a\x1b[2J\x1b[Hb", "ab"),
    "eight bits": ("a\x9b31mb\x9d0;title\x9cc", "abc"),
    "keys and reset": ("\x1bc\x1b(0\x1b#8\x1b=a", "a"),
    "overwriting": ("ok\rbad\x08\x7f\x00", "okbad"),
    "other directions": ("a\u202eb\u2066c\u200fd", "abcd"),
    "a lone escape": ("a\x1b", "a"),
    "nothing to see": ("a\u200bb\ufeff", "ab"),
    "plain text": ("tab\tand\nnewline – ä 日本 😀", "tab\tand\nnewline – ä 日本 😀"),
}


@pytest.mark.parametrize(("text", "plain"), ESCAPES.values(), ids=ESCAPES)
def test_strip_controls__leaves_nothing_that_a_terminal_obeys(text: str, plain: str) -> None:
    assert strip_controls(text) == plain


def test_make_line__a_line_end_of_a_stranger_begins_no_line() -> None:
    assert make_line("web\n- list\t\x1b[2Jslower\r") == "web - list slower"
