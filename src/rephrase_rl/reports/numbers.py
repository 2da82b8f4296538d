"""Numbers as people read them in tables; one place, so that every page agrees."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rephrase_rl.records import JSON

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
NOT_RECORDED = "not recorded"
MISSING = "–"


def count(value: float | None) -> str:
    """Format a whole number with separators of thousands."""
    return NOT_RECORDED if value is None else f"{value:,.0f}"


def total(value: JSON) -> str:
    """Format a count that may be given by status, as one number.

    Example:
        >>> total({"timeout": 1, "error": 2})
        '3'
    """
    return count(sum(value.values()) if isinstance(value, dict) else value)


def figure(value: float | None, digits: int = 3) -> str:
    """Format a measured number; NaN and None as a dash, a minus as a real minus sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def reward(value: float | None) -> str:
    """Format a reward briefly: 1, 0, 0.5; a question mark where it could not be scored."""
    if value is None or not math.isfinite(value):
        return "?"
    return f"{value:.3g}".replace("-", "−")


def interval(row: Any) -> str:
    """Format an estimate with its interval.

    Args:
        row: Mapping or record with ``mean``, ``low`` and ``high``.

    Example:
        >>> interval({"mean": 0.5, "low": 0.4, "high": 0.6, "n_clusters": 10})
        '0.500 (0.400–0.600)'
    """
    get = row.get if isinstance(row, dict) else lambda name: getattr(row, name)
    if get("mean") is None:
        return "nothing could be scored"
    if get("low") is None or get("high") is None:
        return f"{figure(get('mean'))} (no interval)"
    return f"{figure(get('mean'))} ({figure(get('low'))}–{figure(get('high'))})"


def logp(value: float | None) -> str:
    """Format a log-probability that may not have been measured."""
    return "not measured" if value is None or not math.isfinite(value) else figure(value)


def moment(value: JSON) -> str:
    """Format an ISO 8601 time for people; anything else is shown as it is.

    Example:
        >>> moment("2026-02-03T04:05:06+00:00")
        '3 February 2026, 04:05 UTC'
    """
    try:
        time = datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return fact(value)
    # Month names by hand: strftime's depend on the locale.
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M} UTC"


def duration(seconds: float | None) -> str:
    """Format seconds as hours, minutes and seconds.

    Example:
        >>> duration(3725.4)
        '1 h 2 min 5 s'
    """
    if seconds is None:
        return NOT_RECORDED
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    parts = [f"{hours} h"] if hours else []
    parts += [f"{minutes} min"] if hours or minutes else []
    return " ".join([*parts, f"{whole % 60} s"])


def memory(value: float | None) -> str:
    """Format bytes in GiB."""
    return NOT_RECORDED if value is None else f"{value / 2**30:.1f} GiB"


def percent(part: float, whole: float) -> str:
    """Format a share in per cent; a dash where there is nothing to share."""
    return MISSING if not whole else f"{100 * part / whole:.1f} %"


def fact(value: JSON) -> str:
    """Format a manifest entry of any form on one line."""
    if value is None:
        return NOT_RECORDED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {fact(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(fact(item) for item in value) or "none"
    return str(value)
