"""`report.html`: everything on one page that needs no network."""

from bench_action.model.result import Result
from bench_action.report.templating import html_environment
from bench_action.report.view import make_view


def render_html(result: Result) -> str:
    """The whole page; plotly's script is in it (about 5 MB)."""
    # only here: a run begins to measure sooner by what it takes to import plotly
    import plotly.offline  # noqa: PLC0415

    from bench_action.report.figures import figures_of  # noqa: PLC0415

    page = html_environment().get_template("report.html.j2")
    return page.render(view=make_view(result), figures=figures_of(result), plotly=plotly.offline.get_plotlyjs())
