"""Turns at the model: whose call comes when, and that none is lost with a caller who leaves."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

import pytest

from engine.work import waits
from engine.work.analysis import Asked
from engine.work.model import Look, Model, ModelRun, ModelSettings
from engine.work.turns import TENANT
from tests.engine.vlm.model_server import Answer, ModelServer, chunks, model_server
from tests.fakes.waiting import until


@asynccontextmanager
async def model_at(server: ModelServer) -> AsyncIterator[Model]:
    """A model that answers one call at a time."""
    model = Model(ModelSettings(server.url, "m", parallel=1), cast(Any, None), cast(Any, None))
    await model.open()
    try:
        yield model
    finally:
        await model.close()


def asked(prompt: str) -> Asked:
    return Asked(prompt, "url", "http://example.com/v.mp4", None, 500, stream=True)


def look(parts: int) -> Look:
    """Nothing is seen of it; only its length counts here."""
    return Look(10.0 * parts, [], [(10.0 * n, 10.0 * n + 10) for n in range(parts)], [[]] * parts)


async def told(model: Model, prompt: str, parts: int = 1, tenant: str = "a") -> str:
    TENANT.set(tenant)
    async with ModelRun(model, asked(prompt), look(parts)) as run:
        return "".join([text async for text in run.fragments()])


def prompts(server: ModelServer) -> list[str]:
    return [body["messages"][1]["content"][-1]["text"] for body in server.asked]


def once(free: threading.Event) -> Answer:
    """An answer that comes when it may."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        free.wait(30)
        chunks("x")(handler)

    return answer


async def test_a_long_video_takes_its_turn_anew_for_each_part() -> None:
    free = threading.Event()
    with model_server(once(free), chunks("x")) as server:
        async with model_at(server) as model:
            long = asyncio.create_task(told(model, "long", parts=3))
            await until(lambda: len(server.asked) == 1)
            first, second = (asyncio.create_task(told(model, name)) for name in ("first", "second"))
            await until(lambda: model.turns.queued == 2)
            free.set()
            assert await asyncio.gather(long, first, second) == ["x\n\nx\n\nx", "x", "x"]
        assert prompts(server) == ["long", "first", "second", "long", "long"]


async def test_one_tenant_s_many_calls_do_not_hold_up_another_s_first() -> None:
    free = threading.Event()
    with model_server(once(free), chunks("x")) as server:
        async with model_at(server) as model:
            waiting = [asyncio.create_task(told(model, f"a{n}")) for n in range(4)]
            await until(lambda: len(server.asked) == 1)
            waiting.append(asyncio.create_task(told(model, "b0", tenant="b")))
            await until(lambda: model.turns.queued == 4)
            free.set()
            await asyncio.gather(*waiting)
        assert prompts(server) == ["a0", "a1", "b0", "a2", "a3"]


async def test_who_waits_for_a_turn_between_parts_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "PROOF_OF_LIFE_S", 0.01)
    free = threading.Event()
    with model_server(chunks("x"), once(free), chunks("x")) as server:
        async with model_at(server) as model, ModelRun(model, asked("long"), look(2)) as run:
            other = asyncio.create_task(told(model, "other"))
            await until(lambda: model.turns.queued == 1)
            texts = []
            async for text in run.fragments():
                texts.append(text)
                if len(server.asked) == 2 and texts[-2:] == ["", ""]:
                    free.set()
            assert "".join(texts) == "x\n\nx"
            assert await other == "x"
        assert prompts(server) == ["long", "other", "long"]


@pytest.mark.parametrize("left", ["in the row", "before the answer's head"])
async def test_a_caller_who_leaves_between_parts_takes_no_turn_along(
    monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    monkeypatch.setattr(waits, "PROOF_OF_LIFE_S", 0.01)
    free = threading.Event()
    with model_server(chunks("x"), once(free), chunks("x")) as server:
        async with model_at(server) as model:
            other = None
            async with ModelRun(model, asked("long"), look(2)) as run:
                if left == "in the row":
                    other = asyncio.create_task(told(model, "other"))
                    await until(lambda: model.turns.queued == 1)
                texts = run.fragments()
                while len(server.asked) < 2 or await anext(texts):
                    await anext(texts)
                await texts.aclose()
            free.set()
            if other is not None:
                assert await other == "x"
            assert (model.turns.running, model.turns.queued) == (0, 0)
