"""Times and figures as the page writes them."""

from __future__ import annotations

from datetime import UTC, datetime

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def ago(then: float, now: float) -> str:
    """Return how long ago something was, both in epoch milliseconds.

    Examples
    --------
    >>> ago(0, 59_000), ago(0, 90 * 60_000), ago(5, 0)
    ('59 s', '1 h 30 min', '0 s')
    """
    left = max(0, int((now - then) / 1000))
    words: list[str] = []
    for size, name in _STEPS:
        if (count := left // size) or (name == "s" and not words):
            words.append(f"{count} {name}")
        left %= size
    return " ".join(words[:2])


def moment(epoch_ms: float) -> str:
    """Return a time in UTC.

    Examples
    --------
    >>> moment(1357017300000)
    '2013-01-01 05:15Z'
    """
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")
    except (OverflowError, ValueError, OSError):
        return str(epoch_ms)


def figure(value: float | None, unit: str = "") -> str:
    """Return a figure with three digits that count; ``%`` takes a share, ``s`` seconds.

    Examples
    --------
    >>> figure(0.01234, "s"), figure(0.5, "%"), figure(12345.0), figure(None)
    ('12.3 ms', '50 %', '12,345', '')
    """
    if value is None:
        return ""
    if unit == "%":
        return f"{100 * value:.3g} %"
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}".rstrip()
