"""Whoever comes, whenever: at the end every reader of a view holds what one from the beginning holds."""

import asyncio
from functools import partial
from typing import Any, cast
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.captions.subtitles import Subtitles
from protocol.schema.admitted import admit
from protocol.upstream.events import Event, StreamEnd, event_of
from protocol.upstream.textlog import TextLog
from protocol.wire.cursors import parse_cursor
from service.hub import streams
from service.hub.derived import CaptionView, ElementView
from service.hub.replay import replay, shadow_of
from service.hub.streams import VIEWS, Stream
from tests.fakes.outlets import FakeLoop, FakeOutlet, make_stream
from tests.protocol.views.test_views import apply

END = StreamEnd({"event_type": "stream_end", "finish_reason": "stop"})
SCHEMA = {"type": "object", "properties": {"segments": {"type": "array", "items": {"required": ["text"]}}}}

words = st.sampled_from(["Hi", "bye now", "über", "😀", ".", "\n", "\n\n", " ", "-", "12", "a:b", "`"])
marks = st.sampled_from(["[00:01] ", "[00:03]", "(0:05) ", "00:07 - 00:09 ", "[1:02:03] ", "[00:", "00:12"])
spoken = st.lists(words | marks, max_size=12).map("".join)
numbers = st.integers(-3, 99) | st.sampled_from([0.5, 1e3, True, None])
segments = st.fixed_dictionaries({}, optional={"start": numbers, "text": spoken, "end": numbers, "speaker": words})
documents = (
    st.fixed_dictionaries({"segments": st.lists(segments | numbers, max_size=4)}, optional={"title": spoken})
    | st.lists(segments | numbers, max_size=4)
    | numbers
    | spoken
).map(lambda value: orjson.dumps(value).decode())
fenced = documents.map(lambda text: f"Here it is:\n```json\n{text}\n```\nDone.")
# Cut anywhere, whole, with something behind it, and with half a character at the end.
texts = st.builds(
    lambda text, keep, tail: text[: keep if keep < len(text) else None] + tail,
    spoken | documents | fenced,
    st.integers(0, 400),
    st.sampled_from(["", "", "", " ", "\n", "x", "\ud83d"]),
)


class Reader:
    """What a client of one view makes of its messages, by the contract alone."""

    def __init__(self, view: str) -> None:
        self.view = view
        self.outlet = FakeOutlet()
        self.cursor: str | None = None
        self._drop()
        self.ending: Any = None

    def _drop(self) -> None:
        self.text = ""
        self.items: dict[str, Any] = {}
        self.tree: list[Any] = [None]
        self.events: list[Any] = []
        self.violation: Any = None

    def attach(self, stream: Stream) -> None:
        self.leave()
        self.outlet = FakeOutlet()
        stream.attach(self.outlet, self.view, parse_cursor(self.cursor))

    def leave(self) -> None:
        """Go, with what was told so far and the cursor that it led to."""
        subscriber = self.outlet.subscriber
        if subscriber is not None and subscriber.audience is not None:
            self.cursor = str(subscriber.cursor)
            subscriber.leave()
        self.take()

    def take(self) -> None:
        messages, self.outlet.messages = self.outlet.messages, []
        for message in messages:
            getattr(self, f"_{message['type']}")(message)

    def _attached(self, message: dict[str, Any]) -> None:
        if message["mode"] == "snapshot":
            self._drop()
        self.text += message["text"]
        if self.view == "patch":
            self.tree = [message["state"]]
        else:
            for item in message.get("state") or ():
                self._item(item)

    def _item(self, message: dict[str, Any]) -> None:
        self.items[message.get("id") or message["pointer"]] = message

    _element = _caption = _item

    def _delta(self, message: dict[str, Any]) -> None:
        self.text += message["text"]

    def _patch(self, message: dict[str, Any]) -> None:
        apply(self.tree, message["ops"])

    def _event(self, message: dict[str, Any]) -> None:
        assert message["n"] == len(self.events)
        self.events.append(message["event"])

    def _violation(self, message: dict[str, Any]) -> None:
        self.violation = message

    def _reset(self, message: dict[str, Any]) -> None:
        self._drop()

    def _end(self, message: dict[str, Any]) -> None:
        self.ending = message

    @property
    def holds(self) -> Any:
        """All that it has to show; places are how it came to it."""
        shown = {
            key: {name: value for name, value in item.items() if name not in ("at", "type", "stream")}
            for key, item in self.items.items()
            if item.get("state") != "retracted"
        }
        return self.text, shown, self.tree, self.events, self.violation, self.ending


def pieces(text: str, size: int) -> list[Event]:
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return [event_of({"event_type": "text_generation", "text": part}) for part in parts]


def grow(stream: Stream, steps: list[Event | TextLog], moments: list[int]) -> list[Reader]:
    """Let a stream become its steps, and end well; a reader of each view at each moment, and those who left then."""
    readers: list[Reader] = []
    leavers: list[Reader] = []

    def at(moment: int) -> None:
        if moment == 0 or moment in moments:
            fresh = [Reader(view) for view in VIEWS]
            for reader in fresh:
                reader.attach(stream)
            gone = [Reader(view) for view in VIEWS]
            for reader in gone:
                reader.attach(stream)
                reader.leave()
            readers.extend(fresh)
            leavers.extend(gone)

    for moment, step in enumerate(steps):
        at(moment)
        if isinstance(step, TextLog):
            stream.run.regenerate(step, "restarted")
        else:
            stream.run.take([step])
    at(len(steps))
    stream.run.finish(None, now=1.0, end=END)
    late = [Reader(view) for view in VIEWS]
    for reader in [*late, *leavers]:
        reader.attach(stream)
    everybody = [*readers, *late, *leavers]
    for reader in everybody:
        reader.take()
    return everybody


def log_of(parts: list[Event]) -> TextLog:
    log = TextLog(1 << 20)
    log.extend(parts)
    return log


def holdings(readers: list[Reader]) -> dict[str, list[Any]]:
    held: dict[str, list[Any]] = {view: [] for view in VIEWS}
    for reader in readers:
        held[reader.view].append(reader.holds)
    return held


def assert_all_hold_the_same(readers: list[Reader]) -> None:
    for view, (first, *others) in holdings(readers).items():
        assert first[-1] is not None
        for other in others:
            assert other == first, view


@given(texts, st.integers(1, 9), st.lists(st.integers(0, 30), max_size=3), texts, st.integers(0, 9), st.booleans())
def test_a_reader_made_at_any_moment_holds_at_the_end_what_one_from_the_beginning_holds(
    text: str, size: int, moments: list[int], again: str, restart: int, judged: bool
):
    steps: list[Event | TextLog] = list(pieces(text, size))
    if restart < len(steps):
        steps[restart] = log_of(pieces(again, size))
    stream = make_stream(FakeLoop(), schema=admit(SCHEMA) if judged else None)
    readers = grow(stream, steps, moments)
    assert_all_hold_the_same(readers)
    shown = next(reader for reader in readers if reader.view == "text")
    tree = next(reader for reader in readers if reader.view == "patch").tree[0]
    assert shown.text == stream.run.log.slice(0, stream.run.log.size)
    # What is asked for by HTTP, for the first time after the end.
    late = make_stream(FakeLoop())
    for part in pieces(shown.text, 100):
        late.run.take([part])
    late.run.finish(None, now=1.0, end=END)
    assert late.partial() == stream.partial() == tree
    early_file, late_file = stream.view("captions"), late.view("captions")
    assert isinstance(early_file, CaptionView)
    assert isinstance(late_file, CaptionView)
    for formatted in (False, True):
        files = [Subtitles.of(view.finals(), formatted=formatted).vtt() for view in (early_file, late_file)]
        assert files[0] == files[1]


@given(texts, st.integers(1, 9))
def test_a_replay_tells_every_view_what_the_run_told(text: str, size: int):
    stream = make_stream(FakeLoop())
    first = grow(stream, list(pieces(text, size)), [])
    shadow = shadow_of(stream)
    readers = [Reader(view) for view in VIEWS]
    for reader in readers:
        reader.attach(shadow)
    asyncio.run(replay(stream, shadow, 1000.0))
    for reader in readers:
        reader.take()
    assert_all_hold_the_same([*first, *readers])


@pytest.mark.parametrize("text", ["[00:01] Hi\n[00:03] bye now", "[00:01] only one"])
def test_a_caption_file_asked_for_after_the_end_has_the_last_cue(text: str):
    stream = make_stream(FakeLoop())
    stream.run.take([text])
    stream.run.finish(None, now=1.0, end=END)
    view = stream.view("captions")
    assert isinstance(view, CaptionView)
    assert [cue["text"] for cue in view.finals()][-1] in text
    assert len(view.finals()) == text.count("[")


def test_a_root_number_is_in_the_tree_of_who_comes_after_the_end():
    stream = make_stream(FakeLoop())
    stream.run.take(["12"])
    stream.run.finish(None, now=1.0, end=END)
    assert stream.partial() == 12


@pytest.mark.parametrize("view", ["json", "patch", "captions"])
def test_a_slow_reader_is_told_the_violation_also_when_it_was_too_slow_for_the_message(view: str):
    stream = make_stream(FakeLoop(), schema=admit(SCHEMA))
    outlet = FakeOutlet(room=1)
    stream.view(view).keep_bytes = 0
    stream.attach(outlet, view, None)
    for part in pieces('{"segments": [{"start": 1}, {"start": 2, "text": "two words"}, {"start": 3, "text": "x"}]}', 7):
        stream.run.take([part])
    stream.run.finish(None, now=1.0, end=END)
    outlet.drain()
    assert [message["type"] for message in outlet.messages].count("violation") == 1
    assert outlet.messages[-1]["type"] == "end"


def test_half_a_character_at_the_end_is_text_before_the_verdict_is_made():
    stream = make_stream(FakeLoop())
    early = Reader("captions")
    early.attach(stream)
    stream.run.take(pieces("[00:01] Hi \ud83d", 99))
    stream.run.end_text()  # as the pump does, which then judges
    late = Reader("captions")
    late.attach(stream)
    stream.run.finish(None, now=1.0, end=END)
    for reader in (early, late):
        reader.take()
    assert early.holds == late.holds
    assert "�" in cast(str, early.items["c0"]["text"])


@given(texts, st.integers(1, 9), texts, st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_a_view_made_in_steps_while_the_text_grows_is_the_one_made_at_once(
    text: str, size: int, again: str, restart: int, moment: int, judged: bool
):
    loop = FakeLoop()
    steps = pieces(text, size)
    stream = make_stream(loop, schema=admit(SCHEMA) if judged else None)
    early = [Reader(view) for view in VIEWS]
    for reader in early:
        reader.attach(stream)
    other = make_stream(loop, schema=admit(SCHEMA) if judged else None)
    late = [Reader(view) for view in VIEWS]
    with patch.object(streams, "AT_ONCE_BYTES", 0), patch.object(streams, "STEP_BYTES", 4):
        for turn, step in enumerate([*steps, None]):
            for grown in (stream, other):
                if turn == restart:
                    grown.run.regenerate(log_of(pieces(again, size)), "restarted")
                elif step is not None:
                    grown.run.take([step])
            if turn == min(moment, len(steps)):
                for reader in late:
                    attach = partial(reader.attach, other)
                    if other.prepare(reader.view, attach):
                        attach()
            loop.turn()
        for grown in (stream, other):
            grown.run.finish(None, now=1.0, end=END)
        loop.run()
    for reader in [*early, *late]:
        reader.take()
    assert_all_hold_the_same([*early, *late])


def test_a_view_that_cannot_be_made_is_told_to_whoever_waits_for_it_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
):
    loop = FakeLoop()
    stream = make_stream(loop)
    stream.run.take(pieces("[" + "1," * 20_000, 40_001))
    called: list[str] = []
    monkeypatch.setitem(streams.VIEWS, "json", lambda run: ElementView(run, Broken))
    assert stream.prepare("json", lambda: called.append("json")) is False
    assert stream.prepare("json", lambda: called.append("json")) is False
    loop.run()
    assert called == ["json", "json"]
    with pytest.raises(ZeroDivisionError):
        stream.view("json")


class Broken:
    def feed(self, fragment: str) -> Any:
        raise ZeroDivisionError
