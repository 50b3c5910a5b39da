"""Render `report.md`: the article's table, extended."""

import re

from bench_action.report.templating import markdown_environment
from bench_action.report.view import View


def render_markdown(view: View) -> str:
    """Render the whole report."""
    text = markdown_environment().get_template("report.md.j2").render(view=view)
    return re.sub(r"\n{3,}", "\n\n", text)
