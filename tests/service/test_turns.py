"""Those who send much are served a little at a time, in the order of asking, and nobody else waits for them."""

import asyncio
from contextlib import asynccontextmanager

import orjson
from yarl import URL

from protocol.wire.websocket import accept_key
from service.web.turns import FRAMES, TURNS, Turns
from tests.fakes.outlets import FakeLoop
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Play, end, start, text

PARTS = [start(), text("one"), end()]
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


class Sender:
    def __init__(self, name: str, work: int, served: list[str]) -> None:
        self.name, self.work, self.served = name, work, served

    def take_turn(self) -> bool:
        self.served.append(self.name)
        self.work -= 1
        return self.work > 0


def test_one_who_asks_alone_is_served_at_once():
    served: list[str] = []
    Turns(FakeLoop()).ask(Sender("a", 1, served))
    assert served == ["a"]


def test_one_with_much_is_served_once_a_turn_of_the_loop():
    loop, served = FakeLoop(), []
    Turns(loop).ask(Sender("a", 3, served))
    counts = [len(served)]
    while loop.soon:
        loop.turn()
        counts.append(len(served))
    assert counts == [1, 2, 3]


def test_of_many_only_so_many_are_served_in_one_turn_and_all_in_their_order():
    loop, served = FakeLoop(), []
    turns = Turns(loop)
    names = [str(n) for n in range(3 * TURNS)]
    for name in names:
        turns.ask(Sender(name, 1, served))
    assert len(served) == TURNS
    loop.turn()
    assert len(served) == 2 * TURNS
    loop.run()
    assert served == names


def test_one_whose_turn_fails_does_not_make_the_others_wait_for_ever():
    class Fails(Sender):
        def take_turn(self) -> bool:
            raise RuntimeError("scripted")

    loop, served = FakeLoop(), []
    turns = Turns(loop)
    for n in range(3 * TURNS):
        turns.ask((Fails if n == TURNS else Sender)(str(n), 1, served))
    loop.run()
    assert served == [str(n) for n in range(3 * TURNS) if n != TURNS]


def test_one_who_asks_again_while_it_waits_is_served_once():
    loop, served = FakeLoop(), []
    turns = Turns(loop)
    for n in range(TURNS):
        turns.ask(Sender(str(n), 1, served))
    late = Sender("late", 1, served)
    turns.ask(late)
    turns.ask(late)
    loop.run()
    assert served.count("late") == 1


def test_after_a_quiet_turn_everybody_is_served_at_once_again():
    loop, served = FakeLoop(), []
    turns = Turns(loop)
    for n in range(TURNS):
        turns.ask(Sender(str(n), 1, served))
    loop.run()
    turns.ask(Sender("next", 1, served))
    assert served[-1] == "next"


# -- over real sockets


def frame(first: int, payload: bytes = b"") -> bytes:
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + b"\0\0\0\0" + payload


@asynccontextmanager
async def opened(service: Service, path: str = "/v1/ws"):
    """A socket whose frames the test writes and reads itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(service.url).port)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode())
    assert accept_key(KEY).encode() in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await asyncio.wait_for(reader.readexactly(2), 5)
    return first & 0x0F, await asyncio.wait_for(reader.readexactly(size), 5)


async def test_everything_in_a_flood_is_answered_in_order(serving: Serving):
    async with serving(Play(PARTS)) as service, opened(service) as (reader, writer):
        count = 20 * FRAMES
        writer.write(b"".join(frame(0x81, orjson.dumps({"type": "ping", "ref": n})) for n in range(count)))
        assert [orjson.loads((await read_frame(reader))[1])["ref"] for _ in range(count)] == list(range(count))


async def test_of_pings_that_come_together_the_latest_is_answered(serving: Serving):
    async with serving(Play(PARTS)) as service, opened(service) as (reader, writer):
        count = 3 * FRAMES
        writer.write(b"".join(frame(0x89, str(n).encode()) for n in range(count)))
        pongs = []
        while not pongs or pongs[-1] != str(count - 1).encode():
            opcode, payload = await read_frame(reader)
            assert opcode == 0xA
            pongs.append(payload)
        assert len(pongs) <= count // FRAMES + 1


async def test_a_socket_that_was_refused_closes_when_the_peer_does_and_reads_nothing_else(serving: Serving):
    async with serving(Play(PARTS), api_keys={"0" * 64: "anna"}) as service:
        for said in (frame(0x88, (1000).to_bytes(2, "big")), b"no frame at all", frame(0x81, b'{"type":"ping"}') * 99):
            async with opened(service) as (reader, writer):
                assert await read_frame(reader) == (8, (4401).to_bytes(2, "big") + b"unauthenticated")
                writer.write(said)
                if said[0] != 0x88:
                    writer.write_eof()
                assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_a_frame_that_breaks_the_rules_is_the_last_that_is_read(serving: Serving):
    async with serving(Play(PARTS)) as service, opened(service) as (reader, writer):
        good = frame(0x81, b'{"type":"ping"}')
        writer.write(good + frame(0x81 | 0x40, b"x") + good)
        assert await read_frame(reader) == (1, b'{"type":"pong"}')
        opcode, payload = await read_frame(reader)
        assert (opcode, payload[:2]) == (8, (1002).to_bytes(2, "big"))


async def test_a_close_frame_of_one_byte_and_a_reason_that_is_no_utf_8_break_the_rules(serving: Serving):
    async with serving(Play(PARTS)) as service:
        for payload, code in ((b"\x03", 1002), (b"\x03\xe8\xff", 1007), (b"\x03\xec", 1002)):
            async with opened(service) as (reader, writer):
                writer.write(frame(0x88, payload))
                assert (await read_frame(reader))[1][:2] == code.to_bytes(2, "big")
