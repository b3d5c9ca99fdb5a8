"""Numbers as a reader sees them: decimals, signs, intervals, shares, times."""

import math

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 2) -> str:
    """Fixed decimals where they say something, three significant digits with a power of ten elsewhere."""
    if value is None or not math.isfinite(value):
        return "–"
    smallest = 10.0**-digits
    if value == 0 or smallest <= abs(value) < 1e5:
        return f"{value:,.{digits}f}".replace("-", MINUS)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.replace('-', MINUS)} {TIMES} 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def span(low: float | None, high: float | None, digits: int = 2, word: str = "–") -> str:
    """Both ends of an interval; empty where one is missing."""
    if low is None or high is None:
        return ""
    return f"{number(low, digits)} {word} {number(high, digits)}"


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign; a difference of nothing has none."""
    text = number(abs(value), digits)
    if not value or text.strip("0.") == "":
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def signed_percent(share: float) -> str:
    """A relative difference in percent at one decimal; one that is not nothing keeps its sign."""
    sign = MINUS if share < 0 else "+" if share else ""
    return f"{sign}{abs(100 * share):,.1f} %"


def signed_span(low: float, high: float, digits: int = 2) -> str:
    """Both ends of a difference's interval, with their signs."""
    return f"{signed(low, digits)} to {signed(high, digits)}"


def count(value: float) -> str:
    """A count with separated thousands."""
    return f"{value:,.0f}"


def percent(share: float, digits: int = 0) -> str:
    """A share in percent; one that is not nothing is never shown as nothing."""
    if 0 < share < 0.01 and digits == 0:
        return "< 1 %"
    return f"{100 * share:.{digits}f} %"


def probability(value: float) -> str:
    """A p-value; a small one is not said to be nothing."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """A time in the unit that suits it."""
    if value is None or not math.isfinite(value):
        return "–"
    for size, unit in ((3600, "h"), (60, "min")):
        if value >= 1.5 * size:
            return f"{value / size:,.1f} {unit}"
    if value and value < 0.1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.1f} s"
