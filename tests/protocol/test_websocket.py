import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.frames import CLOSE, PING, TEXT, ws_close, ws_frame, ws_header
from protocol.websocket import Message, WebSocketError, WebSocketReader, accept_key


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
        found, error = reader.feed(data[start:stop])
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
    Message(TEXT, b'{"type":"ping"}'),
    Message(PING, b"now"),
    Message(TEXT, "héllo €".encode()),
    Message(TEXT, b"x" * 300),
    Message(CLOSE, b"\x03\xe8"),
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
    assert read(masked(TEXT, text.encode(), mask=mask)) == ([Message(TEXT, text.encode())], None)


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
    assert messages == [Message(TEXT, b"kept")]
    assert error is not None


def test_a_train_of_empty_fragments_does_not_grow():
    reader = WebSocketReader(100)
    reader.feed(masked(TEXT, b"a", final=False) + masked(0, b"", final=False) * 10_000)
    assert reader._fragments == [b"a"]


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
