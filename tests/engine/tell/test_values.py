"""Clocks and the forms a value can take."""

import pytest

from engine.tell.values import clock


@pytest.mark.parametrize(
    ("seconds", "form", "text"),
    [
        (0, "mm:ss", "00:00"),
        (61.9, "mm:ss", "01:01"),
        (3600, "mm:ss", "60:00"),
        (10.5, "hh:mm:ss", "00:00:11"),
        (3723.4, "hh:mm:ss", "01:02:03"),
        (-3, "hh:mm:ss", "00:00:00"),
        (-3, "hh:mm:ss.fff", "00:00:00.000"),
        (3723.4567, "hh:mm:ss.fff", "01:02:03.457"),
        (59.9996, "hh:mm:ss.fff", "00:01:00.000"),
    ],
)
def test_a_time_is_written_as_asked(seconds: float, form: str, text: str) -> None:
    assert clock(seconds, form) == text
