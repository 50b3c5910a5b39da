"""Numbers and counts are spelled in one way everywhere."""

import pytest

from bench_action.model.wording import percent, plural

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
