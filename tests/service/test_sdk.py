"""The official SDK, with only its base_url changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest
from twelvelabs import AsyncTwelveLabs, TwelveLabs
from twelvelabs.core.api_error import ApiError
from twelvelabs.errors.too_many_requests_error import TooManyRequestsError
from twelvelabs.types import ResponseFormat, VideoContext_AssetId

from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Play, end, start, text

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "scenes": {"type": "integer"}},
    "required": ["title"],
}


@asynccontextmanager
async def client(service: Service) -> AsyncIterator[AsyncTwelveLabs]:
    async with httpx.AsyncClient(timeout=10) as http:
        yield AsyncTwelveLabs(api_key="any", base_url=service.url + "/v1.3", httpx_client=http)


async def test_analyze_stream_gives_the_upstreams_events(serving: Serving):
    async with (
        serving(Play([start(), text('{"title":"A'), text(' reel","scenes":4}'), end()])) as service,
        client(service) as sdk,
    ):
        events = [
            event
            async for event in sdk.analyze_stream(
                video_id="v", prompt="p", response_format=ResponseFormat(type="json_schema", json_schema=SCHEMA)
            )
        ]
        assert [event.event_type for event in events] == [
            "stream_start",
            "text_generation",
            "text_generation",
            "stream_end",
        ]
        told = orjson.loads("".join(event.text for event in events if event.event_type == "text_generation"))
        assert told == {"title": "A reel", "scenes": 4}
        assert events[-1].metadata.usage.output_tokens == 3


async def test_analyze_gives_the_whole(serving: Serving):
    async with serving(Play([start(), text("A "), text("reel"), end("length")])) as service, client(service) as sdk:
        answer = await sdk.analyze(video=VideoContext_AssetId(asset_id="a"), prompt="p")
        assert (answer.data, answer.finish_reason, answer.usage.output_tokens) == ("A reel", "length", 3)


async def test_the_synchronous_client_streams_as_well(serving: Serving):
    async with serving(Play([start(), text("one"), end()])) as service:

        def read() -> list[str]:
            with httpx.Client() as http:
                sdk = TwelveLabs(api_key="any", base_url=service.url + "/v1.3", httpx_client=http)
                return [event.event_type for event in sdk.analyze_stream(video_id="v", prompt="p")]

        assert await asyncio.to_thread(read) == ["stream_start", "text_generation", "stream_end"]


@pytest.mark.parametrize("steps", [[start(), text("one")], [start(), text("one"), Cut()]])
async def test_a_cut_upstream_is_a_broken_transfer(serving: Serving, steps):
    async with serving(Play(steps)) as service, client(service) as sdk:
        seen = []
        with pytest.raises(httpx.RemoteProtocolError):
            async for event in sdk.analyze_stream(video_id="v", prompt="p"):
                seen.append(event.event_type)
        assert "stream_end" not in seen


async def test_an_empty_429_raises_the_typed_error(serving: Serving):
    async with (
        serving(Play([], 429, {"Retry-After": "40", "X-Ratelimit-Limit": "8"})) as service,
        client(service) as sdk,
    ):
        with pytest.raises(TooManyRequestsError) as raised:
            await sdk.analyze(video_id="v", prompt="p")
        assert raised.value.headers["x-ratelimit-limit"] == "8"


async def test_an_upstream_error_is_an_api_error_with_its_body(serving: Serving):
    body = b'{"code":"resource_not_exist","message":"no such video"}'
    async with serving(Play([body], 404, {"Content-Type": "application/json"})) as service, client(service) as sdk:
        with pytest.raises(ApiError) as raised:
            async for _ in sdk.analyze_stream(video_id="v", prompt="p"):
                pass
        assert raised.value.status_code == 404
        assert raised.value.body == orjson.loads(body)


async def test_other_calls_pass_through(serving: Serving):
    asset = {
        "_id": "a" * 24,
        "method": "direct",
        "status": "ready",
        "filename": "f",
        "file_type": "video/mp4",
        "created_at": "2026-01-01T00:00:00Z",
    }
    async with (
        serving(Play([orjson.dumps(asset)], 201, {"Content-Type": "application/json"})) as service,
        client(service) as sdk,
    ):
        made = await sdk.assets.create(method="direct", file=("f.mp4", b"\0" * 300_000, "video/mp4"))
        assert made.id == "a" * 24
        assert len(service.upstream.seen[0].body) > 300_000
