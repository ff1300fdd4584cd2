"""The client for programs without asyncio."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fanlight import Delta, Ending, Refused, Unreachable
from fanlight.sync import Client
from tests.fakes.service import Serving
from tests.fakes.upstream import Play, end, start, text
from tests.fakes.waiting import until
from tests.fanlight.peer import Peer, answers, attached, says
from tests.fanlight.peer import end as told_end

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")


async def beside(work: Callable[[], T]) -> T:
    """Run a program without asyncio in a thread, so that the peer goes on."""
    return await asyncio.wait_for(asyncio.to_thread(work), 20)


async def test_a_stream_is_started_watched_and_cancelled(serving: Serving):
    async with serving(Play([start(), text("abc"), end()])) as service:

        def program() -> list[object]:
            with Client(service.url) as client:
                stream = client.start({"prompt": "p"}, {"join": "never"})
                told = list(client.watch(stream))
                client.cancel(stream)
                assert client.call("GET", f"/v1/streams/{stream}")["status"] == "completed"
                return told

        told = await beside(program)
        assert "".join(m.text for m in told if isinstance(m, Delta)) == "abc"
        assert isinstance(told[-1], Ending)


async def test_a_video_is_uploaded_or_fetched(tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    async with Peer(answers(201, b'{"_id": "a1", "status": "ready"}')) as peer:

        def program() -> tuple[str, str]:
            with Client(peer.url) as client, open(tmp_path / "clip.mp4", "rb") as file:
                return client.upload(file), client.fetch("http://example.org/clip.mp4")

        assert await beside(program) == ("a1", "a1")


async def test_faults_come_as_they_are():
    async with Peer(answers(404)) as peer:

        def program() -> None:
            with Client(peer.url) as client, pytest.raises(Refused, match="not_found"):
                list(client.watch("st_x"))
            with Client("http://127.0.0.1:1") as client, pytest.raises(Unreachable):
                client.start({"prompt": "p"})

        await beside(program)


async def test_leaving_a_loop_early_closes_its_connection():
    async with Peer(says(attached("one"))) as peer:
        left, go_on = threading.Event(), threading.Event()

        def program() -> None:
            with Client(peer.url) as client:
                for message in client.watch("st_x"):
                    assert message.text == "one"
                    break
                left.set()
                go_on.wait(20)

        running = asyncio.create_task(beside(program))
        await until(left.is_set)
        await until(lambda: not peer.clients())
        go_on.set()
        await running


async def test_an_iterator_that_outlives_its_client_is_over():
    async with Peer(says(attached("one"))) as peer:

        def program() -> list[object]:
            with Client(peer.url) as client:
                told = client.watch("st_x")
                next(told)
            told.close()
            return list(told)

        assert await beside(program) == []
        await until(lambda: not peer.clients())


PROGRAM = """
import sys
from fanlight.sync import Client
try:
    with Client(sys.argv[1]) as client:
        for message in client.watch("st_x"):
            print(message.text, flush=True)
        print("over")
except KeyboardInterrupt:
    print("interrupted")
"""


async def test_ctrl_c_ends_a_wait():
    async with Peer(says(attached("one"))) as peer:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, peer.url, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        assert await asyncio.wait_for(child.stdout.readline(), 20) == b"one\n"
        child.send_signal(signal.SIGINT)
        out, _ = await asyncio.wait_for(child.communicate(), 20)
        assert out == b"interrupted\n"


async def test_a_slow_reader_misses_nothing():
    """Between two messages the loop stands still: what came meanwhile is there, or comes again."""
    rest = says(attached("two", mode="suffix", **{"from": 3}), told_end("onetwo"))
    async with Peer(says(attached("one")), rest) as peer:

        def program() -> str:
            text = ""
            with Client(peer.url, silence_s=0.2) as client:
                for message in client.watch("st_x"):
                    text += getattr(message, "text", "")
                    threading.Event().wait(0.4)
            return text

        assert await beside(program) == "onetwo"
