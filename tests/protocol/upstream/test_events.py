"""Lines to events: many at once, as strict as one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.upstream.events import parse_event, plain_texts

PLAIN = b'{"event_type":"text_generation","text":"'
PIECES = [b'"', b"\\", b'\\"', b",", b":", b"{", b"}", b"[", b"]", b"a", b"5", b" ", b"\\u00e9", b'"}', b'","', PLAIN]


@given(st.lists(st.tuples(st.lists(st.sampled_from(PIECES), max_size=6), st.booleans()), min_size=1, max_size=5))
def test_lines_that_are_read_together_are_what_each_of_them_is_alone(drawn: list[tuple[list[bytes], bool]]):
    lines = [PLAIN + b"".join(pieces) + b'"}' * ends for pieces, ends in drawn]
    together = plain_texts(lines)
    assert together is None or together == [parse_event(line) for line in lines]


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
