"""What a frame means: exact, or one typed error."""

import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanlight import ClientError, Delta, Derived, Ending, Inexact, Reset, Watched
from fanlight.place import LONGEST_ASKED_PAUSE_S, Place
from tests.fanlight.peer import attached, delta, end

VIEWS = ["text", "json", "patch", "captions", "raw", "end"]
ELEMENT = {"type": "element", "at": 5, "pointer": "/0", "value": 1, "valid": None}
CAPTION = {"type": "caption", "at": 5, "id": "c0", "rev": 1, "state": "final", "start": 0, "end": 1, "text": "A."}
EVENT = {"type": "event", "at": 5, "n": 0, "event": {"event_type": "stream_start"}}
PATCH = {"type": "patch", "at": 5, "ops": [{"op": "add", "path": "", "value": {"a": []}}]}
VIOLATION = {"type": "violation", "at": 3, "pointer": "", "schema_pointer": "", "keyword": "type", "message": "no"}


def told(view: str, *messages: Any, cursor: str | None = None) -> list[Watched]:
    place = Place(view, cursor)
    return [found for message in messages for found in place.take(orjson.dumps(message))]


def at(start: int, text: str = "", **members: Any) -> dict[str, Any]:
    return attached(text, **{"from": start, **members})


def standing(view: str, stop: int, **members: Any) -> dict[str, Any]:
    """``attached`` of a view with a state."""
    state = [] if view in ("json", "captions") else None
    return attached(**{"view": view, "to": stop, "state": state, **members})


@pytest.mark.parametrize(
    "messages",
    [
        [attached(), delta(1, "a")],
        [attached(), {**delta(0, "a"), "to": 2}],
        [attached("ab"), at(1, mode="suffix")],
        [attached("ab"), at(2, mode="live", gen=2)],
        [at(1, "b")],
        [attached(**{"to": 3})],
        [attached(mode="live")],
        [attached(mode="sideways")],
        [attached("ab"), end("ab", gen=2)],
        [attached("ab"), end("abc")],
        [attached("ab"), end("xy")],
        [delta(0, "a")],
        [end("")],
        [attached("ab"), ELEMENT],
    ],
)
def test_what_does_not_join_up_is_never_skipped(messages: list[Any]):
    with pytest.raises(Inexact):
        told("text", *messages)


@pytest.mark.parametrize(
    ("view", "messages"),
    [
        ("json", [standing("json", 9), ELEMENT]),
        ("captions", [standing("captions", 9), CAPTION]),
        ("patch", [standing("patch", 9), PATCH]),
        ("raw", [standing("raw", 0), {**EVENT, "n": 1}]),
        ("raw", [standing("raw", 0), EVENT, EVENT]),
        ("json", [standing("json", 9, **{"from": 10})]),
    ],
)
def test_messages_of_other_views_join_up_too(view: str, messages: list[Any]):
    with pytest.raises(Inexact):
        told(view, *messages)


def test_what_is_not_known_is_ignored():
    assert told("text", {"type": "novelty", "x": 1}) == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_cursor_that_is_not_honoured_is_a_reset_before_anything_else(view: str):
    cursor = "1.7r" if view == "raw" else "1.7"
    first, *_ = told(view, standing(view, 0 if view in ("raw", "text") else 9, gen=2), cursor=cursor)
    assert first == Reset(2, "snapshot", "2.0r" if view == "raw" else "2.0")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("mode", ["suffix", "live"])
@pytest.mark.parametrize(("gen", "start"), [(2, 7), (1, 6), (1, 8)])
def test_an_attachment_elsewhere_than_at_the_cursor_is_an_error(view: str, mode: str, gen: int, start: int):
    cursor = "1.7r" if view == "raw" else "1.7"
    with pytest.raises(Inexact):
        told(view, standing(view, start, gen=gen, mode=mode, **{"from": start}), cursor=cursor)
    told(view, standing(view, 7, mode=mode, **{"from": 7}), cursor=cursor)


def test_each_message_has_the_cursor_behind_it():
    text = told(
        "text", attached("ab"), VIOLATION, delta(2, "é"), {"type": "reset", "gen": 2, "reason": "r"}, delta(0, "x")
    )
    assert [message.cursor for message in text] == ["1.2", "1.2", "1.4", "2.0", "2.1"]
    raw = told("raw", standing("raw", 0), EVENT, {**EVENT, "n": 1}, end("abcde"))
    assert [message.cursor for message in raw] == ["1.1r", "1.2r", "1.2r"]
    patch = told("patch", standing("patch", 2), PATCH, end("abcdefg"))
    assert [message.cursor for message in patch] == ["1.2", "1.5", "1.7"]


@pytest.mark.parametrize(("view", "part"), [("json", ELEMENT), ("captions", CAPTION)])
def test_only_a_later_place_shows_that_all_of_one_have_come(view: str, part: dict[str, Any]):
    parts = [part, part, {**part, "at": 8}, {**part, "at": 9}]
    found = told(view, standing(view, 0), *parts, end("123456789"))
    assert [message.cursor for message in found] == ["1.0", "1.0", "1.0", "1.5", "1.8", "1.9"]


BROKEN: list[tuple[str, Any]] = [
    ("text", 7),
    ("text", []),
    ("text", {}),
    ("text", {"type": 7}),
    ("text", {"type": None}),
    *[("text", {**delta(0, "a"), name: wrong}) for name in ("from", "to") for wrong in (-1, "0", None, 0.0, True, 2**53)],
    *[("text", {**delta(0, "a"), "text": wrong}) for wrong in (7, None, ["a"])],
    *[("text", {**attached(), name: wrong}) for name in ("gen", "mode", "from", "to", "text") for wrong in (None, [], -1)],
    *[("text", {**end(""), name: wrong}) for name in ("gen", "to", "status", "sha256") for wrong in (None, {}, -1)],
    *[("text", {**end(""), name: []}) for name in ("finish_reason", "usage", "validation", "error")],
    ("text", {**end(""), "error": {}}),
    ("text", {**end(""), "error": {"code": "x", "message": 7}}),
    ("text", {**end(""), "validation": {"valid": True}}),
    ("text", {**end(""), "validation": {"valid": False, "errors": [7]}}),
    ("text", {"type": "reset", "gen": 2}),
    ("text", {"type": "draining", "retry_after_ms": "soon"}),
    ("text", {**VIOLATION, "message": None}),
    ("json", {**ELEMENT, "at": -1}),
    ("json", {"type": "element", "at": 5, "pointer": "/0"}),
    ("json", {**ELEMENT, "pointer": 0}),
    ("json", standing("json", 0, state=None)),
    ("json", standing("json", 0, state={})),
    ("json", standing("json", 0, state=[7])),
    ("json", standing("json", 0, state=[{"pointer": "/0"}])),
    ("captions", standing("captions", 0, state=[{"id": "c0"}])),
    ("captions", {**CAPTION, "text": None}),
    ("raw", {**EVENT, "event": "stream_start"}),
    *[
        ("patch", {**PATCH, "ops": [{"op": "add", "path": "", "value": {"a": [0], "s": ""}}, op]})
        for op in (
            7,
            None,
            {},
            {"op": "add", "path": "/b/c", "value": 1},
            {"op": "add", "path": "/a/2", "value": 1},
            {"op": "add", "path": "/a/-1", "value": 1},
            {"op": "add", "path": "/a/00", "value": 1},
            {"op": "add", "path": "/a/٠", "value": 1},
            {"op": "add", "path": "/a/999999999999", "value": 1},
            {"op": "add", "path": "/s/0", "value": 1},
            {"op": "add", "path": "a", "value": 1},
            {"op": "add", "path": "/~2", "value": 1},
            {"op": "add", "path": 7, "value": 1},
            {"op": "add", "path": "/a/0"},
            {"op": "remove", "path": "/a/0", "value": 1},
            {"op": "append", "path": "/a", "value": "x"},
            {"op": "append", "path": "/s", "value": 1},
            {"op": "append", "path": "/none", "value": "x"},
            {"op": "append", "path": "", "value": "x"},
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("view", "message"), BROKEN)
def test_what_is_no_message_of_the_contract_is_one_typed_error(view: str, message: Any):
    with pytest.raises(Inexact):
        told(view, standing(view, 0), message)


@pytest.mark.parametrize("frame", [b"", b"no json", b"\xff\xfe", b'"', b"[" * 100_000, b'{"type":"delta"', b"NaN"])
def test_what_is_no_json_is_one_typed_error(frame: bytes):
    with pytest.raises(Inexact):
        Place("text").take(frame)


def test_large_whole_numbers_come_as_they_are():
    number = 10**30
    place = Place("json")
    place.take(orjson.dumps(standing("json", 0)))
    frame = orjson.dumps({**ELEMENT, "value": "N"}).replace(b'"N"', str(number).encode())
    (element,) = place.take(frame)
    assert isinstance(element, Derived)
    assert element.members["value"] == number


def test_a_pause_that_is_asked_for_is_not_for_ever():
    place = Place("text")
    place.take(b'{"type":"draining","retry_after_ms":412}')
    assert place.pause_s == 0.412
    place.take(b'{"type":"draining","retry_after_ms":9007199254740991}')
    assert place.pause_s == LONGEST_ASKED_PAUSE_S


def test_a_good_story_is_told():
    verdict = {"valid": False, "errors": [{"pointer": "/n", "message": "is missing"}]}
    found = told("text", attached("ab"), delta(2, "c"), end("abc", validation=verdict))
    assert [type(message) for message in found] == [Delta, Delta, Ending]


# -- whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)
GOOD = [attached(), delta(0, "a"), end(""), ELEMENT, CAPTION, EVENT, PATCH, VIOLATION, *[standing(v, 0) for v in VIEWS]]
OPS = st.fixed_dictionaries({"op": JSON | st.sampled_from(["add", "append"]), "path": st.text("/~01a"), "value": JSON})


@st.composite
def nearly_good(draw: st.DrawFn) -> dict[str, Any]:
    """A message with some members that are something else, or are not there."""
    message = dict(draw(st.sampled_from(GOOD)))
    for name in draw(st.lists(st.sampled_from(sorted(message)), max_size=3)):
        message[name] = draw(JSON | st.integers(0, 9) | st.lists(OPS, max_size=3))
    for name in draw(st.lists(st.sampled_from(sorted(message)), max_size=1)):
        del message[name]
    return message


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(st.sampled_from(VIEWS), st.lists(st.binary(max_size=64) | (JSON | nearly_good()).map(dumped), max_size=8))
def test_whatever_comes_raises_nothing_but_errors_of_the_client(view: str, frames: list[bytes]):
    place = Place(view)
    place.take(orjson.dumps(standing(view, 0)))
    for frame in frames:
        with suppress(ClientError):
            place.take(frame)
