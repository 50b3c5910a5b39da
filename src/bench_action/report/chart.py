"""Draw bar charts of requests/s, as the article shows them: as a picture next to the report, and as text."""

from bench_action.report.assets import read_light_colours
from bench_action.report.templating import svg_environment
from bench_action.report.view import Bar, Chart

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 720, 150, 80, 34, 32
_VARIANT_COLOURS = 6  # c0 to c5 of the palette
_TEXT_WIDTH = 40


def render_svg(chart: Chart) -> str:
    """Draw a bar for each variant, with a whisker for its interval."""
    scale = (_WIDTH - _LEFT - _RIGHT) / max([bar.high or bar.value for bar in chart.bars] + [1e-9])
    colours = read_light_colours()
    bars = [
        _lay_out_bar(bar, _TOP + row * _ROW, scale, colours[f"c{row % _VARIANT_COLOURS}"])
        for row, bar in enumerate(chart.bars)
    ]
    return (
        svg_environment()
        .get_template("chart.svg.j2")
        .render(
            title=chart.title, bars=bars, colours=colours, width=_WIDTH, left=_LEFT, height=_TOP + _ROW * len(bars) + 8
        )
    )


def _lay_out_bar(bar: Bar, y: int, scale: float, colour: str) -> dict[str, object]:
    whisker = None
    if bar.low is not None and bar.high is not None:
        whisker = (round(_LEFT + bar.low * scale, 1), round(_LEFT + bar.high * scale, 1))
    width = round(bar.value * scale, 1)
    text_x = max(_LEFT + width, whisker[1] if whisker else 0) + 8
    return {
        "y": y,
        "width": width,
        "colour": colour,
        "label": bar.label,
        "text": bar.text,
        "whisker": whisker,
        "text_x": text_x,
    }


def render_text(chart: Chart) -> list[str]:
    """Draw a line for each variant; the longest bar fits into every terminal."""
    most = max([bar.value for bar in chart.bars] + [1e-9])
    names = max((len(bar.label) for bar in chart.bars), default=0)
    lines = [chart.title]
    for bar in chart.bars:
        eighths = round(bar.value / most * _TEXT_WIDTH * 8)
        blocks = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        lines.append(f"  {bar.label:>{names}} {blocks} {bar.text}")
    return lines
