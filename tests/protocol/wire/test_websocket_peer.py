"""What a stranger's frames mean, to this reader and to the parser of the `websockets` package.

Both read the same bytes, cut at random places, and must agree on each message and on the close code of a
failure. Where they differ on purpose, `DIFFERENCES` says why; each holds for one frame that looks so and
no other. `websockets` leaves the UTF-8 of texts to its caller, so the peer here decodes them as they come.

`tests/fuzz/fuzz_websocket.py` looks for new cases for as long as wanted.
"""

import os
from codecs import getincrementaldecoder
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Close
from websockets.protocol import Protocol, Side

from protocol.wire.frames import BINARY, CLOSE, PING, PONG, TEXT
from protocol.wire.websocket import Incoming, WebSocketReader
from tests.fakes.echo import EchoReader

EXAMPLES = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "new" else 1_000
LIMITS = st.sampled_from([400, 400, 400, 130, 7, 0])
# Completes whatever frame was announced, and is no frame itself: each parser comes to an end.
PADDING = bytes(420)


class Frame(NamedTuple):
    """A frame as its header announces it, and what was unfinished before it."""

    opcode: int
    is_final: bool
    reserved: int
    is_masked: bool
    form: int  # the length as the second byte has it
    size: int
    unfinished: int | None  # bytes of the message in fragments, None when there is none

    @classmethod
    def at(cls, wire: bytes, offset: int, unfinished: int | None) -> "Frame":
        first, second = wire[offset : offset + 2]
        form = size = second & 0x7F
        if form > 125:
            size = int.from_bytes(wire[offset + 2 : offset + (4 if form == 126 else 10)], "big")
        return cls(first & 0x0F, first >= 0x80, first & 0x70, second >= 0x80, form, size, unfinished)

    def fits(self, limit: int) -> bool:
        return self.size + (self.unfinished or 0) <= limit


class Outcome(NamedTuple):
    """What a parser made of the bytes."""

    messages: list[Incoming]
    frames: int  # read before it stopped
    code: int | None  # of the failure; None after a close frame


class Reading:
    """Our reader's outcome, and the frames as it came to them."""

    def __init__(self, reader: WebSocketReader, pieces: list[bytes]) -> None:
        self.wire = b"".join(pieces)
        self.frames: list[Frame] = []
        messages: list[Incoming] = []
        fed = 0
        offsets: list[int] = []
        for piece in pieces:
            reader.feed(piece)
            fed += len(piece)
            while reader.waiting:
                offset = fed - reader.buffered
                unfinished = len(reader._message) if reader._message is not None else None
                if not offsets or offsets[-1] != offset:
                    offsets.append(offset)
                    self.frames.append(Frame.at(self.wire, offset, unfinished))
                found, error = reader.take(frames=1)
                messages += found
                if error is not None:
                    self.outcome = Outcome(messages, len(offsets) - 1, error.code)
                    return
        assert messages[-1].opcode == CLOSE
        self.outcome = Outcome(messages, len(offsets), None)


def read_by_peer(limit: int, pieces: list[bytes]) -> Outcome:
    """The outcome of `websockets`."""
    protocol = Protocol(Side.SERVER, max_size=limit)
    messages: list[Incoming] = []
    frames, opcode, whole = 0, 0, b""
    decoder = getincrementaldecoder("utf-8")()
    for piece in pieces:
        protocol.receive_data(piece)
        for frame in protocol.events_received():
            if frame.opcode >= CLOSE:
                messages.append(Incoming(int(frame.opcode), bytes(frame.data)))
            else:
                opcode, whole = opcode or int(frame.opcode), whole + bytes(frame.data)
                try:
                    if opcode == TEXT:
                        decoder.decode(frame.data, frame.fin)
                except UnicodeDecodeError:
                    return Outcome(messages, frames, 1007)
                if frame.fin:
                    messages.append(Incoming(opcode, whole))
                    opcode, whole = 0, b""
            frames += 1
        if protocol.parser_exc is not None:
            assert protocol.close_sent is not None
            return Outcome(messages, frames, int(protocol.close_sent.code))
    return Outcome(messages, frames, None)


# What each is about, and whether a frame at which the two part is such a one. `ours` and `peers` are the
# close codes, None for a frame that was read.
DIFFERENCES = {
    # Both refuse it. Here the header is judged before the length, so that nothing of such a frame is waited for.
    "a frame against several rules fails by its header first": lambda frame, limit, ours, peers: (
        (ours, peers) == (1002, 1009) and not frame.fits(limit)
    ),
    # Section 5.4 lets control frames stand between fragments; their 125 bytes are no part of the message.
    "a control frame does not count against the message around it": lambda frame, limit, ours, peers: (
        (ours, peers) == (None, 1009) and frame.opcode >= CLOSE and frame.size <= 125 and not frame.fits(limit)
    ),
    # As before, where what the control frame says is no close code or no UTF-8.
    "a close frame is judged by what it says": lambda frame, limit, ours, peers: (
        ours in (1002, 1007) and peers == 1009 and frame.opcode == CLOSE and frame.size <= 125 and not frame.fits(limit)
    ),
    # A close frame is a control frame: section 5.4 lets it stand there too. Who leaves in the middle of a
    # message has left, and needs no reproach.
    "a client may close in the middle of a message": lambda frame, limit, ours, peers: (
        (ours, peers) == (None, 1002) and frame.opcode == CLOSE and frame.unfinished is not None
    ),
    # Section 5.2: the shortest form is a MUST. For data the longer ones are let pass, as nearly everybody does;
    # for a control frame the two bits that say "longer than 125" are enough.
    "a control frame's length has its short form": lambda frame, limit, ours, peers: (
        ours == 1002 and frame.opcode >= CLOSE and frame.form > 125 and frame.size <= 125
    ),
}


def check(limit: int, pieces: list[bytes]) -> str | None:
    """Compare the two; returns the name of the difference that is on purpose."""
    pieces = [*pieces, PADDING]
    reading = Reading(EchoReader(limit), pieces)
    ours, peers = reading.outcome, read_by_peer(limit, pieces)
    _check_service(limit, pieces, reading)
    if ours == peers:
        return None
    parted = min(ours.frames, peers.frames)
    frame = reading.frames[parted]
    codes = (ours.code if ours.frames == parted else None, peers.code if peers.frames == parted else None)
    names = [name for name, is_meant in DIFFERENCES.items() if is_meant(frame, limit, *codes)]
    assert names, (ours, peers, frame)
    shared = min(len(ours.messages), len(peers.messages))
    assert ours.messages[:shared] == peers.messages[:shared]
    return names[0]


def _check_service(limit: int, pieces: list[bytes], echo: Reading) -> None:
    """The service's reader is the one that takes binary, but for a binary frame: that is 1003, by its header."""
    reading = Reading(WebSocketReader(limit), pieces)
    refused = next((n for n, frame in enumerate(echo.frames) if _is_refused(frame)), None)
    if refused is None or echo.outcome.frames < refused:
        assert reading.outcome == echo.outcome
    else:
        shared = len(reading.outcome.messages)
        assert reading.outcome == Outcome(echo.outcome.messages[:shared], refused, 1003)


def _is_refused(frame: Frame) -> bool:
    return frame.opcode == BINARY and frame.is_masked and not frame.reserved and frame.unfinished is None


# -- what strangers send

CHARACTERS = ["a", "é", "€", "😀", "\ud7ff", "\ue000", "\U0010ffff"]
BROKEN = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f", b"\xe2\x82", b"\x80", b"\xc3"]
texts = st.lists(st.sampled_from(CHARACTERS), min_size=1, max_size=8).map(lambda chars: "".join(chars).encode())
broken_texts = st.lists(st.sampled_from([*BROKEN, *[char.encode() for char in CHARACTERS]]), max_size=5).map(b"".join)
long_payloads = st.integers(100, 420).map(lambda size: b"x" * size)
payloads = st.one_of(texts, texts, texts, broken_texts, st.binary(max_size=12), long_payloads)
codes = st.one_of(
    st.integers(999, 1017),
    st.sampled_from([0, 999, 1000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535]),
    st.integers(0, 65_535),
)
closes = st.one_of(
    st.just(b""),
    st.binary(min_size=1, max_size=1),
    st.builds(lambda code, reason: code.to_bytes(2, "big") + reason, codes, st.one_of(texts, broken_texts)),
    st.just(b"\x03\xe8" + b"r" * 123),
    st.just(b"\x03\xe8" + b"r" * 124),
)


def frame_of(first: int, payload: bytes, mask: bytes | None, form: int, size: int) -> bytes:
    """A frame whose header says ``size`` in the form of that many bytes (0, 2 or 8) behind the second."""
    wide = {0: size, 2: 126, 8: 127}[form]
    header = bytes((first, (0x80 if mask is not None else 0) | wide)) + (size.to_bytes(form, "big") if form else b"")
    if mask is None:
        return header + payload
    return header + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def shortest(size: int) -> int:
    return 0 if size < 126 else 2 if size < 1 << 16 else 8


masks = st.one_of(st.just(bytes(4)), st.binary(min_size=4, max_size=4))


def valid(first: int, payload: bytes, mask: bytes) -> bytes:
    return frame_of(first, payload, mask, shortest(len(payload)), len(payload))


CONTROLS = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
ANY_CONTROL = st.one_of(CONTROLS, st.tuples(st.just(CLOSE), closes.map(lambda said: said[:125])))


@st.composite
def messages(draw: st.DrawFn, said: st.SearchStrategy[bytes], controls: st.SearchStrategy[tuple[int, bytes]]) -> bytes:
    """A message in fragments, with control frames between."""
    opcode = draw(st.sampled_from([TEXT, TEXT, BINARY]))
    whole = draw(said)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    wire = b""
    for n, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(whole)], strict=True)):
        final = 0x80 if n == len(cuts) else 0
        wire += valid(final | (0 if n else opcode), whole[start:stop], draw(masks))
        if not final and draw(st.booleans()):
            control, told = draw(controls)
            wire += valid(0x80 | control, told, draw(masks))
    return wire


FAULTS = ("opcode", "reserved", "mask", "size", "form", "final")


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame with one fault, or with several: each would hide the others."""
    faults = draw(st.one_of(st.sampled_from(FAULTS).map(lambda fault: {fault}), st.sets(st.sampled_from(FAULTS))))
    opcode = draw(st.integers(0, 15) if "opcode" in faults else st.sampled_from([TEXT, BINARY, CLOSE, PING, PONG]))
    payload = draw(closes if opcode == CLOSE else payloads)
    lies = st.one_of(st.integers(0, 500), st.integers(0, 65_535), st.integers(0, (1 << 64) - 1))
    size = draw(lies) if "size" in faults else len(payload)
    forms = [form for form in (0, 2, 8) if form >= shortest(size)]
    return frame_of(
        (0 if "final" in faults else 0x80) | (draw(st.integers(1, 7)) << 4 if "reserved" in faults else 0) | opcode,
        payload,
        None if "mask" in faults else draw(masks),
        draw(st.sampled_from(forms[1:] or forms)) if "form" in faults else forms[0],
        size,
    )


good = messages(texts, CONTROLS)
# A frame that may be in its place or not.
parts = st.builds(valid, st.sampled_from([0, 0x80, TEXT, 0x80 | TEXT, BINARY, 0x80 | BINARY]), payloads, masks)
close_frames = st.builds(valid, st.just(0x80 | CLOSE), closes.map(lambda said: said[:125]), masks)
anything = st.one_of(
    messages(payloads, ANY_CONTROL), parts, parts, close_frames, frames(), frames(), st.binary(max_size=20)
)


@st.composite
def wires(draw: st.DrawFn) -> list[bytes]:
    """A sequence of frames in pieces: some that are right, then some that may be anything."""
    wire = b"".join(draw(st.lists(good, max_size=3)) + draw(st.lists(anything, min_size=1, max_size=4)))
    if wire and draw(st.sampled_from([False, False, False, True])):
        place = draw(st.integers(0, len(wire) - 1))
        wire = wire[:place] + bytes([draw(st.integers(0, 255))]) + wire[place + 1 :]
    if draw(st.sampled_from([False, False, False, True])):
        return [wire[n : n + 1] for n in range(len(wire))]
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    return [wire[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


@given(LIMITS, wires())
@settings(max_examples=EXAMPLES)
def test_both_parsers_make_the_same_of_any_frames_in_any_pieces(limit, pieces):
    check(limit, pieces)


def test_both_take_the_same_close_codes():
    for code in range(1 << 16):
        said = code.to_bytes(2, "big")
        reader = WebSocketReader(0)
        reader.feed(valid(0x80 | CLOSE, said, bytes(4)))
        try:
            Close.parse(said)
        except ProtocolError:
            assert reader.take()[1] is not None, code
        else:
            assert reader.take() == ([Incoming(CLOSE, said)], None), code


MASK = b"abcd"
PART = valid(TEXT, b"0123456789", MASK)


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("a frame against several rules fails by its header first", frame_of(0xC1, b"x", MASK, 2, 5000)),
        ("a control frame does not count against the message around it", PART + valid(0x89, b"x" * 125, MASK)),
        ("a close frame is judged by what it says", PART + valid(0x88, b"\x03\xe8" + b"\xff" * 123, MASK)),
        ("a client may close in the middle of a message", PART + valid(0x88, b"", MASK)),
        ("a control frame's length has its short form", frame_of(0x89, b"x", MASK, 2, 1)),
    ],
)
def test_each_difference_on_purpose_is_seen(name, wire):
    assert check(130, [wire]) == name
