"""What the commands of trends print."""

import pytest

from bench_action.cli.trend import _echo

pytestmark = pytest.mark.unit


def test_echo__text_of_a_history_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    _echo("web\n- list\t\x1b[2Jslower")
    assert capsys.readouterr().out == "web - list slower\n"
