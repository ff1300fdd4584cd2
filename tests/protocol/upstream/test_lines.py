import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.upstream.lines import LineBuffer, LineTooLong

WIRE = 'alpha\r\nbêta €𝄞\n\n{"a":1}\n'.encode()
LINES = [b"alpha", "bêta €𝄞".encode(), b"", b'{"a":1}']


def test_a_line_split_anywhere_is_the_same_line():
    for cut in range(len(WIRE) + 1):
        buffer = LineBuffer(64)
        assert buffer.feed(WIRE[:cut]) + buffer.feed(WIRE[cut:]) == LINES


def test_one_byte_at_a_time_gives_the_same_lines():
    buffer = LineBuffer(64)
    assert [line for n in range(len(WIRE)) for line in buffer.feed(WIRE[n : n + 1])] == LINES


@given(
    st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b and not b.endswith(b"\r")), max_size=8), st.data()
)
def test_lines_joined_and_cut_at_random_come_back(lines, data):
    wire = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n"])) for line in lines)
    if wire.startswith(b"\xef\xbb\xbf"):
        return
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    buffer, found = LineBuffer(32), []
    for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += buffer.feed(wire[start:stop])
    assert found == lines
    assert buffer.end() == b""


def test_a_last_line_without_newline_is_told_at_the_end():
    buffer = LineBuffer(64)
    assert buffer.feed(b"one\ntw") == [b"one"]
    assert buffer.feed(b"o") == []
    assert buffer.end() == b"two"
    assert buffer.end() == b""


def test_a_byte_order_mark_is_dropped_at_the_start_only_wherever_it_is_cut():
    wire = b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"
    for cut in range(len(wire)):
        buffer = LineBuffer(8)
        assert buffer.feed(wire[:cut]) + buffer.feed(wire[cut:]) == [b"a", b"\xef\xbb\xbfb"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_of_exactly_the_cap_passes_wherever_it_is_cut(ending):
    wire = b"12345678" + ending
    for cut in range(len(wire) + 1):
        buffer = LineBuffer(8)
        assert buffer.feed(wire[:cut]) + buffer.feed(wire[cut:]) == [b"12345678"]


def test_an_overlong_line_is_refused_wherever_it_is_cut_and_lines_before_it_are_not_lost():
    wire = b"ok\n123456789\nlater\n"
    for cut in range(len(wire) + 1):
        buffer, lines = LineBuffer(8), []
        with pytest.raises(LineTooLong) as refused:
            lines += buffer.feed(wire[:cut])
            lines += buffer.feed(wire[cut:])
        assert lines + refused.value.lines == [b"ok"]


def test_an_unfinished_line_is_measured_before_it_is_stored():
    buffer = LineBuffer(8)
    buffer.feed(b"1234567")
    with pytest.raises(LineTooLong):
        buffer.feed(b"8" * 1000)
    assert buffer._size == 7
