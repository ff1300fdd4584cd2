"""Videos on their way to be assets."""

import asyncio
import io
import os
from pathlib import Path

import pytest

from fanlight import Client, NotReady, Refused
from tests.fakes.service import Serving
from tests.fakes.upstream import Play
from tests.fanlight.peer import Line, Peer, answers, mute

READY = b'{"_id": "a1", "status": "ready"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(os.urandom(200_000))
    return path


async def test_a_path_or_an_open_file_is_uploaded_from_where_it_stands(serving: Serving, clip: Path):
    whole = clip.read_bytes()
    async with serving(Play([])) as service, Client(service.url) as client:
        service.upstream.paths = {"/v1.3/assets": Play([READY], 201, JSON)}
        with clip.open("rb") as file:
            file.seek(50_000)
            sources = [clip, str(clip), io.BytesIO(whole), file]
            for source, size in zip(sources, [200_000, 200_000, 200_000, 150_000], strict=True):
                told: list[tuple[int, int]] = []
                assert await client.upload(source, progress=lambda *sent, told=told: told.append(sent)) == "a1"
                body = service.upstream.seen[-1].body
                assert whole[-size:] in body
                assert (b'filename="clip.mp4"' in body) == (not isinstance(source, io.BytesIO))
                assert told[-1] == (size, size)
            assert not file.closed


async def test_what_is_no_file_is_an_os_error(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    async with Client("http://127.0.0.1:1") as client:
        for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
            with pytest.raises(OSError):
                await client.upload(path)


async def test_an_asset_that_is_never_ready_is_not_waited_for_for_ever(clip: Path):
    async with Peer(answers(200, b'{"_id": "a1", "status": "processing"}')) as peer, Client(peer.url) as client:
        with pytest.raises(NotReady, match="asset a1 is not ready") as left:
            await client.upload(clip, ready_s=0.3)
        assert left.value.asset == "a1"
        with pytest.raises(NotReady):
            await client.fetch("http://example.org/clip.mp4", ready_s=0.3)


async def test_an_asset_is_asked_for_until_it_is_ready_or_cannot_be(clip: Path):
    wait = answers(200, b'{"_id": "a/1", "status": "processing"}')
    async with Peer(wait, answers(200, b'{"_id": "a/1", "status": "ready"}')) as peer, Client(peer.url) as client:
        assert await client.upload(clip) == "a/1"
        assert peer.asked[1] == "GET /v1.3/assets/a%2F1"
    for error, code in ((b'{"code": "too_short"}', "too_short"), (b'"x"', "asset_failed"), (b"null", "asset_failed")):
        failed = answers(200, b'{"_id": "a1", "status": "failed", "error": ' + error + b"}")
        async with Peer(failed) as peer, Client(peer.url) as client:
            with pytest.raises(Refused, match=code):
                await client.upload(clip)


async def test_a_refusal_before_all_was_sent_is_heard(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0" * (32 << 20))

    async def refuses(line: Line, _head: str) -> None:
        body = b'{"code": "too_large"}'
        line.send(b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await mute(line, _head)

    async with Peer(refuses) as peer, Client(peer.url) as client:
        async with asyncio.timeout(20):
            with pytest.raises(Refused, match="too_large"):
                await client.upload(path)
