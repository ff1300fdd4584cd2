"""Places in a video as models write them: seconds, ``mm:ss``, ``hh:mm:ss``, ``hh:mm:ss.fff``, ``mm:ss:fff``."""

import math
import re
from typing import Any

# A clock time inside plain text. A comma before the milliseconds is SRT's way.
CLOCK = r"[0-9]{1,3}:[0-5][0-9](?::[0-5][0-9])?(?:[.,][0-9]{1,3})?"
_CLOCK = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2})(?:[.,]([0-9]{1,6}))?")
# Minutes, seconds and milliseconds with colons between, as some models have them: three digits are no seconds.
_COLONS = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2}):([0-9]{3})")
_SECONDS = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,9})?(?=\s*(?:s|sec|secs|second|seconds)?\Z)")
_RANGE = re.compile(r"\s*(?:-->|->|[-–—~]|\bto\b)\s*")


def seconds(value: Any) -> float | None:
    """Return the seconds that a JSON value says, or None when it says no time.

    Numbers count as seconds; strings are seconds (``"12.5"``, ``"12.5s"``) or a clock time. A time before
    the start is the start, as the upstream's timestamps have it.
    """
    if isinstance(value, str):
        return _of_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return max(0.0, float(value))


def seconds_of_millis(value: Any) -> float | None:
    """Return the seconds of a JSON value whose numbers are milliseconds; a clock time is one all the same."""
    if isinstance(value, str) and not value.strip().isdecimal():
        return seconds(value)
    number = seconds(int(value) if isinstance(value, str) and len(value) <= 32 else value)
    return None if number is None else number / 1000


def seconds_range(value: Any) -> tuple[float | None, float | None]:
    """Return start and end where one string says both (``"00:12 - 00:15"``), else the start alone."""
    if isinstance(value, str) and len(value) <= 64:
        parts = _RANGE.split(value.strip().strip("[]()"), maxsplit=1)
        if len(parts) == 2 and parts[0]:
            return seconds(parts[0]), seconds(parts[1])
    return seconds(value), None


def _of_text(text: str) -> float | None:
    if len(text) > 32:
        return None
    if text.startswith("-") and _of_text(text[1:]) is not None:
        return 0.0
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest, fraction = clock.groups(default="0")
        return int(hours) * 3600 + int(minutes) * 60 + int(rest) + float(f"0.{fraction}")
    if colons := _COLONS.fullmatch(text):
        parts = [int(part) for part in colons.groups(default="0")]
        return parts[0] * 3600 + parts[1] * 60 + parts[2] + parts[3] / 1000
    plain = _SECONDS.match(text)
    return float(plain[0]) if plain else None
