"""Texts for a terminal, which obeys nothing in them."""

from rich.text import Text

from bench_action.model.wording import strip_controls


def make_text(text: str, style: str = "") -> Text:
    """Make a text with a style; what it contains is shown, never obeyed."""
    return Text(strip_controls(text), style=style)
