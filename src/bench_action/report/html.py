"""Render `report.html`: everything on one page that needs no network."""

from bench_action.model.result import Result
from bench_action.report.templating import html_environment
from bench_action.report.view import make_view


def render_html(result: Result) -> str:
    """Render the whole page; it contains plotly's script (about 5 MB)."""
    # imported here, so that a run begins to measure without waiting for it
    import plotly.offline  # noqa: PLC0415

    from bench_action.report.figures import draw_figures  # noqa: PLC0415

    page = html_environment().get_template("report.html.j2")
    return page.render(view=make_view(result), figures=draw_figures(result), plotly=plotly.offline.get_plotlyjs())
