"""Every method of the official SDK through the service: what the upstream gets is what it would get directly."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
from pydantic import ValidationError
from twelvelabs import AsyncTwelveLabs
from twelvelabs.core.api_error import ApiError
from twelvelabs.types import CompletedChunk, VideoContext_Url

from tests.fakes.service import Serving
from tests.fakes.upstream import Play, ScriptedServer, Seen

KEY = "tlk_test"
PAGE = {"page": 2, "page_limit": 50}
FILE = ("clip ü.mp4", b"\0\xff\r\n--" * 50_000, "video/mp4")
# An id that must stay encoded wherever it stands in a path.
ODD = "a/b c?ü%2F"
RANGE = {"duration": 12.5, "width": 640, "height": 360, "filename": "a b&c=d"}
INDEXED = {"index_id": "i1", **PAGE, **RANGE, "fps": 25.0, "size": 10.0, "created_at": "2026-01-01T00:00:00Z"}
# Analyze itself goes through the hub; its tests are elsewhere. The other 58, with telling arguments:
CALLS: dict[str, dict[str, Any]] = {
    "tasks.list": {**PAGE, **RANGE, "index_id": "i1", "status": ["ready", "failed"], "sort_by": "created_at"},
    "tasks.create": {"index_id": "i1", "video_file": FILE, "enable_video_stream": True, "user_metadata": '{"a":1}'},
    "tasks.retrieve": {"task_id": ODD},
    "tasks.delete": {"task_id": "t1"},
    "indexes.list": {**PAGE, "index_name": "x y", "model_options": "visual,audio", "model_family": "marengo"},
    "indexes.create": {"index_name": "n", "models": [{"model_name": "marengo3.0", "model_options": ["visual"]}]},
    "indexes.retrieve": {"index_id": ODD},
    "indexes.update": {"index_id": "i1", "index_name": "Größe"},
    "indexes.delete": {"index_id": "i1"},
    "assets.list": {**PAGE, "asset_ids": ["a1", "a2"], "asset_types": ["video", "audio"]},
    "assets.create": {"method": "direct", "file": FILE, "filename": "ü"},
    "assets.retrieve": {"asset_id": ODD},
    "assets.delete": {"asset_id": "a1"},
    "multipart_upload.list_incomplete_uploads": PAGE,
    "multipart_upload.create": {"filename": "f", "type": "video", "total_size": 5 << 30},
    "multipart_upload.get_status": {"upload_id": ODD, **PAGE},
    "multipart_upload.report_chunk_batch": {
        "upload_id": "u1",
        "completed_chunks": [CompletedChunk(chunk_index=1, proof='"e"', proof_type="etag", chunk_size=5)],
    },
    "multipart_upload.get_additional_presigned_urls": {"upload_id": "u1", "start": 1, "count": 9},
    "entity_collections.list": {**PAGE, "name": "n", "sort_by": "name", "sort_option": "asc"},
    "entity_collections.create": {"name": "n", "description": "d"},
    "entity_collections.retrieve": {"entity_collection_id": ODD},
    "entity_collections.delete": {"entity_collection_id": "c1"},
    "entity_collections.update": {"entity_collection_id": "c1", "name": "m"},
    "embed.create": {"model_name": "m", "text": "a text", "image_file": FILE},
    "search.create": {
        "index_id": "i1",
        "search_options": ["visual", "audio"],
        "query_text": "ein Auto",
        "filter": '{"duration":{"gte":5}}',
        "query_media_file": FILE,
    },
    "search.retrieve": {"page_token": ODD, "include_user_metadata": True},
    "analyze_async.tasks.list": {**PAGE, "status": "ready"},
    "analyze_async.tasks.create": {"video": VideoContext_Url(url="https://a.example/v.mp4"), "prompt": "p"},
    "analyze_async.tasks.retrieve": {"task_id": ODD},
    "analyze_async.tasks.delete": {"task_id": "t1"},
    "embed.tasks.list": {**PAGE, "status": "ready", "started_at": "2026-01-01"},
    "embed.tasks.create": {"model_name": "m", "video_file": FILE, "video_embedding_scope": ["clip", "video"]},
    "embed.tasks.status": {"task_id": ODD},
    "embed.tasks.retrieve": {"task_id": "t1", "embedding_option": ["visual-text", "audio"]},
    "embed.v_2.create": {"input_type": "text", "model_name": "marengo3.0", "text": {"input_text": "t"}},
    "embed.v_2.tasks.list": {**PAGE, "status": "ready"},
    "embed.v_2.tasks.create": {"input_type": "video", "model_name": "marengo3.0"},
    "embed.v_2.tasks.retrieve": {"task_id": ODD},
    "entity_collections.entities.list": {"entity_collection_id": "c1", **PAGE, "name": "n", "status": "ready"},
    "entity_collections.entities.create": {"entity_collection_id": "c1", "name": "n", "asset_ids": ["a"]},
    "entity_collections.entities.create_bulk": {
        "entity_collection_id": "c1",
        "entities": [{"name": "n", "asset_ids": ["a"]}],
    },
    "entity_collections.entities.retrieve": {"entity_collection_id": ODD, "entity_id": ODD},
    "entity_collections.entities.delete": {"entity_collection_id": "c1", "entity_id": "e1"},
    "entity_collections.entities.update": {"entity_collection_id": "c1", "entity_id": "e1", "metadata": {"a": None}},
    "entity_collections.entities.create_assets": {"entity_collection_id": "c1", "entity_id": "e1", "asset_ids": ["a"]},
    "entity_collections.entities.delete_assets": {"entity_collection_id": "c1", "entity_id": "e1", "asset_ids": ["a"]},
    "indexes.indexed_assets.list": {**INDEXED, "status": ["ready", "pending"], "user_metadata": {"k": "v"}},
    "indexes.indexed_assets.create": {"index_id": "i1", "asset_id": "a1", "enable_video_stream": False},
    "indexes.indexed_assets.retrieve": {
        "index_id": ODD,
        "indexed_asset_id": ODD,
        "embedding_option": ["visual", "audio"],
        "transcription": True,
    },
    "indexes.indexed_assets.delete": {"index_id": "i1", "indexed_asset_id": "a1"},
    "indexes.indexed_assets.update": {"index_id": "i1", "indexed_asset_id": "a1", "user_metadata": {"k": None}},
    "indexes.videos.list": {**INDEXED, "user_metadata": {"k": 1}},
    "indexes.videos.retrieve": {"index_id": "i1", "video_id": "v1", "transcription": True},
    "indexes.videos.delete": {"index_id": "i1", "video_id": "v1"},
    "indexes.videos.update": {"index_id": "i1", "video_id": "v1", "user_metadata": {"k": [1]}},
    "tasks.transfers.create": {"integration_id": ODD},
    "tasks.transfers.get_status": {"integration_id": "x"},
    "tasks.transfers.get_logs": {"integration_id": "x"},
}
# What the service says of its own: docs/wire.md, section 1.2.
OURS = {"host", "connection", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}


async def call(url: str, method: str, arguments: dict[str, Any]) -> None:
    async with httpx.AsyncClient(timeout=10) as http:
        target: Any = AsyncTwelveLabs(api_key=KEY, base_url=url, httpx_client=http)
        for part in method.split("."):
            target = getattr(target, part)
        # The answer is empty on purpose: only the request is looked at.
        with suppress(ApiError, ValidationError, AttributeError, TypeError):
            found = await target(**arguments)
            if hasattr(found, "__aiter__"):
                async for _ in found:
                    break


def comparable(seen: Seen) -> tuple[str, dict[str, list[str]], bytes]:
    """A request without what differs at every call: the boundary of a multipart body."""
    headers: dict[str, list[str]] = {}
    for name, value in seen.headers:
        if name.lower() not in OURS:
            headers.setdefault(name.lower(), []).append(value)
    if headers.get("content-length") == ["0"]:
        del headers["content-length"]  # says the same as its absence where there is no body
    body = seen.body
    boundary = re.search(r"boundary=(\S+)", headers.get("content-type", [""])[0])
    if boundary:
        body = body.replace(boundary[1].encode(), b"BOUNDARY")
        headers["content-type"] = [headers["content-type"][0].replace(boundary[1], "BOUNDARY")]
    return seen.line, headers, body


@pytest.mark.parametrize("method", CALLS)
async def test_the_upstream_gets_what_it_would_get_directly(serving: Serving, method: str):
    play = Play([b"{}"], 200, {"Content-Type": "application/json", "Content-Length": "2"})
    async with ScriptedServer(play) as direct, serving(play, upstream_key=KEY) as service:
        await asyncio.gather(
            call(direct.url, method, CALLS[method]), call(service.url + "/v1.3", method, CALLS[method])
        )
        assert len(direct.seen) == len(service.upstream.seen) >= 1
        for plain, passed in zip(direct.seen, service.upstream.seen, strict=True):
            assert comparable(passed) == comparable(plain)


def test_all_sixty_methods_are_spoken_for():
    assert len(CALLS) == 58
    sdk: Any = AsyncTwelveLabs(api_key=KEY, base_url="http://127.0.0.1:1")
    for method in (*CALLS, "analyze", "analyze_stream"):
        target = sdk
        for part in method.split("."):
            target = getattr(target, part)
        assert callable(target)


async def test_a_body_of_unknown_length_is_passed_on_as_it_comes(serving: Serving):
    async def pieces():
        for _ in range(5):
            yield b"x" * 1000

    async with serving(Play([b"{}"])) as service:
        async with service.http.put(service.url + "/v1.3/chunk", data=pieces()) as answer:
            assert answer.status == 200
        assert dict(service.upstream.seen[0].headers)["Transfer-Encoding"] == "chunked"
        assert service.upstream.seen[0].body == b"x" * 5000


async def test_a_head_request_and_ranges_pass(serving: Serving):
    play = Play([b"part"], 206, {"Content-Range": "bytes 0-3/10", "Accept-Ranges": "bytes", "Content-Length": "4"})
    async with serving(play) as service:
        async with service.http.get(service.url + "/v1.3/f", headers={"Range": "bytes=0-3"}) as answer:
            assert (answer.status, answer.headers["Content-Range"], await answer.read()) == (
                206,
                "bytes 0-3/10",
                b"part",
            )
        assert dict(service.upstream.seen[0].headers)["Range"] == "bytes=0-3"


async def test_the_upstream_itself_says_whether_to_continue(serving: Serving):
    async with serving(Play([b"{}"], 200)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        writer.write(
            b"POST /v1.3/assets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert b"100 Continue" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.write(b"body")
        assert b"200" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert service.upstream.seen[-1].body == b"body"
        assert orjson.loads(b"{}") == {}
        writer.close()
