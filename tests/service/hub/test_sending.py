"""One contract for both loops that write a frame to many sockets, and the fan-out over real ones."""

import asyncio
import socket
from array import array

import orjson
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from protocol.upstream.events import StreamEnd
from protocol.wire.frames import NDJSON
from service.hub import audience, sending
from service.web.connection import BodyConnection, Connections
from tests.fakes.outlets import FakeLoop, make_stream
from tests.fakes.waiting import until

PURE = sending.send_row is sending.send_row_in_python
LOOPS = [
    pytest.param(sending.send_row_in_python, id="python"),
    pytest.param(sending.send_row, id="c", marks=pytest.mark.skipif(PURE, reason="built without a compiler")),
]


@pytest.fixture(params=LOOPS)
def send_row(request):
    return request.param


class Pairs:
    """Connected sockets: ours do not block, theirs are read by the test."""

    def __init__(self, count: int) -> None:
        self.pairs = [socket.socketpair() for _ in range(count)]
        for ours, theirs in self.pairs:
            ours.setblocking(False)
            theirs.setblocking(False)

    def __enter__(self) -> "Pairs":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pair in self.pairs:
            for end in pair:
                end.close()

    @property
    def fds(self) -> "array[int]":
        return array("i", [ours.fileno() for ours, _ in self.pairs])

    def fill(self, seat: int) -> int:
        """Write until the kernel has no room; how many bytes that took."""
        taken = 0
        try:
            while True:
                taken += self.pairs[seat][0].send(b"." * 4096)
        except BlockingIOError:
            return taken

    def read(self, seat: int) -> bytes:
        got = b""
        try:
            while data := self.pairs[seat][1].recv(1 << 20):
                got += data
        except BlockingIOError:
            pass
        return got


def test_everybody_is_written_the_same_bytes(send_row):
    with Pairs(3) as pairs:
        assert send_row(pairs.fds, 0, 3, b"hello") == []
        assert [pairs.read(seat) for seat in range(3)] == [b"hello"] * 3


def test_only_the_seats_that_were_asked_for_are_written(send_row):
    with Pairs(4) as pairs:
        assert send_row(pairs.fds, 1, 3, b"x") == []
        assert [pairs.read(seat) for seat in range(4)] == [b"", b"x", b"x", b""]
        assert send_row(pairs.fds, 2, 2, b"x") == []


def test_a_seat_without_a_socket_took_nothing(send_row):
    with Pairs(2) as pairs:
        fds = pairs.fds
        fds.insert(1, -1)
        assert send_row(fds, 0, 3, b"x") == [(1, 0)]
        assert pairs.read(1) == b"x"


def test_a_full_socket_is_told_and_holds_up_nobody(send_row):
    with Pairs(3) as pairs:
        pairs.fill(1)
        assert send_row(pairs.fds, 0, 3, b"x") == [(1, 0)]
        assert pairs.read(0) == pairs.read(2) == b"x"


def test_a_socket_that_takes_a_part_tells_how_much(send_row):
    big = bytes(range(256)) * (1 << 16)
    with Pairs(1) as pairs:
        ((seat, sent),) = send_row(pairs.fds, 0, 1, big)
        assert (seat, 0 < sent < len(big)) == (0, True)
        assert pairs.read(0) == big[:sent]


def test_a_broken_socket_took_nothing_and_raises_nothing(send_row):
    with Pairs(3) as pairs:
        pairs.pairs[1][1].close()
        assert send_row(pairs.fds, 0, 3, b"x") == [(1, 0)]
        assert pairs.read(2) == b"x"


def test_seats_that_do_not_exist_are_an_error(send_row):
    with Pairs(1) as pairs, pytest.raises(IndexError):
        send_row(pairs.fds, 0, 2, b"x")


@given(full=st.sets(st.integers(0, 5)), missing=st.sets(st.integers(0, 5)), size=st.integers(1, 100))
def test_both_loops_answer_alike(full, missing, size):
    answers = []
    for send_row in (sending.send_row_in_python, sending.send_row):
        with Pairs(6) as pairs:
            for seat in full:
                pairs.fill(seat)
            fds = pairs.fds
            for seat in missing:
                fds[seat] = -1
            answers.append((send_row(fds, 0, 6, b"x" * size), [len(pairs.read(seat)) for seat in range(6)]))
    assert answers[0] == answers[-1]
    assert answers[0][0] == [(seat, 0) for seat in range(6) if seat in full | missing]


class Reader:
    """The far end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.bytes = bytearray()

    async def read_some(self) -> bool:
        """Read what is there, or wait for it; False at the end."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        self.bytes += data
        return bool(data)

    @property
    def messages(self) -> list[dict]:
        return [orjson.loads(line) for line in self.bytes.split(b"\n")[:-1]]


async def connect(connections: Connections, *, small: bool) -> tuple[BodyConnection, Reader]:
    ours, theirs = socket.socketpair()
    if small:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    loop = asyncio.get_running_loop()
    connection = BodyConnection(connections, NDJSON[False], chunked=False)
    await loop.connect_accepted_socket(lambda: connection, ours)
    return connection, Reader(theirs)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_quick_and_slow_readers_of_real_sockets_are_exact_at_the_end(send_row, monkeypatch, run):
    monkeypatch.setattr(audience, "send_row", send_row)
    run(quick_and_slow_readers())


async def quick_and_slow_readers() -> None:
    connections, loop = Connections(1 << 16, 15.0), FakeLoop()
    stream = make_stream(loop)
    outlets, readers = zip(*[await connect(connections, small=seat % 2 == 1) for seat in range(8)], strict=True)
    subscribers = [stream.attach(outlet, "text", None) for outlet in outlets]
    for n in range(200):
        stream.run.take([f"{n} " + "ä" * (n % 70)])
        loop.run()
        # Who sits in the row has nothing waiting: what is written past the transport overtakes nothing.
        seated = [outlet for outlet, reader in zip(outlets, subscribers, strict=True) if reader.index >= 0]
        assert not any(outlet.waiting_bytes for outlet in seated)
        if n % 20 == 0:
            await asyncio.gather(*(reader.read_some() for reader in readers))
    slow = [outlet.paused for outlet in outlets]
    assert any(slow)
    assert not all(slow)
    stream.run.finish(None, now=0.0, end=StreamEnd({"event_type": "stream_end", "finish_reason": "stop"}))
    loop.run()
    for reader in readers:
        while await reader.read_some():
            pass
        first, *deltas, end = reader.messages
        assert (first["type"], end["type"]) == ("attached", "end")
        assert "".join(delta["text"] for delta in deltas) == stream.run.log.slice(0, stream.run.log.size)
        reader.sock.close()
    assert not len(connections)


async def test_who_leaves_is_never_written_again(send_row, monkeypatch):
    monkeypatch.setattr(audience, "send_row", send_row)
    connections, loop = Connections(1 << 16, 15.0), FakeLoop()
    stream = make_stream(loop)
    leaver, far = await connect(connections, small=False)
    stayer, near = await connect(connections, small=False)
    for outlet in (leaver, stayer):
        stream.attach(outlet, "text", None)
    stream.run.take(["a"])
    leaver.drop()
    await until(lambda: leaver not in connections.open())
    # Its descriptor may be another's by now.
    assert leaver.fd == -1
    stream.run.take(["b"])
    assert (await near.read_some(), len(near.messages)) == (True, 3)
    far.sock.close()
    stayer.drop()
    await connections.gone(5)
    near.sock.close()


async def test_a_peer_that_takes_a_little_is_seen_to_take_it(monkeypatch):
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    listener.close()
    connections = Connections(1 << 16, 15.0)
    connection = BodyConnection(connections, NDJSON[False], chunked=False)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    connection.write(b"x" * (16 << 20))
    assert connection.paused
    waiting, untaken = connection.waiting_bytes, connection.untaken_bytes
    assert untaken > waiting
    while connection.untaken_bytes == untaken:
        # The kernel has no room for more yet: what waits here does not move.
        near.recv(4096)
    assert connection.untaken_bytes < untaken
    connection.drop()
    await connections.gone(5)
    near.close()
