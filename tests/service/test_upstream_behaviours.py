"""No upstream behaviour makes the service hang, crash, or end a stream as something it was not."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest

from tests.fakes.service import Service, Serving
from tests.fakes.waiting import until
from tests.service.behaviours import CASES, Case


def grown(messages: list[dict[str, Any]]) -> str:
    return "".join(message["text"] for message in messages if message["type"] in ("attached", "delta"))


async def as_dialect(service: Service) -> tuple[int, bool]:
    """Status, and whether the body ended cleanly, for a streaming caller of the dialect."""
    async with service.analyze(headers={"Fanlight-Options": "join=never"}) as answer:
        try:
            await answer.read()
        except aiohttp.ClientPayloadError:
            return answer.status, False
        return answer.status, True


async def as_events(service: Service, stream: str) -> list[dict[str, Any]]:
    async with service.http.get(f"{service.url}/v1/streams/{stream}/events") as answer:
        body = await answer.read()
    return [orjson.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: ")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_upstream_that_does_this_ends_as_the_contract_says(serving: Serving, case: Case):
    async with serving(case.play, raw=case.raw, **case.all_settings) as service:
        status, clean = await as_dialect(service)
        assert (status, clean) == (case.dialect, case.clean or case.dialect != 200)
        stream = await service.start(fanlight={"join": "never"})
        (socket, close_code), events, lines = await asyncio.gather(
            service.watch(stream), as_events(service, stream), service.read(stream)
        )
        late = await service.read(stream)
        for messages in (socket, events, lines, late):
            ending = messages[-1]
            assert [message["type"] for message in messages].count("end") == 1
            assert ending["type"] == "end"
            assert (ending["status"], (ending["error"] or {}).get("code")) == (case.status, case.code)
            assert case.seen == "…" or grown(messages) == case.seen
        assert close_code == 1000
        async with asyncio.timeout(5):
            await until(lambda: not service.hub.running)
            await service.upstream.idle.wait()
