"""Format numbers for people: three digits if noise allows no more, thousands separated by commas."""

from bench_action.model.result import Comparison
from bench_action.stats.interval import LEAST_BLOCKS

NONE = "–"


def count(value: float) -> str:
    """Format a number of things or a rate: 1049 → `1,049`; small values keep two decimals."""
    if value != int(value) and abs(value) < 9.995:
        return f"{value:.2f}"
    return f"{value:,.0f}"


def plain(value: float) -> str:
    """Format an exact number with no more digits than it has: 1.0 → `1`, 20.5 → `20.5`, 1234.0 → `1,234`."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Format a duration: 98.2 → `98 s`, 130 → `2 min 10 s`, 7200 → `2 h`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{whole / 3600:.0f} h"


def latency(value_us: float | None) -> str:
    """Format microseconds: `850 µs`, `48 ms`, `1.32 s`."""
    if value_us is None:
        return NONE
    if value_us < 999.5:
        return f"{value_us:.0f} µs"
    if value_us < 9_950:
        return f"{value_us / 1000:.1f} ms"
    if value_us < 999_500:
        return f"{value_us / 1000:.0f} ms"
    return f"{value_us / 1_000_000:.2f} s"


def factor(value: float | None) -> str:
    """Format a ratio without its multiplication sign: 5.631 → `5.63`, 12.34 → `12.3`, 1.0031 → `1.003`."""
    if value is None:
        return NONE
    fine = value < 0.0995 or 0 < abs(value - 1) < 0.0195
    return f"{value:.{1 if value >= 9.995 else 3 if fine else 2}f}"


def ratio(comparison: Comparison | None, of: str = "") -> str:
    """Format a ratio with its interval, `5.63 × (5.21 to 6.08)`, and `of` after the sign; no interval of few blocks."""
    if comparison is None or comparison.ratio is None:
        return NONE
    text = f"{factor(comparison.ratio)} ×{of}"
    if comparison.ci_low is None or comparison.ci_high is None or comparison.blocks < LEAST_BLOCKS:
        return text
    return f"{text} ({factor(comparison.ci_low)} to {factor(comparison.ci_high)})"


def metric_value(value: float, unit: str) -> str:
    """Format a metric's value with its unit."""
    match unit:
        case "µs":
            return latency(value)
        case "ms":
            return f"{value:.2f} ms" if value >= 0.01 or not value else f"{value * 1000:.1f} µs"
        case "MiB":
            return f"{value:.0f} MiB"
        case "s":
            return f"{value:.1f} s"
        case _:
            return count(value)
