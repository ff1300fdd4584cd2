"""A client that is given tickets: for each connection, before one expires, and after one has."""

from pathlib import Path

import pytest

from fanlight import Client, Delta, Ending, Refused, Unreachable
from tests.fakes.service import Serving
from tests.fakes.upstream import Gate, Play, end, start, text
from tests.service.test_access import opened


async def test_tickets_are_renewed_in_band_and_one_stream_is_read_to_its_end(serving: Serving, tmp_path: Path):
    gate = Gate()
    async with opened(serving, tmp_path, Play([start(), text("one "), gate, text("two"), end()])) as door:
        headers = await door.key("web")
        stream, given = await door.started(headers), list[str]()

        async def ticket() -> str:
            given.append((await door.ticket(headers, stream=stream, ttl_s=60))["ticket"])
            if len(given) == 2:
                gate.open()
            return given[-1]

        async with Client(door.service.url, ticket=ticket) as client:
            shown = ""
            async for message in client.watch(stream):
                if isinstance(message, Delta):
                    shown += message.text
                    if shown == "one ":
                        door.later(31)
        assert (shown, len(given)) == ("one two", 2)


async def test_after_its_ticket_has_expired_a_reader_comes_back_with_another(serving: Serving, tmp_path: Path):
    gate = Gate()
    async with opened(serving, tmp_path, Play([start(), text("one "), gate, text("two"), end()])) as door:
        headers = await door.key("web")
        stream, given = await door.started(headers), list[str]()

        async def ticket() -> str:
            if len(given) == 1:  # at its first renewal it has none
                given.append("")
                raise OSError("away")
            given.append((await door.ticket(headers, stream=stream, ttl_s=60))["ticket"])
            return given[-1]

        async with Client(door.service.url, ticket=ticket, lost=lambda _: gate.open()) as client:
            told = []
            async for message in client.watch(stream):
                told.append(message)
                if len(told) == 1:
                    door.later(31)
                    door.later(30)
        assert isinstance(told[-1], Ending)
        assert "".join(message.text for message in told if isinstance(message, Delta)) == "one two"


async def test_a_ticket_that_was_handed_in_and_has_expired_is_refused_by_its_name(serving: Serving, tmp_path: Path):
    async with opened(serving, tmp_path) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = (await door.ticket(headers, stream=stream, ttl_s=60))["ticket"]
        door.later(61)
        async with Client(door.service.url, ticket=ticket) as client:
            with pytest.raises(Refused) as caught:
                await anext(client.watch(stream))
            assert caught.value.code == "ticket_expired"


async def test_calls_come_with_a_ticket_and_with_none_nobody_is_reached(serving: Serving, tmp_path: Path):
    async with opened(serving, tmp_path) as door:
        headers = await door.key("web")
        session = (await door.ticket(headers, scopes=["start"]))["ticket"]
        async with Client(door.service.url, ticket=lambda: session) as client:
            stream = await client.start({"prompt": "What?", "video_id": "v1"})
            await client.cancel(stream)

        def none() -> str:
            raise RuntimeError("SECRET")

        async with Client(door.service.url, ticket=none, attempts=1) as client:
            with pytest.raises(Unreachable) as caught:
                await client.start({"prompt": "What?"})
            assert "SECRET" not in str(caught.value)
