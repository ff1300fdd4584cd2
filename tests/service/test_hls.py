"""Captions for players of HTTP Live Streaming, beside the video's own playlist at the upstream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Play
from tests.fakes.videos import ASSET, INDEX, VIDEO, VideoUpstream, video_upstream
from tests.fakes.waiting import until
from tests.protocol.captions.test_hls import packet, pes

MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlow/index.m3u8\n"
BESIDE = "../../../v1.3/hls"


@asynccontextmanager
async def streaming(serving: Serving, **settings: Any) -> AsyncIterator[tuple[Service, VideoUpstream]]:
    """The service in front of an upstream with a video."""
    async with video_upstream() as upstream, serving(Play([]), upstream_url=upstream.url, **settings) as service:
        yield service, upstream


async def get(service: Service, path: str, status: int = 200) -> str:
    async with service.http.get(f"{service.url}/v1/streams/{path}") as answer:
        body = await answer.text()
        assert answer.status == status, body
        kind = "text/vtt" if ".vtt" in path else "application/vnd.apple.mpegurl"
        assert answer.content_type == (kind if status == 200 else "application/json")
        return body


async def refused(service: Service, path: str, status: int = 404) -> str:
    body = await get(service, path, status)
    assert f'"code":"{"not_found" if status == 404 else "invalid_request"}"' in body
    return body


async def test_a_video_of_an_index_is_played_with_captions_beside_it(serving: Serving):
    async with streaming(serving) as (service, upstream):
        upstream.row = {"system_metadata": {"size": 1450, "duration": 14.5, "width": 640, "height": 360}}
        upstream.files["t/0.ts"] = packet(pes(0xE0, 126_000))
        assert (await get(service, f"{await service.start(video_id=VIDEO)}/master.m3u8")).splitlines() == [
            "#EXTM3U",
            '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="Captions",DEFAULT=YES,AUTOSELECT=YES,'
            'URI="captions.m3u8?zero=126000&duration=14.500"',
            '#EXT-X-STREAM-INF:BANDWIDTH=800,RESOLUTION=640x360,SUBTITLES="captions"',
            f"{BESIDE}/t/index.m3u8",
        ]
        async with service.http.get(f"{service.url}/v1.3/hls/t/index.m3u8") as answer:
            assert await answer.read() == upstream.files["t/index.m3u8"]


async def test_the_variants_of_a_master_playlist_stay(serving: Serving):
    async with streaming(serving) as (service, upstream):
        upstream.files = {"t/index.m3u8": MASTER.encode(), "t/low/index.m3u8": b"#EXTM3U\n#EXTINF:4,\n0.ts\n"}
        body = await get(service, f"{await service.start(video_id=VIDEO)}/master.m3u8")
        assert body.splitlines()[-2:] == [
            '#EXT-X-STREAM-INF:BANDWIDTH=9,SUBTITLES="captions"',
            f"{BESIDE}/t/low/index.m3u8",
        ]
        assert "zero=0&duration=4.000" in body  # its segment is gone


async def test_an_asset_is_found_in_its_index(serving: Serving):
    async with streaming(serving) as (service, upstream):
        stream = await service.start(video_id=None, video={"type": "asset_id", "asset_id": ASSET})
        await get(service, f"{stream}/master.m3u8")
        assert upstream.asked[:2] == [f"/assets/{ASSET}/indexed-assets", f"/indexes/{INDEX}/indexed-assets/{VIDEO}"]


async def test_captions_grow_with_the_stream_until_it_ends(serving: Serving):
    async with streaming(serving) as (service, upstream):
        stream = await service.start(video_id=VIDEO)
        playlist = f"{stream}/captions.m3u8?zero=126000&duration=14.5"
        assert "#EXT-X-PLAYLIST-TYPE:EVENT" in await get(service, playlist)
        await refused(service, f"{stream}/captions/1.vtt?duration=14.5")
        upstream.say("[00:01] A red car.\n[00:04] It turns.\n[00:07] It stops.\n[00:08] Over")
        segment = "captions/1.vtt?zero=126000&duration=14.500"

        (run,) = [stream.run for stream in service.hub.list("local")]
        await until(lambda: run.log.size)
        body = await get(service, playlist)
        assert body.endswith(f"#EXTINF:5.999,\n{segment}\n")
        assert await get(service, f"{stream}/{segment}") == (
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:126000,LOCAL:00:00:00.000\n\n"
            "c0\n00:00:01.000 --> 00:00:04.000\nA red car.\n\nc18\n00:00:04.000 --> 00:00:07.000\nIt turns.\n\n"
        )
        upstream.end()
        await service.show(stream, "?wait=10")
        body = await get(service, playlist)
        assert "#EXT-X-PLAYLIST-TYPE:VOD" in body
        assert body.endswith("captions/3.vtt?zero=126000&duration=14.500\n#EXT-X-ENDLIST\n")
        assert "It turns." in await get(service, f"{stream}/captions/2.vtt?duration=14.5")
        await refused(service, f"{stream}/captions/4.vtt?duration=14.5")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?duration=0",
        "?duration=-1",
        "?duration=nan",
        "?duration=90000",
        "?duration=9&zero=x",
        "?duration=9&zero=8589934592",
    ],
)
async def test_an_address_that_no_master_playlist_gave_is_refused(serving: Serving, query: str):
    async with streaming(serving) as (service, _):
        stream = await service.start(video_id=VIDEO)
        await refused(service, f"{stream}/captions.m3u8{query}", 400)
        await refused(service, f"{stream}/captions/0.vtt{query}", 400)


@pytest.mark.parametrize(
    ("members", "row", "why"),
    [
        ({"video_id": None, "video": {"type": "url", "url": "https://a.example/b.mp4"}}, {}, "it is in no index"),
        ({"video_id": "v2"}, {}, "it is in no index"),
        ({"video_id": "../tasks"}, {}, "it is in no index"),
        ({"video_id": VIDEO}, {"hls": None}, "without enable_video_stream"),
        ({"video_id": VIDEO}, {"hls": {"status": "PROCESSING"}}, "not ready, or failed"),
    ],
)  # fmt: skip
async def test_a_video_without_a_playlist_is_refused_in_words(serving: Serving, members, row, why):
    async with streaming(serving) as (service, upstream):
        upstream.row = row
        assert why in await refused(service, f"{await service.start(**members)}/master.m3u8")
        await refused(service, "st_none/master.m3u8")


@pytest.mark.parametrize("files", [{}, {"t/index.m3u8": b"<html>"}])
async def test_a_playlist_that_cannot_be_read_is_refused(serving: Serving, files: dict[str, bytes]):
    async with streaming(serving) as (service, upstream):
        upstream.files = files
        assert "cannot be read" in await refused(service, f"{await service.start(video_id=VIDEO)}/master.m3u8")


@pytest.mark.parametrize(
    "address",
    [
        "https://cdn.example/x.m3u8",
        "//cdn.example/x",
        "/v1/x",
        "../../../../x",
        "%2e%2e/x",
        "x%2f..%2fy",
        "a\\b",
        'a"b',
        "a\tb c",
    ],
)
@pytest.mark.parametrize("where", ["row", "variant", "segment"])
async def test_nothing_is_fetched_or_named_but_what_the_upstream_has(serving: Serving, address: str, where: str):
    async with streaming(serving) as (service, upstream):
        files = {"t/index.m3u8": MASTER, "t/low/index.m3u8": "#EXTM3U\n#EXTINF:4,\n0.ts\n"}
        if where == "row":
            own = address if ":" in address else f"{upstream.url}/hls/{address}"
            upstream.row = {"hls": {"status": "COMPLETE", "video_url": own}}
        elif where == "variant":
            files["t/index.m3u8"] = MASTER.replace("low/index.m3u8", address)
        else:
            files["t/low/index.m3u8"] = files["t/low/index.m3u8"].replace("0.ts", address)
        upstream.files = {name: text.encode() for name, text in files.items()}
        await refused(service, f"{await service.start(video_id=VIDEO)}/master.m3u8")
