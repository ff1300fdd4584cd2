"""Several processes on one port, as an operator has them: real processes, real signals."""

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.redis_server import needs_redis, redis_server
from tests.fakes.upstream import Gate, Play, ScriptedServer, end, start, text
from tests.fakes.waiting import until

ROOT = Path(__file__).parent.parent.parent
pytestmark = needs_redis


@dataclass
class Parent:
    """A parent process, and what it and its workers have logged."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    @property
    def url(self) -> str:
        return self.told("serving")[0]["address"]

    @property
    def workers(self) -> list[int]:
        """Process ids, by index: of each the last that served."""
        pids = {line["index"]: line["pid"] for line in self.told("worker_serving")}
        return [pids[index] for index in sorted(pids)]

    @property
    def pids(self) -> list[int]:
        """Every process that there ever was."""
        return [self.process.pid, *(line["pid"] for line in self.told("worker_serving"))]

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            assert not any(word in line for word in (b"Traceback", b'"stack"')), line.decode()
            self.lines.append(orjson.loads(line) if line.startswith(b"{") else {"event": line.decode()})


def lives(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not asked for its code is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


async def spawned(*arguments: str, files: Path | None = None, **settings: str) -> asyncio.subprocess.Process:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))},
        "FANLIGHT_PORT": "0",
        **({"TMPDIR": str(files)} if files else {}),
        **{f"FANLIGHT_{name.upper()}": value for name, value in settings.items()},
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )


@asynccontextmanager
async def parent(**settings: str) -> AsyncIterator[Parent]:
    """`fanlight serve --workers 2` in front of a Redis; nothing of it is left in the end, no process and no file."""
    async with redis_server() as redis:
        settings = {"drain_s": "1", "upstream_url": "http://127.0.0.1:9/v1.3", "store": redis.url, **settings}
        # Paths of sockets are short: the server's folder is.
        files = Path(tempfile.mkdtemp(dir=redis.folder))
        child = await spawned("fanlight", "serve", "--workers", "2", files=files, **settings)
        found = Parent(child)
        reading = asyncio.create_task(found.read())
        try:
            await until(lambda: found.told("serving") or found.process.returncode is not None or reading.done())
            yield found
        finally:
            if found.process.returncode is None:
                with suppress(ProcessLookupError):
                    found.process.terminate()
            await asyncio.wait_for(found.process.wait(), 20)
            await asyncio.wait_for(reading, 20)
            await until(lambda: not any(map(lives, found.pids)))
            # `.ses` is onnxruntime's, which the engine's recognisers load where they are installed.
            assert [path.name for path in files.iterdir() if path.name != ".ses"] == []


async def ready(url: str) -> None:
    """Wait until a stream can be started."""
    async with aiohttp.ClientSession() as http:
        for _ in range(1000):
            async with http.get(url + "/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.01)
    raise TimeoutError


async def figures(url: str) -> dict[tuple[str, str], float]:
    """Every sample without labels of its own, by name and worker."""
    async with aiohttp.ClientSession() as http, http.get(url + "/metrics") as answer:
        told = await answer.text()
    lines = [line for line in told.splitlines() if line.startswith("# TYPE")]
    assert len(lines) == len(set(lines))
    samples = [sample for family in text_string_to_metric_families(told) for sample in family.samples]
    assert all("worker" in sample.labels for sample in samples)
    keys = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert max(Counter(keys).values()) == 1
    return {(s.name, s.labels["worker"]): s.value for s in samples if set(s.labels) == {"worker"}}


async def test_two_workers_answer_on_one_port_and_any_of_them_tells_the_figures_of_both():
    async with parent() as found:
        assert len(found.workers) == 2
        for _ in range(8):  # whoever is asked
            told = await figures(found.url)
            assert {worker for _, worker in told} == {"0", "1"}
            assert [told["fanlight_worker_up", index] for index in "01"] == [1, 1]
        assert {line["index"] for line in found.told("worker_serving")} == {0, 1}
        assert len(set(found.workers)) == 2


async def test_a_killed_worker_is_replaced_and_the_other_serves_meanwhile():
    async with parent() as found:
        before = found.workers
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: found.told("worker_ended"))
        told = await figures(found.url)
        assert [told["fanlight_worker_up", index] for index in "01"] == [0, 1]
        ended = found.told("worker_ended")[0]
        assert (ended["index"], ended["pid"], ended["exit_code"]) == (0, before[0], -signal.SIGKILL)
        await until(lambda: found.told("worker_again"))
        assert 0 < found.told("worker_again")[0]["in_s"] <= 1
        await until(lambda: found.workers[0] != before[0])
        assert found.workers[1] == before[1]
        await ready(found.url)


async def test_sigterm_to_the_parent_ends_all_and_leaves_nothing():
    async with parent() as found:
        found.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(found.process.wait(), 10) == 0
        assert not any(map(lives, found.pids))
        assert len(found.told("draining")) == 2


async def test_what_runs_may_end_within_the_grace_and_a_second_signal_ends_at_once():
    gate = Gate()
    async with ScriptedServer(Play([start(), text("a"), gate, end()])) as upstream:
        async with parent(drain_s="60", upstream_url=upstream.url) as found, aiohttp.ClientSession() as http:
            await ready(found.url)
            async with http.post(found.url + "/v1/streams", json={"prompt": "p"}) as answer:
                assert answer.status == 201, await answer.text()
            await gate.reached.wait()
            found.process.send_signal(signal.SIGINT)
            await until(lambda: len(found.told("draining")) == 2)
            await until(lambda: sum(map(lives, found.workers)) == 1)  # the one that has nothing to wait for
            found.process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(found.process.wait(), 10) == 0
            assert not any(map(lives, found.pids))


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def refused(url: str) -> None:
    """Wait until nobody listens."""
    while True:
        try:
            _, writer = await connect(url)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it came as the last of them stopped to listen
            continue
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_who_has_connected_but_not_yet_asked_is_answered_by_a_worker_that_leaves():
    async with parent() as found:
        waiting = [await connect(found.url) for _ in range(8)]
        found.process.send_signal(signal.SIGTERM)
        await refused(found.url)
        for _, writer in waiting:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for reader, writer in waiting:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.read()  # and then it is closed
            writer.close()


async def test_workers_end_with_their_parent_however_it_ends_and_leave_no_file():
    async with parent() as found:
        found.process.kill()
        await until(lambda: not any(map(lives, found.pids)))


async def test_an_operator_sees_all_workers_whichever_answers_and_has_all_replaced_and_ended():
    async with parent() as found, aiohttp.ClientSession() as http:
        async with http.get(found.url + "/v1/admin/nodes") as answer:
            assert sorted(node["pid"] for node in (await answer.json())["nodes"]) == sorted(found.workers)
        sockets = [await http.ws_connect(found.url + "/v1/ws") for _ in range(8)]
        async with http.get(found.url + "/v1/admin/readers") as answer:
            ids = [one["id"] for one in (await answer.json())["readers"]]
        assert len(set(ids)) == 8
        for ident in ids:
            async with http.delete(f"{found.url}/v1/admin/readers/{ident}") as answer:
                assert await answer.json() == {"sent_away": 1}
        assert [(await socket.receive()).data for socket in sockets] == [4403] * 8
        async with http.post(found.url + "/v1/admin/reload") as answer:
            assert answer.status == 200
        await until(lambda: found.told("workers_replaced"))
        async with http.post(found.url + "/v1/admin/drain") as answer:
            assert answer.status == 202
        assert await asyncio.wait_for(found.process.wait(), 30) == 0


async def test_sighup_replaces_all_while_every_request_is_answered():
    async with parent() as found:
        before = found.workers
        statuses: Counter[int] = Counter()

        async def ask() -> None:
            """Ask on ever new connections: each of them is taken by somebody."""
            while not found.told("workers_replaced"):
                async with aiohttp.ClientSession() as http, http.get(found.url + "/livez") as answer:
                    statuses[answer.status] += 1

        found.process.send_signal(signal.SIGHUP)
        await asyncio.gather(*(ask() for _ in range(4)))
        assert set(statuses) == {200}
        assert statuses[200] > 100
        assert not set(before) & set(found.workers)
        assert not any(map(lives, before))
        assert all(map(lives, found.workers))
        assert not found.told("worker_ended")


async def test_sighup_reads_the_settings_anew_and_what_is_refused_changes_nothing(tmp_path: Path):
    file = tmp_path / "fanlight.toml"
    file.write_text('node = "one"\n')
    async with parent(config=str(file)) as found:
        before = found.workers
        file.write_text('idle_timeout_s = "never"\n')
        found.process.send_signal(signal.SIGHUP)
        await until(lambda: found.told("successor_not_ready"))
        assert found.told("successor_not_ready")[0]["exit_code"] == 2
        assert any("FANLIGHT_IDLE_TIMEOUT_S" in line["event"] for line in found.lines)
        assert all(map(lives, before))
        file.write_text('idle_timeout_s = 5\nlog_level = "debug"\n')
        found.process.send_signal(signal.SIGHUP)
        await until(lambda: found.told("workers_replaced"))
        await ready(found.url)
        await until(lambda: found.told("request"))  # told only with the new level


@pytest.mark.slow
async def test_a_refusal_in_place_of_a_worker_that_died_ends_no_other_and_is_tried_again(tmp_path: Path):
    file = tmp_path / "fanlight.toml"
    file.touch()
    async with parent(config=str(file)) as found:
        first, second = found.workers
        file.write_text('idle_timeout_s = "never"\n')
        os.kill(second, signal.SIGKILL)
        await until(lambda: any(line["exit_code"] == 2 for line in found.told("worker_ended")))
        assert any("FANLIGHT_IDLE_TIMEOUT_S" in line["event"] for line in found.lines)
        await ready(found.url)
        file.write_text("idle_timeout_s = 5\n")
        await until(lambda: found.workers[1] != second)
        assert found.workers[0] == first
        assert lives(first)
        assert found.process.returncode is None


@pytest.mark.slow
async def test_a_signal_while_a_worker_is_being_replaced_ends_its_successor_too():
    async with parent() as found:
        found.process.send_signal(signal.SIGHUP)
        await until(lambda: len(found.told("worker_serving")) == 3)
        found.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(found.process.wait(), 20) == 0
        assert not any(map(lives, found.pids))


async def nodes(url: str) -> set[str]:
    """What both workers are called, from streams that they started."""
    names: set[str] = set()
    while len(names) < 2:
        async with aiohttp.ClientSession() as http:
            async with http.post(url + "/v1/streams", json={"prompt": "p", "join": "never"}) as answer:
                names.add((await answer.json())["node"])
    return names


@pytest.mark.slow
async def test_each_worker_has_a_name_of_its_own_and_its_successor_another():
    async with ScriptedServer(Play([start(), text("a"), end()])) as upstream:
        async with parent(node="here", upstream_url=upstream.url) as found:
            await ready(found.url)
            assert await nodes(found.url) == {"here-0", "here-1"}
            found.process.send_signal(signal.SIGHUP)
            await until(lambda: found.told("workers_replaced"))
            assert await nodes(found.url) == {"here-0.1", "here-1.1"}


@pytest.mark.parametrize("command", [("fanlight", "serve", "--workers", "2"), ("service", "--workers", "2")])
async def test_several_workers_without_a_store_that_they_share_are_refused_in_words(command: tuple[str, ...]):
    child = await spawned(*command, store="memory", workers="1")
    _, told = await child.communicate()
    assert child.returncode == 2
    assert told.count(b"\n") == 1
    assert b"FANLIGHT_STORE=redis://" in told


async def test_the_command_line_wins_over_the_environment():
    child = await spawned("fanlight", "serve", "--workers", "0", workers="2")
    _, told = await child.communicate()
    assert child.returncode == 2
    assert b"FANLIGHT_WORKERS" in told


@pytest.mark.slow
async def test_a_port_that_another_service_has_is_not_shared_with_it():
    async with parent() as found:
        port = found.url.rpartition(":")[2]
        child = await spawned("service", "--workers", "2", store="redis://127.0.0.1:9/0", port=port)
        _, told = await child.communicate()
        assert child.returncode == 1
        assert told.startswith(b"fanlight: cannot listen on 127.0.0.1:" + port.encode())


async def test_the_row_to_a_model_is_told_once_whichever_worker_is_asked(tmp_path: Path):
    settings = {"vlm_url": "http://127.0.0.1:9/v1", "vlm_model": "m"}
    async with parent(upstream_url="embedded", data_dir=str(tmp_path), **settings) as found:
        await until(lambda: found.told("engine_listening"))
        await ready(found.url)
        async with aiohttp.ClientSession() as http:
            for _ in range(8):
                async with http.get(found.url + "/metrics", headers={"Connection": "close"}) as answer:
                    told = (await answer.text()).splitlines()
                assert [line for line in told if line.startswith("fanlight_model_calls_waiting")] == [
                    "fanlight_model_calls_waiting 0.0"
                ]


@pytest.mark.slow
async def test_the_engine_of_the_parent_serves_all_workers_and_is_there_again_after_its_death(tmp_path: Path):
    async with parent(upstream_url="embedded", data_dir=str(tmp_path)) as found:
        await until(lambda: found.told("engine_listening"))
        await ready(found.url)
        async with aiohttp.ClientSession() as http:
            for _ in range(8):
                async with http.get(found.url + "/v1.3/assets", headers={"Connection": "close"}) as answer:
                    assert (answer.status, orjson.loads(await answer.read())["data"]) == (200, [])
        engine = found.told("engine_listening")[0]["pid"]
        os.kill(engine, signal.SIGKILL)
        await until(lambda: len(found.told("engine_listening")) == 2)
        await ready(found.url)
        assert len(found.told("worker_serving")) == 2
        found.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(found.process.wait(), 15)
        await until(lambda: not lives(found.told("engine_listening")[1]["pid"]))
