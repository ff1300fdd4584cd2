"""The fan-out, played against a simple model: every reader exact at the end, whatever happened."""

import hashlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.upstream.events import StreamEnd
from protocol.upstream.textlog import TextLog
from protocol.wire.cursors import Cursor, Mode, parse_cursor
from service.hub import audience
from tests.fakes.outlets import FakeLoop, FakeOutlet, make_stream

END = StreamEnd({"event_type": "stream_end", "finish_reason": "stop"})


class Reader:
    """What a client makes of the messages, by the contract alone."""

    def __init__(self, outlet: FakeOutlet, gen: int = 0, text: str = "") -> None:
        self.outlet = outlet
        self.gen = gen
        self.text = text
        self.read = 0
        self.ending: dict | None = None

    def take(self) -> None:
        for message in self.outlet.messages[self.read :]:
            assert self.ending is None, "something after the end"
            match message["type"]:
                case "attached":
                    if message["mode"] == "snapshot":
                        self.gen, self.text = message["gen"], ""
                    assert (message["gen"], message["from"]) == (self.gen, len(self.text.encode()))
                    self.text += message["text"]
                    assert message["to"] == len(self.text.encode())
                case "delta":
                    assert message["from"] == len(self.text.encode())
                    self.text += message["text"]
                    assert message["to"] == len(self.text.encode())
                case "reset":
                    assert message["gen"] > self.gen
                    self.gen, self.text = message["gen"], ""
                case "end":
                    self.ending = message
                case other:
                    raise AssertionError(other)
        self.read = len(self.outlet.messages)

    @property
    def cursor(self) -> str:
        return f"{self.gen}.{len(self.text.encode())}"


class FanOut(RuleBasedStateMachine):
    """publish, join, stall, wake, drop, resume, restart, cancel: thousands of schedules."""

    @initialize(slice_size=st.integers(1, 3))
    def begin(self, slice_size: int) -> None:
        self.before, audience.SLICE = audience.SLICE, slice_size
        self.loop = FakeLoop()
        self.stream = make_stream(self.loop)
        self.readers: list[Reader] = []
        self.gone: list[Reader] = []

    def teardown(self) -> None:
        if not hasattr(self, "stream"):
            return
        self.stream.run.finish(None, now=0.0, end=END)
        self.loop.run()
        for reader in self.readers:
            reader.outlet.drain()
        self.loop.run()
        for reader in self.readers:
            reader.take()
            assert reader.ending is not None
            assert reader.text == self.stream.run.log.slice(0, self.stream.run.log.size)
            assert reader.ending["sha256"] == hashlib.sha256(reader.text.encode()).hexdigest()
            assert reader.outlet.clean is True
        assert self.stream.subscribers == 0
        audience.SLICE = self.before

    @rule(texts=st.lists(st.text(alphabet="aé€😀", min_size=1, max_size=3), min_size=1, max_size=3))
    def publish(self, texts: list[str]) -> None:
        if self.stream.run.ending is None:
            self.stream.run.take(list(texts))

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule(room=st.none() | st.integers(1, 4))
    def join(self, room: int | None) -> None:
        self._attach(FakeOutlet(room), None, 0, "")

    @rule(data=st.data())
    def stall(self, data: st.DataObject) -> None:
        if self.readers:
            reader = data.draw(st.sampled_from(self.readers))
            reader.outlet.room = 1  # full at the next write

    @rule(data=st.data(), room=st.none() | st.integers(1, 3))
    def wake(self, data: st.DataObject, room: int | None) -> None:
        if self.readers:
            data.draw(st.sampled_from(self.readers)).outlet.drain(room)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        if self.readers:
            reader = data.draw(st.sampled_from(self.readers))
            self.readers.remove(reader)
            reader.take()
            if reader.outlet.subscriber is not None:
                reader.outlet.subscriber.leave()
            self.gone.append(reader)

    @rule(data=st.data(), room=st.none() | st.integers(1, 4))
    def resume(self, data: st.DataObject, room: int | None) -> None:
        if self.gone:
            gone = data.draw(st.sampled_from(self.gone))
            self._attach(FakeOutlet(room), gone.cursor, gone.gen, gone.text)

    @rule(text=st.text(alphabet="xy", max_size=4))
    def restart(self, text: str) -> None:
        if self.stream.run.ending is None and self.stream.run.gen < 5:
            log = TextLog(1 << 20)
            log.append(text)
            self.stream.run.regenerate(log, "restarted")

    @rule()
    def finish(self) -> None:
        self.stream.run.finish(None, now=0.0, end=END)

    def _attach(self, outlet: FakeOutlet, cursor: str | None, gen: int, text: str) -> None:
        reader = Reader(outlet, gen, text)
        self.stream.attach(outlet, "text", parse_cursor(cursor))
        self.readers.append(reader)

    @invariant()
    def nobody_has_read_anything_wrong(self) -> None:
        for reader in getattr(self, "readers", []):
            reader.take()


TestFanOut = FanOut.TestCase
TestFanOut.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


@pytest.mark.slow
class TestFanOutAtLength(FanOut.TestCase):  # type: ignore[name-defined]
    settings = settings(max_examples=3000, stateful_step_count=60, deadline=None)


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


def test_readers_at_the_same_place_are_written_the_very_same_bytes(loop: FakeLoop):
    written: list[bytes] = []

    class Outlet(FakeOutlet):
        def write(self, data: bytes) -> None:
            written.append(data)

    stream = make_stream(loop)
    for _ in range(3):
        stream.attach(Outlet(), "text", None)
    written.clear()
    stream.run.take(["one"])
    assert len(written) == 3
    assert len({id(frame) for frame in written}) == 1


def test_what_arrives_together_leaves_together(loop: FakeLoop):
    stream, outlet = make_stream(loop), FakeOutlet()
    stream.attach(outlet, "text", None)
    stream.run.take(["a", "b", "c"])
    assert [message.get("text") for message in outlet.messages] == ["", "abc"]


def test_a_reader_that_was_stalled_gets_all_it_missed_as_one_delta(loop: FakeLoop):
    stream, slow, quick = make_stream(loop), FakeOutlet(), FakeOutlet()
    stream.attach(slow, "text", None)
    stream.attach(quick, "text", None)
    slow.room = 1
    for n in range(50):
        stream.run.take([f"{n} "])
    assert len(slow.messages) == 2
    assert len(quick.messages) == 51
    slow.drain()
    assert len(slow.messages) == 3
    assert slow.messages[-1]["to"] == stream.run.log.size


def test_a_huge_row_gives_the_loop_back_between_slices(loop: FakeLoop):
    stream = make_stream(loop)
    outlets = [FakeOutlet() for _ in range(audience.SLICE * 3)]
    for outlet in outlets:
        stream.attach(outlet, "text", None)
    stream.run.take(["a"])
    served = sum(len(outlet.messages) > 1 for outlet in outlets)
    assert served == audience.SLICE
    stream.run.take(["b"])  # joins the next pass
    loop.run()
    assert all([m.get("text") for m in outlet.messages] == ["", "a", "b"] for outlet in outlets)


def test_raw_readers_get_every_event_one_for_one_also_late_ones(loop: FakeLoop):
    stream, early, late = make_stream(loop), FakeOutlet(), FakeOutlet()
    stream.attach(early, "raw", None)
    stream.run.take(["a", "b"])
    stream.run.take(["c"])
    stream.attach(late, "raw", None)
    stream.attach(resumed := FakeOutlet(), "raw", Cursor(1, 2, raw=True))
    stream.run.finish(None, now=0.0, end=END)

    def events(outlet: FakeOutlet) -> list[tuple[int, int]]:
        return [(m["n"], m["at"]) for m in outlet.messages if m["type"] == "event"]

    assert events(early) == events(late) == [(0, 1), (1, 2), (2, 3), (3, 3)]
    assert events(resumed) == [(2, 3), (3, 3)]
    assert resumed.messages[0]["mode"] == "suffix"


@pytest.mark.parametrize(
    ("cursor", "mode", "start"),
    [
        (None, Mode.SNAPSHOT, 0),
        ("1.0", Mode.SUFFIX, 0),
        ("1.3", Mode.SUFFIX, 3),
        ("1.2", Mode.SNAPSHOT, 0),  # inside a code point
        ("1.5", Mode.LIVE, 5),
        ("1.6", Mode.SNAPSHOT, 0),  # past the head
        ("2.3", Mode.SNAPSHOT, 0),
        ("1.3r", Mode.SNAPSHOT, 0),
        ("١.٣", Mode.SNAPSHOT, 0),
        ("1.5.end", Mode.LIVE, 5),
    ],
)
def test_a_cursor_attaches_as_the_contract_says(loop: FakeLoop, cursor: str, mode: Mode, start: int):
    stream, outlet = make_stream(loop), FakeOutlet()
    stream.run.take(["a", "é", "bc"])
    stream.attach(outlet, "text", parse_cursor(cursor))
    attached = outlet.messages[0]
    assert (attached["mode"], attached["from"], attached["to"]) == (mode, start, 5)
    assert attached["text"] == "aébc".encode()[start:].decode()


def test_a_cursor_at_the_start_of_an_empty_text_is_live(loop: FakeLoop):
    stream, outlet = make_stream(loop), FakeOutlet()
    stream.attach(outlet, "text", parse_cursor("1.0"))
    assert (outlet.messages[0]["mode"], outlet.messages[0]["status"]) == ("live", "starting")


def test_a_text_beyond_a_message_goes_on_as_deltas(loop: FakeLoop):
    stream, outlet = make_stream(loop, max_text_bytes=1 << 24), FakeOutlet()
    text = '"\\€😀\n' * 300_000
    stream.run.take([text])
    stream.attach(outlet, "text", None)
    reader = Reader(outlet)
    reader.take()
    assert reader.text == text
    assert len(outlet.messages) > 3


def test_no_message_is_longer_than_a_mebibyte(loop: FakeLoop):
    sizes: list[int] = []

    class Outlet(FakeOutlet):
        def write(self, data: bytes) -> None:
            sizes.extend(len(line) for line in data.splitlines())

    stream = make_stream(loop, max_text_bytes=1 << 24)
    stream.run.take(["\x01" * (3 << 20)])
    stream.attach(Outlet(), "text", None)
    assert max(sizes) <= 1 << 20


def test_end_readers_hear_of_nothing_but_the_end(loop: FakeLoop):
    stream, outlet = make_stream(loop), FakeOutlet()
    stream.attach(outlet, "end", None)
    stream.run.take(["a"])
    stream.run.finish("upstream_broken", now=0.0)
    assert [m["type"] for m in outlet.messages] == ["attached", "end"]
    assert outlet.messages[-1]["status"] == "failed"


def test_the_ending_is_told_to_those_who_come_after_it(loop: FakeLoop):
    stream, outlet = make_stream(loop), FakeOutlet()
    stream.run.take(["a"])
    stream.run.finish(None, now=0.0, end=END)
    stream.attach(outlet, "text", None)
    assert [m["type"] for m in outlet.messages] == ["attached", "end"]
    assert outlet.messages[0]["status"] == "completed"
    assert outlet.clean is True


def test_the_ending_is_written_once(loop: FakeLoop):
    stream = make_stream(loop)
    stream.run.finish("cancelled", now=1.0)
    first = stream.run.ending
    stream.run.finish(None, now=2.0, end=END)
    assert stream.run.ending is first


def test_presence_counts_by_view_and_is_told_when_it_changes(loop: FakeLoop):
    stream, watcher, other = make_stream(loop), FakeOutlet(), FakeOutlet()
    stream.attach(watcher, "text", None, presence=True)
    stream.tell_presence()
    stream.tell_presence()
    stream.attach(other, "raw", None)
    stream.tell_presence()
    counts = [m["counts"] for m in watcher.messages if m["type"] == "presence"]
    assert counts == [{"text": 1}, {"text": 1, "raw": 1}]
    assert not [m for m in other.messages if m["type"] == "presence"]


def test_silence_is_broken_by_keep_alives_only_for_those_who_heard_nothing(loop: FakeLoop):
    beats: list[bytes] = []

    class Outlet(FakeOutlet):
        def write(self, data: bytes) -> None:
            beats.append(data)

    stream = make_stream(loop)
    stream.attach(Outlet(), "text", None)
    loop.now = 10.0
    stream.run.take(["a"])
    beats.clear()
    loop.now = 20.0
    stream.beat(15.0)
    assert beats == []
    loop.now = 25.0
    stream.beat(15.0)
    assert beats == [b"\n"]
