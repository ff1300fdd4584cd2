import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from protocol.ndjson import dumps, escape_separators

SPLITTERS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r\n"


@given(st.text(alphabet=st.sampled_from(SPLITTERS + 'aé€😀\\"u2028'), max_size=30))
def test_a_value_is_one_line_for_every_reader_and_means_the_same(text):
    line = dumps({"text": text})
    assert len(line.decode().splitlines()) == 1
    assert orjson.loads(line) == {"text": text}


def test_an_escaped_backslash_before_a_separator_stays_what_it_is():
    value = "\\\u2028"
    assert json.loads(escape_separators(orjson.dumps(value))) == value


def test_lone_surrogates_leave_as_escapes():
    line = dumps({"text": "a\ud83d"})
    assert line.isascii()
    assert json.loads(line) == {"text": "a\ud83d"}
