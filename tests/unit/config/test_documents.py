"""YAML that strangers write is bounded, and means the same to every parser."""

from typing import Any

import pytest
import yaml

from bench_action.config.documents import Loader, check_document

pytestmark = pytest.mark.unit


def read(text: str) -> Any:
    check_document(text)
    return yaml.load(text, Loader)  # noqa: S506 (a SafeLoader)


def make_bomb(levels: int, merge: str) -> str:
    """Each level repeats the one before ten times."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{{merge}: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


REFUSED = {
    "a merge bomb": (make_bomb(8, "<<"), "more values than 100,000"),
    "a billion laughs": (make_bomb(8, "y"), "more values than 100,000"),
    "many values": ("[" + "1, " * 100_001 + "]", "more values than 100,000"),
    "deep lists": ("[" * 200 + "]" * 200, "deeper than 50"),
    "deep mappings": ("{a: " * 100_000, "deeper than 50"),
    "itself": ("a: &a [*a]", "repeats what it is part of"),
    "a key twice": ("gates: {}\ngates: {}", "this key is there twice"),
    "a key twice, quoted": ("a: {x: 1, 'x': 2}", "this key is there twice"),
    "a key twice, by a tag": ("a: {x: 1, !!str x: 2, !other x: 3}", "this key is there twice"),
    "a key twice, deeper": ("a: [{b: {c: 1, d: 1, c: 2}}]", "this key is there twice"),
    "a huge number": (f"a: {'9' * 400}", "this number is not finite, or too large"),
    "a huge number, hexadecimal": (f"a: 0x{'f' * 300}", "this number is not finite, or too large"),
    "a number that takes hours": (f"a: 1{':1' * 200}", "this number is too long"),
    "infinity": ("a: -.inf", "this number is not finite, or too large"),
    "infinity by its exponent": ("a: 1.0e+999", "this number is not finite, or too large"),
    "no number": ("a: .nan", "this number is not finite, or too large"),
    "half of a pair": (r'a: "\ud83d"', "a character that is not allowed"),
    "half of a pair in a key": (r'"\ude00": a', "a character that is not allowed"),
    "NUL": (r'a: "x\0"', "a character that is not allowed"),
    "binary": ("a: !!binary Li4vLi4vc2VjcmV0", "this tag is not supported"),
    "a binary key": ("!!binary ZW52X2ZpbGU=: x", "this tag is not supported"),
    "a set": ("a: !!set {b, c}", "this tag is not supported"),
    "Python": ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_read__refuses(text: str, problem: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError, match=problem):
        read(text)


ACCEPTED = {
    "a key of two mappings": ("a: {x: 1}\nb: {x: 1}", {"a": {"x": 1}, "b": {"x": 1}}),
    "a merge that is overridden": (
        "a: &a {x: 1, y: 1}\nb: [{c: &b {<<: *a, x: 2}}]\nd: {<<: *b, x: 3}",
        {"a": {"x": 1, "y": 1}, "b": [{"c": {"x": 2, "y": 1}}], "d": {"x": 3, "y": 1}},
    ),
    "several merges": (
        "a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: [*a, *b]}",
        {"a": {"x": 1}, "b": {"y": 2}, "c": {"x": 1, "y": 2}},
    ),
    "aliases": ("a: &a [1, 2]\nb: *a\nc: [*a, *a]", {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}),
    "numbers": ("a: [9223372036854775808, -1, 0x10, 1.5, 1_000]", {"a": [2**63, -1, 16, 1.5, 1000]}),
    "other planes": (r'a: "\U0001f600"', {"a": "\U0001f600"}),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("text", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_read__accepts(text: str, value: Any) -> None:
    assert read(text) == value
