"""Secrets are hidden in every form and in every part of what a run shows, writes, sends and raises."""

import base64
import html
import json
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factories import make_comparison, make_result, make_trial, warn

from bench_action.config.redaction import Redaction
from bench_action.model.errors import BenchError, StackError
from bench_action.model.result import Finding, NotCompared, Replies
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

VALUE = 'p@ss "w/rd"+ü&<1>'
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n}\n-----END KEY-----\n"


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


WRITTEN = {
    "as it is": VALUE,
    "base64": encode(VALUE),
    "base64 for URLs": base64.urlsafe_b64encode(VALUE.encode()).decode("ascii"),
    "base64 of a login": encode(f"user:{VALUE}"),
    "URL": quote(VALUE, safe=""),
    "URL, small letters": quote(VALUE, safe="").lower(),
    "URL's path": quote(VALUE),
    "form": quote_plus(VALUE),
    "JSON": json.dumps(VALUE)[1:-1],
    "JSON in UTF-8": json.dumps(VALUE, ensure_ascii=False)[1:-1],
    "HTML": html.escape(VALUE),
    "Python": repr(VALUE)[1:-1],
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_hide__every_form(written: str) -> None:
    hidden = Redaction([VALUE]).hide(f"before {written}, after")
    assert hidden.startswith("before ")
    assert hidden.endswith(", after")
    assert "***" in hidden
    assert not any(written[at : at + 8] in hidden for at in range(len(written) - 8))


@given(
    st.binary(max_size=8),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8),
    st.binary(max_size=8),
)
def test_hide__base64_of_any_text_that_contains_it(before: bytes, value: str, after: bytes) -> None:
    hidden = Redaction([value]).hide(base64.b64encode(before + value.encode() + after).decode("ascii"))
    assert "***" in hidden
    assert len(hidden) < 8 + 4 * (len(before) + len(after) + 4) / 3 + 3


def test_hide__each_line_of_a_value() -> None:
    redaction = Redaction([PEM])
    assert redaction.hide("log: MIIEvQIBADANBgkqhkiG }") == "log: *** }"
    assert redaction.hide(json.dumps({"key": PEM})) == '{"key": "***"}'


def test_hide__nothing_that_is_short() -> None:
    assert Redaction(["12345", "", "  "]).hide("12345 words") == "12345 words"
    assert Redaction(["123456"]).hide("123456 words") == "*** words"


def test_hide__what_is_left_of_a_value_that_was_cut() -> None:
    redaction = Redaction(["sk_test_4eC39HqLyjWDarjtT1"])
    assert redaction.hide("answered with: key sk_test_4eC39…, and more") == "answered with: key ***…, and more"
    assert redaction.hide("a mask…") == "a mask…"
    assert redaction.hide("status 1: …HqLyjWDarjtT1 was wrong") == "status 1: …*** was wrong"


def test_hide__every_part_of_an_error() -> None:
    error = StackError(VALUE, where=VALUE, cause=f"x {VALUE}", advice=VALUE, log=["a", encode(VALUE)])
    error.add_note(f"also: {VALUE}")
    hidden = Redaction([VALUE]).hide(error)
    assert hidden is error
    shown = "\n".join([str(error), repr(error), *error.__notes__])
    assert VALUE not in shown
    assert encode(VALUE) not in shown
    assert shown.count("***") == 7


def test_hide__every_text_of_a_result_except_those_with_a_fixed_set() -> None:
    trial = make_trial(replies=Replies(location=f"/{VALUE}", problem=VALUE), warnings=(warn(Code.NOTHING_SERVED),))
    result = make_result(
        [trial],
        findings=(Finding(code="replies-differ", message=VALUE, cell=VALUE, before=1, after=2),),
        not_compared=(NotCompared(cell="web", status="base-failed", reason=VALUE, log=(f"key={VALUE}",)),),
        comparisons=(make_comparison(verdict="unchanged", reason="unchanged as ever"),),
        verdict="unchanged",
    )
    hidden = Redaction([VALUE, "unchanged"]).hide(result)
    text = hidden.model_dump_json()
    assert VALUE not in text
    assert json.dumps(VALUE)[1:-1] not in text
    assert hidden.not_compared[0].log == ("key=***",)
    assert hidden.trials[0].replies is not None
    assert hidden.trials[0].replies.location == "/***"
    assert (hidden.verdict, hidden.comparisons[0].verdict) == ("unchanged", "unchanged")
    assert hidden.comparisons[0].reason == "*** as ever"
    assert type(result).model_validate_json(text) == hidden


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    headers: dict[str, str]
    error: BenchError | None = None


def test_hide__data_classes_and_bytes() -> None:
    reply = Reply(f"a {VALUE}".encode(), {"x": VALUE}, StackError(VALUE))
    hidden = Redaction([VALUE]).hide(reply)
    assert (hidden.body, hidden.headers, str(hidden.error)) == (b"a ***", {"x": "***"}, "***")


def test_hide__nothing_without_secrets() -> None:
    result = make_result()
    assert Redaction().hide(result) is result
