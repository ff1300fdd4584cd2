"""Clocks and leaving: nothing waits for ever, and nothing is left behind."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanlight import Client, Delta, Ending, Refused, Unreachable
from fanlight.link import Link
from tests.fakes.waiting import until
from tests.fanlight.peer import Act, Line, Peer, answers, attached, delta, end, gone, mute, says

# Where a wait has no end of its own it is longer: aiohttp waits 10 s for the answer to a close.
PATIENCE_S = 5.0


async def for_ever(_seconds: float) -> None:
    await asyncio.Event().wait()


async def at_once(_seconds: float) -> None:
    """Pauses between attempts take no time in tests."""


async def shown(client: Client, **settings) -> str:
    return "".join([m.text async for m in client.watch("st_x", **settings) if isinstance(m, Delta)])


@asynccontextmanager
async def nothing_left(peer: Peer) -> AsyncIterator[None]:
    """Whatever is done within leaves no task and no socket, in time."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(PATIENCE_S):
        yield
        await until(lambda: not peer.clients())
        # The peer's own begin before it knows of them.
        await until(lambda: not {task for task in asyncio.all_tasks() - before - peer.tasks if not task.done()})


# -- clocks


async def test_a_connection_that_is_open_and_dead_is_taken_up_again_with_the_cursor():
    rest = [attached("two", mode="suffix", **{"from": 3}), end("onetwo")]
    async with Peer(says(attached("one")), says(*rest)) as peer, nothing_left(peer):
        async with Client(peer.url, silence_s=0.2, sleep=at_once) as client:
            assert await shown(client) == "onetwo"
        assert peer.asked == ["GET /v1/streams/st_x/ws?view=text", "GET /v1/streams/st_x/ws?view=text&cursor=1.3"]


async def test_a_handshake_that_is_never_answered_is_tried_again():
    async with Peer(mute, says(attached("one"), end("one"))) as peer, nothing_left(peer):
        async with Client(peer.url, silence_s=0.2, sleep=at_once) as client:
            assert await shown(client) == "one"


async def test_a_quiet_connection_whose_peer_answers_is_kept():
    async def pongs(line: Line, _head: str) -> None:
        for _ in range(5):
            await line.reader.readexactly(6)  # a ping, masked and empty
            line.frame(b"", 0xA)
        line.say(delta(3, "two"), end("onetwo"))
        await line.until_gone()

    async with Peer(says(attached("one"), then=pongs)) as peer, nothing_left(peer):
        async with Client(peer.url, silence_s=0.3, sleep=at_once) as client:
            assert await shown(client) == "onetwo"
        assert len(peer.heads) == 1


async def test_a_connection_whose_peer_pings_is_kept():
    async def pings(line: Line, _head: str) -> None:
        for n in range(5):
            line.frame(b"%d" % n, 0x9)
            assert (await line.reader.readexactly(7))[0] & 0x0F in (0x9, 0xA)
        line.say(end("one"))
        await line.until_gone()

    async with Peer(says(attached("one"), then=pings)) as peer, nothing_left(peer):
        async with Client(peer.url, sleep=at_once) as client:
            assert await shown(client) == "one"


async def test_a_peer_that_pings_and_reads_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    made = Link._made

    def small(link: Link, info: Any) -> socket.socket:
        """What is not taken backs up at once, and not after megabytes."""
        sock = made(link, info)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 12)
        return sock

    monkeypatch.setattr(Link, "_made", small)

    async def floods(line: Line, _head: str) -> None:
        # In one write: what is sent to who has left is complained of each time.
        while line.is_open:
            line.send((b"\x89\x7d" + b"x" * 125) * 200)
            await line.drain()
            await asyncio.sleep(0)

    rest = says(attached("two", mode="suffix", **{"from": 3}), end("onetwo"))
    async with Peer(says(attached("one"), then=floods), rest) as peer, nothing_left(peer):
        async with Client(peer.url, silence_s=0.5, sleep=at_once) as client:
            assert await shown(client) == "onetwo"


async def half(line: Line, _head: str) -> None:
    """Begin an answer, and stay."""
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await mute(line, _head)


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "call": lambda client: client.call("GET", "/v1/streams"),
    "start": lambda client: client.start({"prompt": "p"}),
    "cancel": lambda client: client.cancel("st_x"),
    "fetch": lambda client: client.fetch("http://example.org/clip.mp4"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("act", [mute, half, gone])
async def test_a_call_that_is_not_answered_is_unreachable(call: Callable[[Client], Awaitable[object]], act: Act):
    async with Peer(act) as peer, nothing_left(peer):
        async with Client(peer.url, answer_s=0.2) as client:
            with pytest.raises(Unreachable):
                await call(client)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_to_nobody_is_unreachable(call: Callable[[Client], Awaitable[object]]):
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 could not be reached"):
            await call(client)


async def test_a_call_that_asks_the_service_to_wait_has_that_time_on_top():
    async def later(line: Line, _head: str) -> None:
        await asyncio.sleep(0.3)  # longer than the clock of other calls
        await line.answer(200, b"{}")

    async with Peer(later) as peer, Client(peer.url, answer_s=0.1) as client:
        assert await client.call("GET", "/v1/streams/st_x?wait=20") == {}
        assert await client.call("GET", "/v1/streams/st_x", params={"wait": "20"}) == {}
        assert await client.call("GET", "/v1/streams/st_x", answer_s=20.0) == {}
        with pytest.raises(Unreachable):
            await client.call("GET", "/v1/streams/st_x?wait=never")


# -- uploads


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file that no socket takes at once."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0" * (32 << 20))
    return path


async def test_an_upload_may_take_any_time_as_long_as_bytes_move(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0" * (8 << 20))
    stall_s = 1.0
    took = 0.0

    async def slow(line: Line, _head: str) -> None:
        nonlocal took
        began = asyncio.get_running_loop().time()
        tail = b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            tail = (tail + await line.reader.read(1 << 16))[-16:]
            await asyncio.sleep(0.01)
        took = asyncio.get_running_loop().time() - began
        await line.answer(200, b'{"_id": "a1", "status": "ready"}')

    async with Peer(slow) as peer, Client(peer.url, answer_s=1.0) as client:
        told: list[tuple[int, int]] = []
        assert await client.upload(path, progress=lambda *sent: told.append(sent), stall_s=stall_s) == "a1"
    assert took > stall_s  # else it shows nothing
    assert told == sorted(told)
    assert told[-1] == (8 << 20, 8 << 20)


async def test_an_upload_that_nobody_takes_is_given_up(clip: Path):
    async with Peer(mute) as peer, nothing_left(peer), Client(peer.url) as client:
        with pytest.raises(Unreachable, match="did not answer in time"):
            await client.upload(clip, stall_s=0.3)


@pytest.mark.parametrize("leave", ["cancel", "client"])
async def test_an_upload_can_be_left(clip: Path, leave: str):
    async with Peer(mute) as peer, nothing_left(peer), Client(peer.url) as client:
        moving = asyncio.Event()
        upload = asyncio.create_task(client.upload(clip, progress=lambda sent, size: moving.set()))
        await moving.wait()
        if leave == "cancel":
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload
        else:
            await client.__aexit__(None, None, None)
            with pytest.raises(Unreachable, match="the client was left"):
                await upload


# -- leaving

ACTS: dict[str, Act] = {
    "connecting": mute,
    "waiting for the first frame": says(),
    "waiting for a frame": says(attached("one")),
    "pausing": answers(502),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("leave", ["cancel", "client"])
async def test_whoever_watches_can_stop_at_once(act: Act, leave: str):
    pausing = asyncio.Event()

    async def pause(seconds: float) -> None:
        pausing.set()
        await for_ever(seconds)

    heard = []

    async def read(client: Client) -> None:
        async for message in client.watch("st_x"):
            heard.append(message)

    async with Peer(act) as peer, nothing_left(peer):
        async with Client(peer.url, sleep=pause) as client:
            reading = asyncio.create_task(read(client))
            await peer.begun.wait()
            if act is ACTS["waiting for a frame"]:
                await until(lambda: heard)
            elif act is ACTS["pausing"]:
                await pausing.wait()
            if leave == "cancel":
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
        if leave == "client":
            with pytest.raises(Unreachable, match="the client was left"):
                await reading
        assert len(heard) == (act is ACTS["waiting for a frame"])


async def test_an_iterator_that_is_closed_closes_its_connection():
    async with Peer(says(attached("one"))) as peer, Client(peer.url) as client:
        async with nothing_left(peer):
            messages = client.watch("st_x")
            assert (await anext(messages)).text == "one"
            await messages.aclose()
            assert [message async for message in messages] == []


async def test_a_peer_that_closes_is_answered_and_not_waited_for():
    async def closes(line: Line, _head: str) -> None:
        line.frame((1000).to_bytes(2, "big"), 0x8)
        assert (await line.reader.readexactly(8))[0] == 0x88
        await mute(line, _head)

    async with Peer(says(attached("one"), end("one"), then=closes)) as peer, Client(peer.url) as client:
        async with nothing_left(peer):
            assert await shown(client) == "one"


async def test_a_client_that_was_left_serves_no_more():
    async with Client("http://127.0.0.1:1") as client:
        pass
    for call in CALLS.values():
        with pytest.raises(Unreachable, match="the client was left"):
            await call(client)
    with pytest.raises(Unreachable, match="the client was left"):
        await anext(client.watch("st_x"))


async def test_a_client_outside_its_context_says_so():
    with pytest.raises(RuntimeError, match="outside its context"):
        await Client().start({"prompt": "p"})


# -- analyses

STARTED = answers(201, b'{"id": "st_x"}')


def cancelled(peer: Peer) -> bool:
    return peer.asked[-1] == "DELETE /v1/streams/st_x"


async def test_an_analysis_that_ends_is_not_cancelled():
    async with Peer(STARTED, says(attached("one"), end("one"))) as peer, nothing_left(peer):
        async with Client(peer.url) as client, client.analysis({"prompt": "p"}) as analysis:
            assert analysis.stream == "st_x"
            assert isinstance([message async for message in analysis][-1], Ending)
            assert analysis.ending.status == "completed"
        assert not cancelled(peer)


@pytest.mark.parametrize("cancel", [True, False])
async def test_an_analysis_that_is_left_before_its_end_is_cancelled_unless_it_may_go_on(cancel: bool):
    async with Peer(STARTED, says(attached("one")), answers(202, b"{}")) as peer, nothing_left(peer):
        async with Client(peer.url) as client, client.analysis({"prompt": "p"}, cancel=cancel) as analysis:
            async for _ in analysis:
                break
        assert cancelled(peer) == cancel


async def test_an_analysis_that_is_left_by_an_exception_is_cancelled():
    async with Peer(STARTED, says(attached("one")), answers(202, b"{}")) as peer, nothing_left(peer):
        with pytest.raises(ZeroDivisionError):
            async with Client(peer.url) as client, client.analysis({"prompt": "p"}) as analysis:
                async for _ in analysis:
                    raise ZeroDivisionError
        assert cancelled(peer)


async def analyse(url: str, heard: asyncio.Event) -> None:
    async with Client(url) as client, client.analysis({"prompt": "p"}) as analysis:
        async for _ in analysis:
            heard.set()


@pytest.mark.parametrize("last", [answers(202, b"{}"), answers(409, b'{"code": "shared"}'), mute, gone])
async def test_an_analysis_whose_task_is_cancelled_is_cancelled_in_bounded_time(last: Act):
    async with Peer(STARTED, says(attached("one")), last) as peer, nothing_left(peer):
        heard = asyncio.Event()
        task = asyncio.create_task(analyse(peer.url, heard))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled(peer)


async def test_an_analysis_that_is_cancelled_while_it_starts_is_cancelled_once_it_has_a_name():
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def late(line: Line, _head: str) -> None:
        asked.set()
        await go_on.wait()
        await line.answer(201, b'{"id": "st_x"}')

    async with Peer(late, answers(202, b"{}")) as peer, nothing_left(peer):
        task = asyncio.create_task(analyse(peer.url, asyncio.Event()))
        await asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled(peer)


@pytest.mark.parametrize("cancel", [True, False])
async def test_an_analysis_that_is_cancelled_while_nobody_answers_its_start_leaves_nothing(cancel: bool):
    async with Peer(mute) as peer, nothing_left(peer), Client(peer.url) as client:

        async def begin() -> None:
            async with client.analysis({"prompt": "p"}, cancel=cancel):
                raise AssertionError

        task = asyncio.create_task(begin())
        await peer.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_analysis_that_is_refused_says_why():
    async with Peer(answers(400, b'{"code": "option_invalid"}')) as peer, Client(peer.url) as client:
        with pytest.raises(Refused, match="option_invalid"):
            async with client.analysis({"prompt": "p"}):
                raise AssertionError
        assert len(peer.heads) == 1
