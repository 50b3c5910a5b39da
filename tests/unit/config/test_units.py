"""Durations such as 10s, 500ms and 2m."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bench_action.config.units import Bytes, Seconds, WholeSeconds, parse_duration

pytestmark = pytest.mark.unit

seconds: TypeAdapter[float] = TypeAdapter(Seconds)
whole: TypeAdapter[int] = TypeAdapter(WholeSeconds)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("1.5s", 1.5), ("0.5m", 30.0), (" 10 s ", 10.0), ("0s", 0.0)],
)
def test_parse_duration__reads_units(text: str, value: float) -> None:
    assert parse_duration(text) == value
    assert seconds.validate_python(text) == value


@pytest.mark.parametrize(
    "text", ["", "10", "s", "ten seconds", "1h", "10S", "-1s", "+1s", "1,5s", ".5s", "1.s", "1e3s", "10s 5ms", "10ss"]
)
def test_parse_duration__refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as 10s"):
        parse_duration(text)


@given(st.text())
def test_parse_duration__gives_a_number_or_refuses(text: str) -> None:
    try:
        value = parse_duration(text)
    except ValueError:
        return
    assert isinstance(value, float)
    assert value >= 0


@pytest.mark.parametrize("value", [7, 1.5, None, [1]])
def test_parse_duration__does_not_change_what_is_not_text(value: object) -> None:
    assert parse_duration(value) == value


@given(st.integers(min_value=0, max_value=10_000))
def test_whole_seconds__are_exact_in_every_unit(value: int) -> None:
    assert [whole.validate_python(text) for text in (value, f"{value}s", f"{value * 1000}ms")] == [value] * 3
    assert whole.validate_python(f"{value}m") == 60 * value


@pytest.mark.parametrize("value", ["1.5s", "500ms", 0.5, "1ms"])
def test_whole_seconds__refuse_a_fraction(value: object) -> None:
    with pytest.raises(ValidationError):
        whole.validate_python(value)


@pytest.mark.parametrize(
    ("value", "size"), [("512m", 512 * 2**20), ("1.5g", 3 * 2**29), ("64 MiB", 64 * 2**20), ("1024", 1024), (7, 7)]
)
def test_bytes__are_written_as_in_a_compose_file(value: object, size: int) -> None:
    assert TypeAdapter(Bytes).validate_python(value) == size


@pytest.mark.parametrize("value", ["much", "-1m", "9" * 400 + "t", 1.5])
def test_bytes__refuse_what_is_no_size(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Bytes).validate_python(value)
