"""``fanlight top``, ``streams``, ``cancel`` and ``drain``, as an operator runs them."""

import orjson
import pytest

from tests.fakes.service import Serving
from tests.fakes.upstream import Hang, Play, start, text
from tests.fakes.waiting import until
from tests.fanlight.peer import Peer
from tests.fanlight.test_command_line import begun, fanlight

GROWS = Play([start(), text("one "), Hang()])


async def test_top_prints_nodes_streams_and_readers_once_where_that_is_asked(serving: Serving):
    async with serving(GROWS, node="one") as service:
        stream = await service.start()
        async with service.http.ws_connect(f"{service.url}/v1/streams/{stream}/ws?view=captions"):
            code, told, _ = await fanlight("top", "--once", "--url", service.url, COLUMNS="160")
        lines = told.splitlines()
        assert (code, lines[0].strip()) == (0, "Fanlight")
        assert any(line.split()[:3] == ["one", "1", "1"] for line in lines)
        assert any(line.startswith(stream) and line.split()[-3:] == ["4", "B", "1"] for line in lines)
        assert any(
            line.startswith("one:") and f"{stream} captions" in line and line.split()[-4:] == ["0", "B", "0", "B"]
            for line in lines
        )


async def test_top_goes_on_until_ctrl_c(serving: Serving):
    async with serving(GROWS) as service:
        code, told, _ = await fanlight("top", "--url", service.url, kill_when=b"0 readers", FORCE_COLOR="1")
        assert (code, "Traceback" in told) == (130, False)


async def test_streams_are_listed_a_line_each_and_one_is_cancelled(serving: Serving):
    async with serving(GROWS) as service:
        stream = await service.start()
        code, told, _ = await fanlight("streams", "--url", service.url)
        assert (code, told.split()[:3]) == (0, [stream, "local", "running"])
        assert (await fanlight("cancel", stream, "--url", service.url))[0] == 0
        await until(lambda: not service.hub.running)
        code, _, said = await fanlight("cancel", "st_none", "--url", service.url)
        assert (code, "there is no such stream" in said) == (1, True)


async def test_drain_asks_the_service_to_go_down(serving: Serving):
    async with serving(GROWS) as service:
        assert (await fanlight("drain", "--url", service.url))[0] == 0


ODD = {"id": 5, "tenant": {"a": 1}, "status": [], "age_s": 1, "readers": None, "first_event_ms": None, "key": 1}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"nodes": [], "streams": [{**ODD, "bytes": "x"}], "readers": [], "in_all": 1},
        {"nodes": [{}], "streams": [1], "readers": [], "in_all": 1},
    ],
)
@pytest.mark.parametrize("command", ["top", "streams"])
async def test_an_answer_that_is_none_of_this_service_is_said_in_a_line(told, command):
    async def odd(line) -> None:
        await line.head()
        await line.answer(200, orjson.dumps(told), "Content-Type: application/json")

    async with Peer(odd) as peer:
        code, _, said = await fanlight(command, *(["--once"] if command == "top" else []), "--url", peer.url)
    assert (code, said.count("\n"), "Traceback" in said) == (1, 1, False)


async def test_a_service_that_is_not_there_is_said_in_a_line():
    child = await begun("streams", "--url", "http://127.0.0.1:9")
    _, said = await child.communicate()
    assert (child.returncode, said.count(b"\n")) == (1, 1)
