"""Numbers as people read them: three figures at most where noise allows no more, thousands set apart."""

from bench_action.model.result import Comparison

_NONE = "–"


def count(value: float) -> str:
    """1049 → `1,049`; small values keep a decimal."""
    if value != int(value) and abs(value) < 9.995:
        return f"{value:.2f}"
    return f"{value:,.0f}"


def plain(value: float) -> str:
    """1.0 → `1`, 20.5 → `20.5`, 1234.0 → `1,234`: exact numbers, with no more figures than they have."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0")


def duration(seconds: float) -> str:
    """98.2 → `98 s`, 130 → `2 min 10 s`, 7200 → `2 h`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{whole / 3600:.0f} h"


def latency(value_us: float | None) -> str:
    """Microseconds → `850 µs`, `48 ms`, `1.32 s`."""
    if value_us is None:
        return _NONE
    if value_us < 999.5:
        return f"{value_us:.0f} µs"
    if value_us < 9_950:
        return f"{value_us / 1000:.1f} ms"
    if value_us < 999_500:
        return f"{value_us / 1000:.0f} ms"
    return f"{value_us / 1_000_000:.2f} s"


def percent(fraction: float | None) -> str:
    """0.123 → `12 %`, 0.012 → `1.2 %`, 0 → `0 %`."""
    if fraction is None:
        return _NONE
    return f"{fraction * 100:.{1 if 0 < abs(fraction) < 0.0995 else 0}f} %"


def limit(fraction: float) -> str:
    """A limit as somebody has written it: 0.01 → `1 %`, 0.125 → `12.5 %`."""
    return f"{fraction * 100:g} %"


def factor(value: float | None) -> str:
    """5.631 → `5.63`, 12.34 → `12.3`, 0.0123 → `0.012`: a ratio without its sign of multiplication."""
    if value is None:
        return _NONE
    return f"{value:.{1 if value >= 9.995 else 2 if value >= 0.0995 else 3}f}"


def ratio(comparison: Comparison | None, of: str = "") -> str:
    """`5.63 × (5.21 to 6.08)`, with `of` behind the sign; only the ratio where there was one block."""
    if comparison is None or comparison.ratio is None:
        return _NONE
    text = f"{factor(comparison.ratio)} ×{of}"
    if comparison.ci_low is None or comparison.ci_high is None:
        return text
    return f"{text} ({factor(comparison.ci_low)} to {factor(comparison.ci_high)})"


def metric_value(value: float, unit: str) -> str:
    """A value with its unit, as the metric names it."""
    match unit:
        case "µs":
            return latency(value)
        case "ms":
            return f"{value:.2f} ms"
        case "MiB":
            return f"{value:.0f} MiB"
        case "s":
            return f"{value:.1f} s"
        case _:
            return count(value)
