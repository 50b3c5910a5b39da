"""Render `report.md`: the article's table, extended."""

import re

from bench_action.report.templating import markdown_environment
from bench_action.report.view import View


def render_markdown(view: View, *, pictures: bool = True) -> str:
    """Render the whole report. `pictures`: whether its charts are next to it."""
    text = markdown_environment().get_template("report.md.j2").render(view=view, pictures=pictures)
    return re.sub(r"\n{3,}", "\n\n", text)
