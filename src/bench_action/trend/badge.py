"""Badges for the trend and the ledger, as SVG and as the JSON for shields.io's endpoint."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bench_action.model.wording import plural
from bench_action.report.assets import read_light_colours
from bench_action.report.templating import svg_environment
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.ledger import Ledger, summarize_ledger

_DAYS = 30
_LETTER, _PADDING = 6.6, 12  # Verdana at 11 px: about


@dataclass(frozen=True, slots=True)
class Badge:
    """The texts of a badge; `colour` is a hexadecimal RGB colour without `#`."""

    label: str
    message: str
    colour: str

    @property
    def endpoint(self) -> str:
        """JSON in shields.io's schema, version 1."""
        fields = {"schemaVersion": 1, "label": self.label, "message": self.message, "color": self.colour}
        return json.dumps(fields) + "\n"

    @property
    def svg(self) -> str:
        """Picture, with its text as the title."""
        left, right = (round(len(text) * _LETTER + _PADDING) for text in (self.label, self.message))
        template = svg_environment().get_template("trend_badge.svg.j2")
        return template.render(badge=self, left=left, right=right, dark=read_light_colours()["dim"])


def make_badge(points: Sequence[ChangePoint], latest: str | None, label: str = "trend") -> Badge:
    """Make a badge from the change points of the 30 days before the latest record."""
    colours = _read_colours()
    if latest is None:
        return Badge(label, "no records", colours["dim"])
    since = (datetime.fromisoformat(latest) - timedelta(days=_DAYS)).isoformat()
    recent = [point for point in points if point.at >= since[:19]]
    if worse := sum(point.direction == "worse" for point in recent):
        return Badge(label, plural(worse, "regression"), colours["bad"])
    return Badge(label, plural(len(recent), "improvement") if recent else "steady", colours["good"])


def make_ledger_badge(ledger: Ledger, label: str = "unchanged code") -> Badge:
    """Make a badge from the runs of unchanged code; it is red if so many false alarms can hardly be chance."""
    colours = _read_colours()
    colour = colours["dim"] if not ledger.tallies else colours["good" if ledger.keeps_promise else "bad"]
    return Badge(label, summarize_ledger(ledger), colour)


def _read_colours() -> dict[str, str]:
    return {name: colour.removeprefix("#") for name, colour in read_light_colours().items()}
