"""The row to a model, in the figures of the service: what the engine tells reaches whoever asks the gateway."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from service.web.unix import figures_at
from tests.engine.conftest import running_engine
from tests.engine.conftest import sample_clip as sample_clip
from tests.engine.vlm.model_server import chunks, model_server
from tests.fakes.service import Service, Serving
from tests.fakes.waiting import PACE_S


async def model_calls(service: Service) -> dict[str, float]:
    async with service.http.get(service.url + "/metrics") as answer:
        told = await answer.text()
    samples = [sample for family in text_string_to_metric_families(told) for sample in family.samples]
    return {
        one.name.removeprefix("fanlight_model_calls_"): one.value
        for one in samples
        if one.name.startswith("fanlight_model_calls_")
    }


async def uploaded(service: Service, clip: Path) -> str:
    form = aiohttp.FormData({"method": "direct"})
    form.add_field("file", clip.read_bytes(), filename="clip.mp4")
    async with service.http.post(service.url + "/v1.3/assets", data=form) as answer:
        return (await answer.json())["_id"]


async def ready(service: Service) -> None:
    async with asyncio.timeout(20):
        while (await service.http.get(service.url + "/readyz")).status != 200:
            await asyncio.sleep(PACE_S)


async def until_calls(service: Service, **expected: float) -> None:
    async with asyncio.timeout(20):
        while await model_calls(service) != expected:
            await asyncio.sleep(PACE_S)


async def test_the_figures_tell_how_many_calls_the_model_answers_and_how_many_wait(
    serving: Serving, tmp_path: Path, sample_clip: Path
):
    free = threading.Event()

    def held(handler: BaseHTTPRequestHandler) -> None:
        free.wait(60)
        chunks("x")(handler)

    with model_server(held) as model:
        settings = {"upstream_url": "embedded", "data_dir": tmp_path, "vlm_url": model.url, "vlm_model": "m"}
        async with serving(**settings, vlm_parallel=1) as service:
            await ready(service)
            assert await model_calls(service) == {"running": 0, "waiting": 0}
            asset = await uploaded(service, sample_clip)
            asked = [await service.start(prompt=f"{n}?", video_id=asset) for n in range(3)]
            await until_calls(service, running=1, waiting=2)
            free.set()
            for stream in asked:
                assert (await service.show(stream, "?wait=30"))["status"] == "completed"
            assert await model_calls(service) == {"running": 0, "waiting": 0}


async def test_an_engine_without_a_model_tells_none(serving: Serving, tmp_path: Path):
    async with serving(upstream_url="embedded", data_dir=tmp_path) as service:
        await ready(service)
        assert await figures_at(tmp_path / "engine.sock") == []
        assert await model_calls(service) == {}


async def test_an_engine_that_does_not_answer_leaves_its_figures_out_and_no_others(serving: Serving, tmp_path: Path):
    data_dir = tmp_path / "taken"
    with running_engine(tmp_path, "--data-dir", str(data_dir)):  # so that the service's own cannot start
        model = {"vlm_url": "http://127.0.0.1:9/v1", "vlm_model": "m"}
        async with serving(upstream_url="embedded", data_dir=data_dir, **model) as service:
            async with service.http.get(service.url + "/metrics") as answer:
                assert (answer.status, "fanlight_streams_running" in await answer.text()) == (200, True)
            assert await model_calls(service) == {}
