import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.cursors import Cursor, parse_cursor


@given(st.integers(0, 10**9), st.integers(0, 10**17), st.booleans())
def test_a_cursor_written_is_the_cursor_read(gen, position, raw):
    cursor = Cursor(gen, position, raw=raw)
    assert parse_cursor(str(cursor)) == cursor


def test_the_cursor_after_the_ending_is_told_apart():
    assert parse_cursor("2.17.end") == Cursor(2, 17, after_end=True)


@pytest.mark.parametrize("text", [None, "", "1", "1.", ".1", "1.2.3", "1.-2", "+1.2", "1. 2", "١.٢", "1.2R", "1.2rr", "1." + "9" * 400])  # fmt: skip
def test_what_is_not_a_cursor_is_none(text):
    assert parse_cursor(text) is None


@given(st.text(max_size=20))
def test_any_text_is_a_cursor_or_none(text):
    cursor = parse_cursor(text)
    assert cursor is None or (cursor.gen >= 0 and cursor.position >= 0)
