"""The upstream's answers, byte by byte: what is delivered, what is broken, what is held back."""

import asyncio
import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.upstream.answer import AHEAD_BYTES, MAX_FIELD_BYTES, MAX_FIELDS, MAX_OVERHEAD_BYTES, HttpAnswer
from service.upstream.contract import BadHttp, Broken, UpstreamFault

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def in_chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


LAST = b"0\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol | None = None
        self.reads = True
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Reader:
    """Reads an answer whole: its text, and how it ended."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.answer = HttpAnswer(self.wire, asyncio.get_running_loop())
        self.got = b""

    def take(self, data: bytes) -> bool:
        assert data
        self.got += data
        return False

    async def read(self) -> UpstreamFault | None:
        try:
            await self.answer.begun()
            await self.answer.deliver(self.take)
        except UpstreamFault as fault:
            return fault
        return None


async def read(*pieces: bytes, closes: bool = True) -> tuple[Reader, UpstreamFault | None]:
    """What a reader gets that is there from the start; behind the pieces the peer closes."""
    reader = Reader()
    reading = asyncio.ensure_future(reader.read())
    for piece in pieces:
        reader.answer.data_received(piece)
        await asyncio.sleep(0)
    if closes:
        reader.answer.connection_lost(None)
    async with asyncio.timeout(5):
        return reader, await reading


BODY = b'{"event_type":"text_generation","text":"caf\xc3\xa9"}\n' * 3
SAID = {
    "chunks": CHUNKED + in_chunks(BODY[:10], BODY[10:]) + LAST,
    "a length": HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "the connection's end": HEAD + b"\r\n" + BODY,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "trailers": CHUNKED + in_chunks(BODY) + b"0\r\nA: b\r\nC:\r\n\r\n",
    "extensions": CHUNKED + b'%x;a="b"\r\n%b\r\n' % (len(BODY), BODY) + LAST,
    "hints first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    + CHUNKED
    + in_chunks(BODY)
    + LAST,
    "empty fields": HEAD + b"A:\r\nB: \r\nTransfer-Encoding: chunked\r\n\r\n" + in_chunks(BODY) + LAST,
    "bare line feeds": CHUNKED.replace(b"\r\n", b"\n") + in_chunks(BODY) + LAST,
    "gzip": HEAD
    + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    + in_chunks(gzip.compress(BODY))
    + LAST,
    "gzip of two members": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(BODY[:7]) + gzip.compress(BODY[7:]),
    "deflate": HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(BODY),
    "deflate, bare": HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(BODY)[2:-4],
    "a coding of its own": HEAD + b"Content-Encoding: identity\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
async def test_an_answer_cut_at_any_byte_is_the_same_answer(said: bytes):
    for cut in range(1, len(said)):
        reader, fault = await read(said[:cut], said[cut:])
        assert (reader.answer.status, reader.got, fault) == (200, BODY, None), cut


@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
async def test_an_answer_that_comes_a_byte_at_a_time_is_the_same_answer(said: bytes):
    reader, fault = await read(*[said[n : n + 1] for n in range(len(said))])
    assert (reader.answer.status, reader.got, fault) == (200, BODY, None)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_however_the_network_cuts_it_a_body_arrives_whole_and_in_order(chunks: list[bytes], cuts: list[int]):
    said = CHUNKED + in_chunks(*chunks) + LAST
    places = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    pieces = [said[a:b] for a, b in pairwise(places) if a < b]
    reader, fault = asyncio.run(read(*pieces))
    assert (reader.got, fault) == (b"".join(chunks), None)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_an_answer_or_a_fault_of_the_contract(junk: bytes, keep: int):
    asyncio.run(read((CHUNKED + in_chunks(BODY))[:keep] + junk))  # raises nothing else, and returns


async def test_fields_are_told_by_any_case_and_not_those_of_a_hint_or_a_trailer():
    reader, _ = await read(SAID["hints first"])
    assert dict(reader.answer.headers) == {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
    assert reader.answer.headers["content-TYPE"] == "application/x-ndjson"
    reader, _ = await read(SAID["trailers"])
    assert "A" not in reader.answer.headers


@pytest.mark.parametrize(
    "said",
    [
        CHUNKED + in_chunks(BODY),
        CHUNKED + in_chunks(BODY) + b"5\r\nab",
        CHUNKED + in_chunks(BODY) + b"0\r\n",
        HEAD + b"Content-Length: 999\r\n\r\n" + BODY,
    ],
)
async def test_a_body_that_stops_short_is_broken_behind_all_that_came(said: bytes):
    reader, fault = await read(said)
    assert isinstance(fault, Broken)
    assert reader.got.startswith(BODY)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", HEAD, b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_that_closes_before_the_head_is_broken(said: bytes):
    reader, fault = await read(*([said] if said else []))
    assert (reader.answer.status, type(fault)) == (0, Broken)


async def test_a_reset_is_no_end_of_a_body_that_ends_with_its_connection():
    reader = Reader()
    reader.answer.data_received(HEAD + b"\r\n" + BODY)
    reader.answer.connection_lost(ConnectionResetError())
    assert isinstance(await reader.read(), Broken)
    assert reader.got == BODY


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nA" + b": b\r\nA" * MAX_FIELDS + b": b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * (MAX_FIELD_BYTES + 1) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A" * (MAX_FIELD_BYTES + 1) + b": b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        b"HTTP/1.1 200 " + b"O" * (MAX_OVERHEAD_BYTES + 1),
        HEAD + b"Content-Encoding: br\r\n\r\n",
    ],
)
async def test_a_head_that_is_none_is_bad_http(said: bytes):
    _, fault = await read(said, closes=False)
    assert isinstance(fault, BadHttp)


@pytest.mark.parametrize(
    "rest",
    [
        b"zz\r\n",
        b"0\r\n" + b"A: b\r\n" * MAX_FIELDS,
        b"0\r\nA: " + b"b" * (MAX_OVERHEAD_BYTES + 1),
        b"5;" + b"x" * (MAX_OVERHEAD_BYTES + 1),
    ],
)
async def test_chunks_that_are_none_are_bad_http_behind_all_that_came(rest: bytes):
    reader, fault = await read(CHUNKED + in_chunks(BODY), rest, closes=False)
    assert isinstance(fault, BadHttp)
    assert reader.got == BODY


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_a_body_that_is_not_of_its_coding_is_bad_http(coding: bytes):
    _, fault = await read(HEAD + b"Content-Encoding: " + coding + b"\r\n\r\nxxplain", closes=False)
    assert isinstance(fault, BadHttp)


async def test_deflate_without_its_end_is_bad_http_and_gzip_is_let_off():
    whole = zlib.compress(BODY)
    reader, fault = await read(HEAD + b"Content-Encoding: deflate\r\n\r\n" + whole[:-4])
    assert isinstance(fault, BadHttp)
    reader, fault = await read(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(BODY)[:-8])
    assert (reader.got, fault) == (BODY, None)


async def test_bytes_behind_the_end_of_deflate_are_bad_http():
    _, fault = await read(HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(BODY) + b"more")
    assert isinstance(fault, BadHttp)


async def test_a_body_that_inflates_to_much_comes_in_steps_and_others_have_their_turn_between():
    reader = Reader()
    turns: list[int] = []

    def turn() -> None:
        turns.append(len(reader.got))
        if len(reader.got) < 1 << 20:
            loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    said = (
        HEAD
        + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + in_chunks(gzip.compress(b"x" * (1 << 20)))
    )
    reading = asyncio.ensure_future(reader.read())
    reader.answer.data_received(said)
    loop.call_soon(turn)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not reader.wire.reads  # no more of it is asked for meanwhile
    reader.answer.data_received(LAST)
    assert await reading is None
    assert len(reader.got) == 1 << 20
    assert len(set(turns)) >= 8


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        (CHUNKED + in_chunks(BODY) + LAST, True),
        (SAID["a length"], True),
        (SAID["trailers"], True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (CHUNKED + LAST + b"HTTP/1.1 200 OK\r\n\r\nanother", False),
        (CHUNKED + LAST + b"junk", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nother", False),
    ],
)
async def test_an_answer_leaves_its_connection_only_at_a_clean_end(said: bytes, leaves: bool):
    reader, fault = await read(said, closes=False)
    assert (fault, reader.answer.leaves_connection) == (None, leaves)
    assert b"another" not in reader.got


async def test_an_answer_is_whole_for_its_reader_whatever_follows_it():
    reader, fault = await read(CHUNKED + in_chunks(BODY) + LAST + b"HTTP/1.1 500 No\r\n\r\nxx", closes=False)
    assert (reader.answer.status, reader.got, fault) == (200, BODY, None)


async def test_the_peer_waits_while_nobody_takes_what_came_and_goes_on_with_the_reader():
    reader = Reader()
    reader.answer.data_received(CHUNKED)
    for _ in range(3):
        reader.answer.data_received(in_chunks(b"x" * (AHEAD_BYTES // 2)))
    assert not reader.wire.reads
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert reader.wire.reads
    reader.answer.data_received(LAST)
    assert await reading is None
    assert len(reader.got) == 3 * (AHEAD_BYTES // 2)


async def test_what_comes_is_taken_in_the_callback_that_brings_it():
    reader = Reader()
    reader.answer.data_received(CHUNKED)
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reader.answer.data_received(in_chunks(b"one"))
    assert reader.got == b"one"
    reader.answer.data_received(in_chunks(b"two", b"three"))
    assert reader.got == b"onetwothree"
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_who_is_cancelled_while_waiting_for_the_head_leaves_nothing_behind():
    reader = Reader()
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    reader.answer.data_received(SAID["chunks"])
    reader.answer.connection_lost(None)
    assert reader.got == b""


async def test_an_answer_on_a_connection_that_is_gone_is_broken_at_once():
    wire = Wire()
    wire.closed = True
    with pytest.raises(Broken):
        await HttpAnswer(wire, asyncio.get_running_loop()).begun()


async def test_its_state_can_be_read():
    reader, _ = await read(SAID["chunks"])
    assert repr(reader.answer) == "<HttpAnswer 200 over>"


async def test_what_comes_with_the_head_is_taken_in_that_same_turn():
    wire, got = Wire(), []
    answer = HttpAnswer(
        wire, asyncio.get_running_loop(), lambda answer: answer.take(lambda data: bool(got.append(data)))
    )
    answer.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    answer.data_received(b"3\r\ntwo\r\n0\r\n\r\n")
    assert got == [b"one", b"two"]
    await answer.begun()
    await answer.taken()
    assert answer.leaves_connection
