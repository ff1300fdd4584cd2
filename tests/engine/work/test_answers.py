"""Who answers, and when: a model that has to wait for what is measured keeps no caller in silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from engine.errors import ApiError
from engine.work import answers as subject
from engine.work import waits
from engine.work.analysis import Asked
from engine.work.answers import Answers
from engine.work.model import Look, Model, ModelSettings
from tests.engine.vlm.model_server import chunks, model_server, status

MEDIA = (Path("film"), None)
LOOK = Look(10.0, [], [(0.0, 10.0)], [[]])


class Measuring(Model):
    """A model whose videos take as long to be measured as the test says."""

    def __init__(self, url: str) -> None:
        super().__init__(ModelSettings(url, "m"), cast(Any, None), cast(Any, None))
        self.measured: asyncio.Future[Look] = asyncio.get_running_loop().create_future()

    async def look(self, *_: Any, **__: Any) -> Look:
        return await self.measured


@asynccontextmanager
async def answered_by(url: str) -> AsyncIterator[tuple[Measuring, Answers]]:
    model = Measuring(url)
    await model.open()
    try:
        yield model, Answers(cast(Any, None), cast(Any, None), model)
    finally:
        await model.close()


def asked(stream: bool = True) -> Asked:
    return Asked("What?", "asset_id", "a", None, 500, stream)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "HEAD_S", 0.01)
    monkeypatch.setattr(waits, "PROOF_OF_LIFE_S", 0.01)


async def test_a_stream_begins_while_its_video_is_still_measured_and_gives_signs_of_life() -> None:
    with model_server(chunks("It is ", "calm.", usage={"completion_tokens": 3})) as server:
        async with answered_by(server.url) as (model, answers), answers.begin(asked(), MEDIA) as run:
            assert (server.asked, run.told) == ([], {})
            texts = []
            async for text in run.fragments():
                texts.append(text)
                if len(texts) == 3:
                    model.measured.set_result(LOOK)
            assert texts[:3] == ["", "", ""]
            assert "".join(texts) == "It is calm."
            assert (run.finish_reason, run.usage, run.told["model_name"]) == ("stop", {"output_tokens": 3}, "m")
        assert model.turns.running == 0


async def test_who_asks_for_the_whole_waits_for_its_beginning() -> None:
    with model_server(status(429, Retry_After="7")) as server:
        async with answered_by(server.url) as (model, answers):
            asyncio.get_running_loop().call_later(0.1, model.measured.set_result, LOOK)
            with pytest.raises(ApiError) as refused:
                async with answers.begin(asked(stream=False), MEDIA):
                    raise AssertionError("it has not begun")
            assert (refused.value.status, refused.value.retry_after) == (429, "7")


async def test_what_fails_after_the_head_breaks_the_stream_off() -> None:
    with model_server(status(503)) as server:
        async with answered_by(server.url) as (model, answers), answers.begin(asked(), MEDIA) as run:
            model.measured.set_result(LOOK)
            with pytest.raises(ApiError, match="busy"):
                assert not "".join([text async for text in run.fragments()])
        assert model.turns.running == 0


async def test_a_caller_who_leaves_while_a_video_is_measured_ends_that() -> None:
    async with answered_by("http://127.0.0.1:9/v1") as (model, answers):
        async with answers.begin(asked(), MEDIA) as run:
            assert await anext(run.fragments()) == ""
        assert model.measured.cancelled()
