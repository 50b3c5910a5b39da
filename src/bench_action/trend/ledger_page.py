"""The ledger as a static page with a badge."""

from collections.abc import Iterator

from bench_action.report.assets import read_assets
from bench_action.report.templating import html_environment
from bench_action.trend.badge import make_ledger_badge
from bench_action.trend.ledger import (
    Ledger,
    describe_false_alarm,
    describe_promise,
    make_ledger_table,
    summarize_ledger,
)
from bench_action.trend.page import SCRIPTS, STYLES, CommitLinks


def render_ledger(ledger: Ledger, links: CommitLinks) -> Iterator[tuple[str, str]]:
    """Render every file of the page: its name and its text."""
    total = ledger.total
    badge = make_ledger_badge(ledger)
    page = html_environment().get_template("ledger.html.j2")
    yield (
        "index.html",
        page.render(
            links=links,
            summary=summarize_ledger(ledger),
            latest=max((run.at for run in total.runs), default=None),
            table=make_ledger_table(ledger),
            alarms=[(describe_false_alarm(run), links.commit(run.sha)) for run in total.false_alarms],
            promise=describe_promise(),
            kept=ledger.keeps_promise,
        ),
    )
    yield "trend.css", read_assets(*STYLES)
    yield "trend.js", read_assets(*SCRIPTS)
    yield "badge.svg", badge.svg
    yield "badge.json", badge.endpoint
