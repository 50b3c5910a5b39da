"""Which engine a run uses."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bench_action.cli.engines import list_base_images

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("dockerfile", "images"),
    [
        ("FROM python:3.13-slim\nRUN true\n", ["python:3.13-slim"]),
        ("ARG X\nfrom --platform=linux/amd64 debian:13 AS build\nFROM build\n", ["debian:13"]),
        ("FROM a AS One\nFROM b\nCOPY --from=one /x /x\nFROM one AS last\n", ["a", "b"]),
        ("ARG V=3\nFROM python:${V}\n", []),
        ("FROM scratch\n", []),
        ("FROM a\n" + "\n" * 200_000 + "FROM\nb", ["a"]),
        ("# FROM nothing\nFROM a\nFROM a\n", ["a"]),
    ],
)
def test_list_base_images__lists_the_images_that_stages_begin_with(dockerfile: str, images: list[str]) -> None:
    assert list_base_images(dockerfile) == images


@given(st.text())
def test_list_base_images__reads_any_text(text: str) -> None:
    assert all(image.strip() for image in list_base_images(text))
