"""Lines to events: many at once, as strict as one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.json.bounds import MAX_STRUCTURE
from protocol.upstream.events import parse_event, plain_text, plain_texts

PLAIN = b'{"event_type":"text_generation","text":"'
PIECES = [b'"', b"\\", b'\\"', b",", b":", b"{", b"}", b"[", b"]", b"a", b"5", b" ", b"\\u00e9", b'"}', b'","', PLAIN]


@given(st.lists(st.tuples(st.lists(st.sampled_from(PIECES), max_size=6), st.booleans()), min_size=1, max_size=5))
def test_lines_that_are_read_together_are_what_each_of_them_is_alone(drawn: list[tuple[list[bytes], bool]]):
    lines = [PLAIN + b"".join(pieces) + b'"}' * ends for pieces, ends in drawn]
    together = plain_texts(lines)
    assert together is None or together == [parse_event(line) for line in lines]


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from([b'"}\n', b'"}', b'"}\r\n', b'" }\n', b"}\n"]))
def test_a_line_that_is_read_in_one_look_is_what_it_is_alone(pieces: list[bytes], end: bytes):
    line = PLAIN + b"".join(pieces) + end
    text = plain_text(line)
    assert text is None or text == parse_event(line.rstrip(b"\n"))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (PLAIN + b'a \\" b"}\n', 'a " b'),
        (PLAIN + b'"}\n', ""),
        (PLAIN + "é".encode() + b'"}\n', "é"),
        (PLAIN + b"}\n", None),  # one quote is not two
        (PLAIN + b'a"}\n' + PLAIN + b'b"}\n', None),
        (PLAIN + b'a","more":"b"}\n', None),
        (PLAIN + b'\\ud83d"}\n', None),  # half a pair is not told as text
        (PLAIN + b"\xff" + b'"}\n', None),
        (PLAIN + b'a"}', None),
    ],
)
def test_one_look_tells_a_plain_fragment_from_all_else(line: bytes, text: str | None):
    assert plain_text(line) == text


def test_a_line_whose_structure_would_be_counted_is_not_read_in_one_look():
    line = PLAIN + b"," * MAX_STRUCTURE + b'"}'
    assert plain_text(line + b"\n") is None
    assert parse_event(line) == "," * MAX_STRUCTURE


@pytest.mark.parametrize(
    "lines",
    [
        [PLAIN + b'abc\\"}', PLAIN + b',"x"}'],
        [PLAIN + b'a",["b"}', PLAIN + b'x"}', PLAIN + b'y"],"z"}'],
        [PLAIN + b'a","b"}', PLAIN + b"}"],
        [PLAIN + b'a","}', PLAIN + b',"b"}'],
        [PLAIN + b'a"}', PLAIN + b'b"}x'],
    ],
)
def test_lines_that_only_together_look_like_fragments_are_not_read_together(lines: list[bytes]):
    assert plain_texts(lines) is None
