"""A badge: whether the trend is steady, as SVG and as the JSON that shields.io's endpoint reads. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bench_action.model.wording import plural
from bench_action.report.templating import svg_environment
from bench_action.trend.change_points import ChangePoint

_DAYS = 30
_LETTER, _PADDING = 6.6, 12  # of Verdana at 11 px: about


@dataclass(frozen=True, slots=True)
class Badge:
    """What it says; `colour` is a hexadecimal RGB colour without `#`."""

    label: str
    message: str
    colour: str

    @property
    def endpoint(self) -> str:
        """JSON by shields.io's schema, version 1."""
        fields = {"schemaVersion": 1, "label": self.label, "message": self.message, "color": self.colour}
        return json.dumps(fields) + "\n"

    @property
    def svg(self) -> str:
        """The picture; a name for it is in its title."""
        left, right = (round(len(text) * _LETTER + _PADDING) for text in (self.label, self.message))
        return svg_environment().get_template("trend_badge.svg.j2").render(badge=self, left=left, right=right)


def badge_of(points: Sequence[ChangePoint], latest: str | None, label: str = "trend") -> Badge:
    """From the change points of the 30 days before the latest record."""
    if latest is None:
        return Badge(label, "no records", "6e7781")
    since = (datetime.fromisoformat(latest) - timedelta(days=_DAYS)).isoformat()
    recent = [point for point in points if point.at >= since[:19]]
    if worse := sum(point.direction == "worse" for point in recent):
        return Badge(label, plural(worse, "regression"), "b3261e")
    if recent:
        return Badge(label, plural(len(recent), "improvement"), "1a7f37")
    return Badge(label, "steady", "1a7f37")
