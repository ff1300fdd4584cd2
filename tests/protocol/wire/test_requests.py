"""Identity, options and commands: what callers say besides the analyze request."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Refusal
from protocol.upstream.identity import identity
from protocol.wire.commands import Cancel, Ping, Start, Subscribe, Unsubscribe, parse_command, read_message, usable_ref
from protocol.wire.options import Options, parse_options, parse_options_header

BASE = {"prompt": "p", "video_id": "v", "max_tokens": 100}


def test_key_order_number_forms_and_defaults_make_no_difference():
    same = [
        BASE,
        dict(reversed(BASE.items())),
        {**BASE, "max_tokens": 100.0},
        {**BASE, "temperature": 0.2},
        {**BASE, "stream": False},
    ]
    assert len({identity(request, {}) for request in same}) == 1


def test_a_schema_counts_by_its_value():
    one = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 1}}}
    other = {"properties": {"a": {"minimum": 1.0, "type": "integer"}}, "required": ["a"], "type": "object"}
    assert identity({"response_format": one}, {}) == identity({"response_format": other}, {})


def test_what_differs_differs():
    different = [
        BASE,
        {**BASE, "prompt": "q"},
        {**BASE, "temperature": 0.3},
        {**BASE, "something_new": None},
        {**BASE, "max_tokens": True},
        {**BASE, "max_tokens": "100"},
    ]
    assert len({identity(request, {}) for request in different}) == len(different)
    assert identity(BASE, {"restart": 1}) != identity(BASE, {"restart": 0})


def test_the_header_is_a_dictionary_of_rfc_8941():
    options = parse_options_header("join=never, grace_s=0.5, restart=2, validate=off, ttl_s=60")
    assert (options.join, options.grace_s, options.restart, options.validate_, options.ttl_s) == (
        "never",
        0.5,
        2,
        "off",
        60,
    )
    assert parse_options_header(None) == Options()


@pytest.mark.parametrize(
    "header",
    ["join=12", "unknown=1", "grace_s=?1", "join=(a b)", ",,", "ttl_s=-1", 'captions="x"', "grace_s=:YQ==:", "é", "restart=1.5", "ttl_s=1e9"],
)  # fmt: skip
def test_a_header_that_is_wrong_is_option_invalid(header):
    with pytest.raises(Refusal) as refused:
        parse_options_header(header)
    assert refused.value.code == "option_invalid"


@pytest.mark.parametrize(
    "value",
    [[], "join", {"join": None}, {"x": 1}, {"grace_s": "1"}, {"restart": True}, {"channel": "a/b"}, {"channel": ""},
     {"ttl_s": float("inf")}, {"captions": {"pointer": "segments"}}, {"captions": {"start": 1}}],
)  # fmt: skip
def test_native_options_that_are_wrong_are_option_invalid(value):
    with pytest.raises(Refusal) as refused:
        parse_options(value)
    assert refused.value.code == "option_invalid"


@given(st.text(max_size=40))
def test_any_header_is_options_or_the_one_refusal(header):
    try:
        assert isinstance(parse_options_header(header), Options)
    except Refusal as refusal:
        assert refusal.code == "option_invalid"


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        (b'{"type":"subscribe","stream":"st_1"}', Subscribe(type="subscribe", stream="st_1")),
        (b'{"type":"subscribe","channel":"wall","view":"json","ref":[1]}', Subscribe(type="subscribe", channel="wall", view="json", ref=[1])),
        (b'{"type":"unsubscribe","stream":"st_1","new":1}', Unsubscribe(type="unsubscribe", stream="st_1")),
        (b'{"type":"start","request":{"prompt":"p"}}', Start(type="start", request={"prompt": "p"})),
        (b'{"type":"cancel","stream":"st_1","force":true}', Cancel(type="cancel", stream="st_1", force=True)),
        (b'{"type":"ping","ref":"a"}', Ping(type="ping", ref="a")),
    ],
)  # fmt: skip
def test_each_message_is_read(payload, command):
    assert parse_command(read_message(payload)) == command


@given(
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(["type", "stream", "ref"]), st.text(max_size=9)).map(orjson.dumps)
)
def test_any_message_is_a_command_or_the_one_refusal(payload):
    try:
        parse_command(read_message(payload))
    except Refusal as refusal:
        assert refusal.code == "invalid_request"


def test_a_ref_of_257_bytes_is_refused_and_not_echoed():
    message = {"type": "ping", "ref": "x" * 255}
    with pytest.raises(Refusal):
        parse_command(message)
    assert usable_ref(message) is None
    assert usable_ref({"ref": {"a": 1}, "type": "nonsense"}) == {"a": 1}
    assert usable_ref(["no object"]) is None


def test_a_message_whose_brackets_would_take_long_is_refused_before_it_is_parsed():
    with pytest.raises(Refusal, match="10000 brackets"):
        read_message(b'{"type":"start","request":{"a":[' + b",".join([b"[]"] * 5000) + b"]}}")
    # What is inside strings costs nothing.
    read_message(orjson.dumps({"type": "start", "request": {"prompt": ",[]{}:" * 3000}}))


@pytest.mark.parametrize("depth", [200, 300, 1000])
def test_a_ref_nested_without_end_is_too_long_and_no_more(depth):
    message = read_message(b'{"type":"ping","ref":' + b"[" * depth + b"]" * depth + b"}")
    with pytest.raises(Refusal):
        parse_command(message)
    assert usable_ref(message) is None
