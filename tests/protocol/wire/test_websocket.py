import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.wire.frames import CLOSE, PING, TEXT, ws_close, ws_frame, ws_header
from protocol.wire.websocket import Incoming, WebSocketError, WebSocketReader, accept_key


def masked(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    size = len(payload)
    first = bytes(((0x80 if final else 0) | opcode,))
    if size < 126:
        head = bytes((0x80 | size,))
    elif size < 1 << 16:
        head = b"\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\xff" + size.to_bytes(8, "big")
    return first + head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def read(data: bytes, *cuts: int, limit: int = 1 << 16):
    reader, messages = WebSocketReader(limit), []
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        reader.feed(data[start:stop])
        found, error = reader.take()
        messages += found
        if error is not None:
            return messages, error
    return messages, None


WIRE = (
    masked(TEXT, b'{"type":"ping"}')
    + masked(TEXT, "hé".encode(), final=False)
    + masked(PING, b"now")
    + masked(0, "llo €".encode())
    + masked(TEXT, b"x" * 300)
    + masked(CLOSE, b"\x03\xe8")
)
MESSAGES = [
    Incoming(TEXT, b'{"type":"ping"}'),
    Incoming(PING, b"now"),
    Incoming(TEXT, "héllo €".encode()),
    Incoming(TEXT, b"x" * 300),
    Incoming(CLOSE, b"\x03\xe8"),
]


def test_frames_split_at_every_byte_give_the_same_messages():
    for cut in range(len(WIRE) + 1):
        assert read(WIRE, cut) == (MESSAGES, None)


@given(st.binary(max_size=60), st.integers(0, 60))
@settings(max_examples=300)
def test_random_bytes_give_messages_or_the_one_error(junk, cut):
    _, error = read(junk, min(cut, len(junk)))
    assert error is None or isinstance(error, WebSocketError)


@given(st.text(max_size=50), st.binary(min_size=4, max_size=4))
def test_any_mask_is_undone(text, mask):
    assert read(masked(TEXT, text.encode(), mask=mask)) == ([Incoming(TEXT, text.encode())], None)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (ws_frame(TEXT, b"unmasked"), 1002),
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x83\x80\0\0\0\0", 1002),  # an unknown opcode
        (masked(PING, b"x", final=False), 1002),
        (masked(PING, b"x" * 126), 1002),
        (masked(0, b"no beginning"), 1002),
        (masked(TEXT, b"a", final=False) + masked(TEXT, b"b"), 1002),
        (masked(2, b"binary"), 1003),
        (masked(TEXT, b"\xff"), 1007),
        (masked(TEXT, b"\xc3", final=False) + masked(0, b""), 1007),
        (masked(CLOSE, b"\x03"), 1002),
        (masked(CLOSE, b"\x03\xe8\xff"), 1007),
        (masked(TEXT, b"x" * 101), 1009),
        (masked(TEXT, b"x" * 60, final=False) + masked(0, b"x" * 60), 1009),
        (b"\x81\xff" + (1 << 62).to_bytes(8, "big") + b"mask", 1009),
    ],
)
def test_what_breaks_the_rules_names_its_close_code(wire, code):
    _, error = read(wire, limit=100)
    assert error is not None
    assert error.code == code


def test_messages_before_an_error_are_not_lost():
    messages, error = read(masked(TEXT, b"kept") + masked(2, b""))
    assert messages == [Incoming(TEXT, b"kept")]
    assert error is not None


def size_of(reader: WebSocketReader) -> int:
    """Bytes of memory that a reader holds."""
    slots = (getattr(reader, name) for name in WebSocketReader.__slots__)
    return sys.getsizeof(reader) + sum(sys.getsizeof(value) for value in slots)


@pytest.mark.parametrize("payload", [b"", b"ab"])
def test_a_train_of_tiny_fragments_takes_no_more_memory_than_its_message(payload):
    reader = WebSocketReader(20_000)
    reader.feed(masked(TEXT, b"", final=False))
    for _ in range(100):
        reader.feed(masked(0, payload, final=False) * 100)
        assert reader.take() == ([], None)
    assert size_of(reader) < 20_000 * 1.2 + 1000


def test_tiny_fragments_are_one_message_in_the_end():
    reader = WebSocketReader(1 << 16)
    reader.feed(
        masked(TEXT, b"", final=False) + b"".join(masked(0, b"%d" % (n % 10), final=False) for n in range(9_999))
    )
    reader.feed(masked(0, b"."))
    assert reader.take() == ([Incoming(TEXT, b"".join(b"%d" % (n % 10) for n in range(9_999)) + b".")], None)


def test_an_idle_reader_keeps_nothing_of_what_was_read():
    reader = WebSocketReader(1 << 16)
    fresh = size_of(reader)
    for cut in (3, 20_000, 60_000):
        wire = masked(TEXT, b"x" * 60_000) + WIRE[: -len(masked(CLOSE, b"\x03\xe8"))]
        reader.feed(wire[:cut])
        reader.take()
        reader.feed(wire[cut:])
        reader.take()
        assert (reader.buffered, reader.waiting) == (0, False)
        assert size_of(reader) <= fresh + 64


# -- turns


FRAME = masked(TEXT, b"a", final=False), masked(0, b"b", final=False), masked(PING, b"")


def test_a_turn_reads_no_more_frames_than_it_may_even_where_no_message_completes():
    reader = WebSocketReader(1 << 20)
    reader.feed(FRAME[0] + FRAME[1] * 100_000)
    assert reader.take(frames=10) == ([], None)
    assert reader.waiting
    assert reader.buffered == len(FRAME[1]) * (100_001 - 10)


def test_a_turn_stops_after_its_bytes_and_always_reads_one_frame():
    reader = WebSocketReader(1 << 20)
    reader.feed(masked(TEXT, b"x" * 1000) * 5)
    assert len(reader.take(size=1)[0]) == 1
    assert len(reader.take(size=1007)[0]) == 1
    assert len(reader.take(size=1010)[0]) == 2
    assert reader.waiting
    assert len(reader.take()[0]) == 1
    assert not reader.waiting


@given(st.integers(1, 4), st.integers(1, 80), st.integers(1, 90))
def test_turns_of_any_size_give_the_same_messages(frames, size, piece):
    reader, messages = WebSocketReader(1 << 16), []
    for start in range(0, len(WIRE), piece):
        reader.feed(WIRE[start : start + piece])
        messages += reader.take(frames, size)[0]
    while reader.waiting:
        messages += reader.take(frames, size)[0]
    assert messages == MESSAGES


def test_the_beginning_of_a_frame_is_buffered_and_not_waiting():
    reader = WebSocketReader(1 << 16)
    for byte in WIRE[:20]:
        reader.feed(bytes([byte]))
        assert reader.waiting
        reader.take()
        assert not reader.waiting
    assert reader.buffered == 20


@pytest.mark.parametrize("last", [masked(CLOSE, b""), masked(2, b"")])
def test_after_a_close_frame_or_an_error_nothing_is_read_or_kept(last):
    reader = WebSocketReader(1 << 16)
    reader.feed(last + masked(TEXT, b"more") * 100)
    messages, error = reader.take()
    assert len(messages) + (error is not None) == 1
    reader.feed(masked(TEXT, b"even more"))
    assert (reader.buffered, reader.waiting) == (0, False)
    assert reader.take() == ([], None)


# -- close frames


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
def test_a_close_code_that_may_be_sent_is_told(code):
    payload = code.to_bytes(2, "big") + "bye €".encode()
    assert read(masked(CLOSE, payload)) == ([Incoming(CLOSE, payload)], None)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_a_close_code_that_may_not_be_sent_is_a_protocol_error(code):
    messages, error = read(masked(CLOSE, code.to_bytes(2, "big")))
    assert (messages, error.code) == ([], 1002)


def test_a_control_frame_does_not_count_against_the_message_around_it():
    wire = masked(TEXT, b"x" * 100, final=False) + masked(PING, b"y" * 50) + masked(0, b"")
    assert read(wire, limit=100) == ([Incoming(PING, b"y" * 50), Incoming(TEXT, b"x" * 100)], None)


def test_text_that_is_no_utf8_is_refused_at_the_fragment_that_shows_it():
    _, error = read(masked(TEXT, "é".encode()[:1], final=False) + masked(0, b"x", final=False))
    assert error is not None
    assert error.code == 1007


def test_the_accept_key_is_that_of_the_rfc():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


@pytest.mark.parametrize("key", ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "!" * 24])
def test_a_malformed_key_is_refused(key):
    with pytest.raises(ValueError):
        accept_key(key)


def test_headers_are_as_short_as_they_can_be():
    assert [len(ws_header(TEXT, size)) for size in (0, 125, 126, 65_535, 65_536)] == [2, 2, 4, 4, 10]


def test_a_close_reason_fits_a_control_frame():
    assert len(ws_close(1008, "x" * 500)) == 2 + 125
