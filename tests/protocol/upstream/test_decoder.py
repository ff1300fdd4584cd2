import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.upstream.decoder import Decoder
from protocol.upstream.events import (
    EndOfBytes,
    ErrorObject,
    Fragment,
    RemoteProtocolError,
    StreamEnd,
    StreamStart,
    UnknownEvent,
    parse_event,
)
from protocol.upstream.states import NEXT, IllegalTransition, State, advance
from tests.fakes import upstream as say


def decode(*pieces: bytes):
    decoder, events = Decoder(1 << 16), []
    for piece in pieces:
        found, error = decoder.feed(piece)
        events += found
        if error is not None or decoder.state is State.FAILED:
            return events, error, decoder
    found, error = decoder.end()
    return events + found, error, decoder


STREAMS = [
    say.start() + say.text("Hello ") + say.text("wörld 🎬") + say.end(),
    b"\xef\xbb\xbf" + say.start().replace(b"\n", b"\r\n") + b"\r\n" + say.text("a") + say.end()[:-1],
    say.text("no start") + say.end("length") + say.text("late") + say.end(),
    say.start() + b'{"event_type":"progress","percent":3}\n' + say.text("x") + b"   \n" + say.text("y"),
    say.start()
    + b'{"event_type":"text_generation","text":"\\ud83d"}\n{"event_type":"text_generation","text":"\\udc00"}\n',
    say.start() + say.text("x") + b'{"code":"boom","message":"m"}\n' + say.text("never"),
    say.text("x") + b'{"event_type":"text_generation","text":7}\n',
    b"",
]


@pytest.mark.parametrize("wire", STREAMS)
def test_a_stream_split_at_every_byte_gives_the_same_events(wire):
    whole, error, _ = decode(wire)
    for cut in range(len(wire) + 1):
        events, again, _ = decode(wire[:cut], wire[cut:])
        assert events == whole
        assert (again is None) == (error is None)
    events, again, _ = decode(*(wire[n : n + 1] for n in range(len(wire))))
    assert events == whole
    assert (again is None) == (error is None)


def test_plain_fragments_are_their_text_and_the_rest_keeps_its_members():
    events, error, decoder = decode(STREAMS[3])
    assert error is None
    assert events == [
        StreamStart({"event_type": "stream_start", "metadata": {"generation_id": "g1"}}),
        UnknownEvent({"event_type": "progress", "percent": 3}),
        "x",
        "y",
        EndOfBytes(),
    ]
    assert decoder.blank_lines == 2  # the spaces, and the nothing after the last newline
    assert decoder.state is State.TRUNCATED


def test_what_follows_the_first_end_is_counted_and_not_told():
    events, error, decoder = decode(STREAMS[2])
    assert error is None
    assert [type(event) for event in events] == [str, StreamEnd, EndOfBytes]
    assert decoder.ignored == 2
    assert decoder.state is State.ENDED


def test_events_before_an_error_are_not_lost():
    events, error, _ = decode(say.start() + say.text("kept") + b"not json\n")
    assert isinstance(error, RemoteProtocolError)
    assert events[1:] == ["kept"]


def test_events_before_an_overlong_line_are_not_lost():
    decoder = Decoder(100)
    events, error = decoder.feed(say.text("kept") + b"x" * 200)
    assert events == ["kept"]
    assert isinstance(error, RemoteProtocolError)


@given(st.binary(max_size=200), st.integers(0, 200))
@settings(max_examples=300)
def test_random_bytes_give_events_or_the_one_protocol_error(junk, cut):
    _, error, _ = decode(junk[:cut], junk[cut:])
    assert error is None or isinstance(error, RemoteProtocolError)


# Pieces of lines, chosen to look like one another's halves when lines are read together.
pieces = st.lists(st.sampled_from([b'"', b",", b"}", b"{", b"[", b"]", b"\\", b"n", b"\xc3\xa9", b"\xff", b"1", b" ", b"text"]), max_size=6)  # fmt: skip
tricky_lines = st.builds(
    lambda begin, middle, end: begin + b"".join(middle) + end,
    st.sampled_from([b'{"event_type":"text_generation","text":"', b'{"event_type":"text_generation","text":', b""]),
    pieces,
    st.sampled_from([b'"}', b"}", b""]),
)


@given(st.lists(tricky_lines | st.text(max_size=4).map(lambda value: say.text(value)[:-1]), min_size=4, max_size=8))
@settings(max_examples=300)
def test_lines_that_come_together_are_judged_as_if_they_came_one_by_one(lines):
    # Behind a start that streams: only then are lines read together.
    whole, whole_error, together = decode(say.start(), b"".join(line + b"\n" for line in lines))
    single, single_error, one_by_one = decode(say.start(), *(line + b"\n" for line in lines))
    assert whole == single
    assert (whole_error is None) == (single_error is None)
    assert (together.state, together.blank_lines) == (one_by_one.state, one_by_one.blank_lines)


@pytest.mark.parametrize("opened", [b'"}', b'"\\"}', b'"a\\"}', b'"\\\\\\"}'])
def test_a_line_that_borrows_a_quote_from_its_neighbour_is_the_protocol_error(opened):
    opened = b'{"event_type":"text_generation","text":' + opened + b"\n"
    borrowed = b'{"event_type":"text_generation","text":","b"}\n'
    _, error, _ = decode(say.start(), say.text("a") + opened + borrowed + say.text("b"))
    assert isinstance(error, RemoteProtocolError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)


@given(
    st.dictionaries(st.sampled_from(["event_type", "text", "code", "message", "error", "metadata", "x"]), json_values)
)
def test_any_json_object_is_an_event_or_the_one_protocol_error(members):
    try:
        event = parse_event(orjson.dumps(members))
    except RemoteProtocolError:
        assert members.get("event_type") == "text_generation"
        assert not isinstance(members["text"], str)
    else:
        assert isinstance(event, str | Fragment | StreamStart | StreamEnd | ErrorObject | UnknownEvent)


@pytest.mark.parametrize(
    "line",
    [b"nul", b"[1]", b'"text"', b"3", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":"\xff"}', b'{"a":1}}', b'{"a":01}',
     b'{"event_type":"text_generation","text":null}', b'{"event_type":"text_generation","text":["a"]}',
     b'{"a":"\\ud800","b":NaN}', b'{"a":"\\ud800","b":1e999}', b"[" * 100_000, b'{"\\ud800":' + b"[" * 50_000, b"\x00"],
)  # fmt: skip
def test_what_is_not_a_strict_json_object_is_the_protocol_error(line):
    with pytest.raises(RemoteProtocolError):
        parse_event(line)


@pytest.mark.parametrize(
    "members",
    [{"event_type": "error"}, {"error": {"message": "m"}}, {"code": "c", "message": "m"},
     {"event_type": "failure", "error": "m"}, {"event_type": "x", "code": 1, "message": 2}],
)  # fmt: skip
def test_an_error_in_the_place_of_an_event_is_seen(members):
    assert parse_event(orjson.dumps(members)) == ErrorObject(members)


def test_a_stream_end_with_a_warning_is_still_an_end():
    event = parse_event(b'{"event_type":"stream_end","finish_reason":"length","error":{"message":"cut"}}')
    assert isinstance(event, StreamEnd)
    assert event.warned
    assert event.usage is None
    assert event.generation_id is None


@pytest.mark.parametrize(
    ("figure", "told"), [(3, 3), (0, 0), (2**53 - 1, 2**53 - 1), (2**53, None), (-1, None), (1.5, None), ("3", None), (True, None)]
)  # fmt: skip
def test_usage_that_is_no_integer_below_two_to_the_53_is_null(figure, told):
    line = orjson.dumps({"event_type": "stream_end", "metadata": {"usage": {"output_tokens": figure}}})
    event = parse_event(line)
    assert isinstance(event, StreamEnd)
    assert event.usage == {"output_tokens": told}


EVENTS = ["text", StreamStart({}), Fragment({}, ""), StreamEnd({}), ErrorObject({}), UnknownEvent({}), EndOfBytes()]


def test_every_pair_of_state_and_event_is_a_transition_or_illegal():
    for state in State:
        for event in EVENTS:
            if (state, type(event)) in NEXT:
                assert advance(state, event) is NEXT[state, type(event)]
            else:
                assert state in (State.TRUNCATED, State.FAILED)
                with pytest.raises(IllegalTransition):
                    advance(state, event)


def test_the_end_of_bytes_never_looks_like_a_finish():
    assert {advance(state, EndOfBytes()) for state in (State.IDLE, State.STREAMING)} == {State.TRUNCATED}
    assert advance(State.ENDED, EndOfBytes()) is State.ENDED


def test_an_event_whose_brackets_would_take_long_is_junk_before_it_is_parsed():
    unknown = b'{"event_type":"x","a":[' + b",".join([b"[]"] * 40_000) + b"]}\n"
    events, error = Decoder(1 << 20).feed(unknown)
    assert (events, type(error)) == ([], RemoteProtocolError)
    # A whole document in one fragment has as many, but inside its string.
    text = orjson.dumps({"event_type": "text_generation", "text": '{"a":[' + "[]," * 40_000}) + b"\n"
    events, error = Decoder(1 << 20).feed(text)
    assert (len(events), error) == (1, None)


@pytest.mark.parametrize("kind", ["x", "text_generation", "stream_end"])
def test_an_event_that_is_nested_too_deep_to_be_told_again_is_junk(kind: str):
    for depth, is_junk in ((600, False), (800, True), (5000, True)):
        line = b'{"event_type":"%b","text":"a","b":%b%b}\n' % (kind.encode(), b"[" * depth, b"]" * depth)
        events, error = Decoder(1 << 20).feed(line)
        assert (len(events), error is not None) == (0 if is_junk else 1, is_junk)
