"""Commands to the runner: what it obeys, and what it must not obey."""

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runner import RunnerLog

from bench_action.github.commands import Commands

pytestmark = pytest.mark.unit


def test_annotate__escapes_what_would_end_the_command() -> None:
    stream = io.StringIO()
    Commands(stream, {}).annotate("error", "a:b,c", "100 %\nsecond line")
    assert stream.getvalue() == "::error title=a%3Ab%2Cc::100 %25%0Asecond line\n"


def test_annotate__sends_ten_of_each_level_and_cuts_long_messages() -> None:
    stream = io.StringIO()
    commands = Commands(stream, {})
    for _ in range(12):
        commands.annotate("warning", "t", "x" * 5000)
        commands.annotate("error", "t", "y")
    lines = stream.getvalue().splitlines()
    assert sum(line.startswith("::warning") for line in lines) == 10
    assert sum(line.startswith("::error") for line in lines) == 10
    assert max(map(len, lines)) < 4096 + 50


def test_stop__lets_only_our_own_commands_through() -> None:
    stream = io.StringIO()
    commands = Commands(stream, {})
    commands.stop()
    for text in ("::error::from a branch's name", "at the end ##[set-output name=verdict]unchanged"):
        print(text, file=stream)
        commands.annotate("notice", "ours", "text")
        print(text, file=stream)
    log = RunnerLog().read(stream.getvalue())
    assert log.obeyed == ["::notice title=ours::text"] * 2
    assert log.stopped, "what comes after our last command is not obeyed either"


def read_outputs(text: str) -> dict[str, str]:
    """Parse outputs in the same way as the runner."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, _, delimiter = line.partition("<<")
        value = []
        while (one := next(lines)) != delimiter:
            value.append(one)
        found[name] = "\n".join(value)
    return found


@given(
    st.dictionaries(
        st.sampled_from(["verdict", "result"]), st.text(st.characters(codec="utf-8", exclude_characters="\r"))
    )
)
def test_set_outputs__preserves_every_value(values: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output"
        Commands(io.StringIO(), {"GITHUB_OUTPUT": str(path)}).set_outputs(values)
        text = path.read_bytes().decode() if values else ""
    assert read_outputs(text) == values


def test_set_outputs__replaces_what_is_not_unicode(tmp_path: Path) -> None:
    Commands(io.StringIO(), {"GITHUB_OUTPUT": str(tmp_path / "output")}).set_outputs({"verdict": "\ud800"})
    assert read_outputs((tmp_path / "output").read_text(encoding="utf-8")) == {"verdict": "?"}


def test_save_state__writes_a_line_for_each(tmp_path: Path) -> None:
    commands = Commands(io.StringIO(), {"GITHUB_STATE": str(tmp_path / "state")})
    commands.save_state({"traces": '{"since": 1}'})
    assert (tmp_path / "state").read_text(encoding="utf-8") == 'traces={"since": 1}\n'


def test_write_summary__writes_the_shorter_text_if_the_longer_would_be_dropped(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    commands = Commands(io.StringIO(), {"GITHUB_STEP_SUMMARY": str(path)})
    commands.write_summary("x" * 1024 * 1024, "short")
    assert path.read_text() == "short\n"
    commands.write_summary("long", "short")
    assert path.read_text() == "short\nlong\n"


def test_mask__hides_every_line() -> None:
    stream = io.StringIO()
    Commands(stream, {}).mask("first\n\nsecond%")
    assert stream.getvalue() == "::add-mask::first\n::add-mask::second%25\n"
