"""The figures of all workers in one answer, from siblings that answer and siblings that do not."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric

from service.web.siblings import Siblings, socket_in


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fanlight-") as name:  # paths of sockets are short
        yield Path(name)


def readers(count: int) -> Metric:
    family = CounterMetricFamily("readers", "Who reads.", labels=["kind"])
    family.add_metric(['a "kind"\n'], count)
    return family


@asynccontextmanager
async def telling(path: Path, body: str) -> AsyncIterator[None]:
    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    yield
    await runner.cleanup()


def told(families: list[Metric]) -> dict[tuple[str, str], float]:
    return {(s.name, s.labels["worker"]): s.value for family in families for s in family.samples}


ANSWER = '# HELP readers Who reads.\n# TYPE readers counter\nreaders_total{kind="a \\"kind\\"\\n"} 5.0\n# EOF\n'


async def test_each_sample_has_its_worker_and_each_family_is_there_once(directory: Path):
    own = socket_in(directory, 0, 1)
    own.touch()
    async with telling(socket_in(directory, 1, 2), ANSWER):
        up, *families = await Siblings(directory, own, 2).together([readers(3)])
    assert told([up]) == {("fanlight_worker_up", "0"): 1, ("fanlight_worker_up", "1"): 1}
    assert len(families) == 1
    assert [(s.labels, s.value) for s in families[0].samples] == [
        ({"worker": "0", "kind": 'a "kind"\n'}, 3),
        ({"worker": "1", "kind": 'a "kind"\n'}, 5),
    ]


async def test_who_does_not_answer_in_time_or_at_all_or_nonsense_is_left_out_and_said(directory: Path):
    own, silent, dead, mad = (socket_in(directory, index, index) for index in range(4))
    own.touch()
    dead.touch()
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        await reader.read()  # until the caller has had enough
        writer.close()
        left.set()

    server = await asyncio.start_unix_server(say_nothing, silent)
    async with telling(mad, "readers_total{ what"):
        families = await Siblings(directory, own, 5).together([readers(3)])
    assert {worker: up for (name, worker), up in told(families).items() if name == "fanlight_worker_up"} == {
        "0": 1, "1": 0, "2": 0, "3": 0, "4": 0,
    }  # fmt: skip
    assert {worker for name, worker in told(families) if name == "readers_total"} == {"0"}
    await left.wait()
    server.close()
    await server.wait_closed()


async def test_while_a_worker_is_replaced_its_successor_alone_speaks_for_both(directory: Path):
    old, other = socket_in(directory, 0, 9), socket_in(directory, 1, 2)
    old.touch()
    async with telling(socket_in(directory, 0, 10), ANSWER), telling(other, ANSWER):
        families = await Siblings(directory, old, 2).together([readers(3)])
    assert told(families)["readers_total", "0"] == 5
    assert told(families)["readers_total", "1"] == 5
