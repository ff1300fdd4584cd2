"""A chat over several nodes: whichever is asked remembers it, tells its answer again and stops it."""

import asyncio

import orjson

from tests.fakes.redis_server import needs_redis, redis_server
from tests.fakes.service import Service, open_service
from tests.fakes.upstream import Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until
from tests.service.dialects.test_ai_sdk import kinds, post, prompts, resumed, shown, user

pytestmark = needs_redis


async def stopped(service: Service, chat: str) -> bool:
    async with service.http.post(f"{service.url}/ai-sdk/chat/{chat}/stop") as answer:
        return (await answer.json())["stopped"]


async def test_an_answer_is_resumed_joined_and_remembered_at_another_node():
    gate = Gate()
    async with redis_server() as server:
        first, second = Play([start(), text("a "), gate, text("dog"), end()]), Play([start(), text("so"), end()])
        async with (
            open_service(first, store=server.url, node="a") as a,
            open_service(second, store=server.url, node="b") as b,
        ):
            asked = {"id": "c", "message": user("what?")}
            tabs = [asyncio.create_task(post(a, **asked))]
            await until(lambda: a.hub.list("local") and a.hub.list("local")[0].subscribers)
            # The chat is written behind the start: the first of its answer tells that it is.
            await gate.reached.wait()
            tabs += [asyncio.create_task(post(b, **asked)), asyncio.create_task(resumed(b, "c"))]
            await until(lambda: b.hub.list("local") and b.hub.list("local")[0].subscribers == 2)
            gate.open()
            told = [(await tab)[-1] for tab in tabs]
            assert {one[0]["messageId"] for one in told} == {told[0][0]["messageId"]}
            assert [(shown(one), one[-1]["type"]) for one in told] == [("a dog", "finish")] * 3
            assert (len(a.upstream.seen), len(b.upstream.seen)) == (1, 0)
            await post(b, id="c", message=user("why?", ident="m2", video=None))
            assert prompts(b) == ["Conversation so far:\nUser: what?\nAssistant: a dog\n\nwhy?"]
            assert orjson.loads(b.upstream.seen[0].body)["video"]["url"].startswith("https://")


async def test_a_run_is_stopped_from_another_node():
    async with redis_server() as server:
        async with (
            open_service(Play([start(), text("a"), Hang()]), store=server.url, node="a") as a,
            open_service(Play([]), store=server.url, node="b") as b,
        ):
            asking = asyncio.create_task(post(a, id="c", messages=[user("q")]))
            await until(lambda: a.hub.list("local") and a.hub.list("local")[0].subscribers)
            assert await stopped(b, "c") is True
            assert kinds((await asking)[2])[-2:] == ["message-metadata", "abort"]
            assert (await resumed(a, "c"))[0] == (await resumed(b, "c"))[0] == 204
            assert await stopped(b, "c") is False
            await a.upstream.idle.wait()
