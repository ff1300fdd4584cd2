"""A vision-language model behind the engine's API: what it is asked, and that nothing broken looks like success."""

import base64
import io
import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import av
import pytest

from tests.engine.conftest import RunningEngine, Spawn, running_engine
from tests.engine.vlm.model_server import Answer, ModelServer, chunks, model_server, status

USAGE = {"prompt_tokens": 900, "completion_tokens": 7}
SCHEMA = {"type": "json_schema", "json_schema": {"type": "object", "properties": {"mood": {"type": "string"}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server(chunks("x")) as server:
        yield server


@pytest.fixture(scope="module")
def modelled(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine whose analyses a model answers."""
    where = ("--vlm-url", server.url, "--vlm-model", "fake", "--vlm-frames", "6")
    with running_engine(tmp_path_factory.mktemp("modelled"), *where) as running:
        yield running


@pytest.fixture(scope="module")
def clip(modelled: RunningEngine, sample_clip: Path) -> str:
    return str(modelled.upload(sample_clip)["_id"])


def answering(server: ModelServer, *answers: Answer) -> ModelServer:
    server.answers = list(answers)
    server.asked.clear()
    return server


def asked(clip: str, **more: Any) -> dict[str, Any]:
    return {"video": {"type": "asset_id", "asset_id": clip}, "prompt": "What is its mood?", **more}


def test_an_answer_is_the_model_s_and_says_so(server: ModelServer, modelled: RunningEngine, clip: str) -> None:
    answering(server, chunks("It is ", "calm.", usage=USAGE))
    start, *texts, end = modelled.stream(asked(clip))
    assert "".join(text["text"] for text in texts) == "It is calm."
    assert (start["metadata"]["model_name"], start["metadata"]["frames"]) == ("fake", 6)
    assert (end["finish_reason"], end["metadata"]["usage"]) == ("stop", {"output_tokens": 7})


def test_a_model_is_shown_pictures_of_each_shot_after_their_times(
    server: ModelServer, modelled: RunningEngine, clip: str
) -> None:
    answering(server, chunks("x"))
    modelled.stream(asked(clip))
    [sent] = server.asked
    assert (sent["model"], sent["stream"], sent["stream_options"]) == ("fake", True, {"include_usage": True})
    facts, *shown, question = sent["messages"][1]["content"]
    assert "Shots begin at: 00:00, 00:02, 00:04, 00:06" in facts["text"]
    assert question["text"] == "What is its mood?"
    times = [part["text"] for part in shown[::2]]
    assert times == sorted(times)
    assert len(times) == 6
    for part in shown[1::2]:
        jpeg = base64.b64decode(part["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
        with av.open(io.BytesIO(jpeg)) as picture:
            assert picture.streams.video[0].width == 512


def test_usage_that_nobody_counted_is_null(server: ModelServer, modelled: RunningEngine, clip: str) -> None:
    answering(server, chunks("x", finish="length"))
    end = modelled.stream(asked(clip))[-1]
    assert (end["finish_reason"], end["metadata"]["usage"]) == ("length", None)


def test_a_schema_is_passed_on(server: ModelServer, modelled: RunningEngine, clip: str) -> None:
    answering(server, chunks('{"mood": "calm"}'))
    code, told = modelled.call("POST", "/analyze", asked(clip, stream=False, response_format=SCHEMA))
    assert (code, told["data"]) == (200, '{"mood": "calm"}')
    assert server.asked[0]["response_format"]["json_schema"]["schema"] == SCHEMA["json_schema"]
    assert "schema" not in told


def test_a_schema_is_said_in_words_too_for_servers_that_drop_it_without_a_word(
    server: ModelServer, modelled: RunningEngine, clip: str
) -> None:
    answering(server, chunks('{"mood": "calm"}'))
    modelled.call("POST", "/analyze", asked(clip, stream=False, response_format=SCHEMA))
    [sent] = server.asked
    assert sent["messages"][1]["content"][-2]["text"] == "What is its mood?"
    assert '"mood"' in sent["messages"][1]["content"][-1]["text"]


def test_what_was_measured_for_one_answer_of_a_model_is_kept_for_the_next(
    server: ModelServer, modelled: RunningEngine, sample_clip: Path
) -> None:
    answering(server, chunks("x"))
    clip = str(modelled.upload(sample_clip)["_id"])
    modelled.stream(asked(clip))
    (content,) = {path.name for path in (modelled.data_dir / "media").glob("*/*")}
    with closing(sqlite3.connect(f"file:{modelled.data_dir}/engine.sqlite3?mode=ro", uri=True)) as db:
        record = "SELECT record FROM records WHERE sha256 = ?"
        assert json.loads(db.execute(record, [content]).fetchone()[0])["facts"]


def test_a_schema_that_a_server_refuses_is_asked_for_in_words_and_that_is_told(
    server: ModelServer, modelled: RunningEngine, clip: str
) -> None:
    answering(server, status(400), chunks('{"mood": "calm"}'))
    code, told = modelled.call("POST", "/analyze", asked(clip, stream=False, response_format=SCHEMA))
    assert code == 200, (told, len(server.asked))
    assert "in words" in told["schema"], told
    first, second = server.asked
    assert "response_format" in first
    assert "response_format" not in second
    assert '"mood"' in second["messages"][1]["content"][-1]["text"]


@pytest.mark.parametrize(("answer", "code", "again"), [
    (status(429, Retry_After="7"), 429, "7"), (status(503), 503, None), (status(401), 502, None),
    (status(500), 502, None), (status(302, Location="http://127.0.0.1/"), 502, None),
])  # fmt: skip
def test_a_server_that_does_not_answer_is_told_with_a_status(
    server: ModelServer, modelled: RunningEngine, clip: str, answer: Answer, code: int, again: str | None
) -> None:
    answering(server, answer)
    connection = modelled.connect()
    connection.request("POST", "/v1.3/analyze", json.dumps(asked(clip)), {"Content-Type": "application/json"})
    response = connection.getresponse()
    told = json.loads(response.read())
    connection.close()
    assert (response.status, response.headers["Retry-After"]) == (code, again)
    assert told["message"].startswith("The model's server")


@pytest.mark.parametrize("cut", [None, threading.Event()])
def test_an_answer_that_breaks_off_is_no_success(
    server: ModelServer, modelled: RunningEngine, clip: str, cut: threading.Event | None
) -> None:
    answering(server, chunks("It is", finish=None, cut=cut))
    connection = modelled.connect()
    connection.request("POST", "/v1.3/analyze", json.dumps(asked(clip)), {"Content-Type": "application/json"})
    response, read = connection.getresponse(), b""
    with pytest.raises(IncompleteRead) as broken:
        # Cut once its text was told on: a client may drop what comes together with the cut.
        while cut is not None and b"It is" not in read:
            read += response.readline()
        if cut is not None:
            cut.set()
        response.read()
    connection.close()
    lines = [json.loads(line) for line in (read + broken.value.partial).split(b"\n") if line]
    assert [line.get("event_type") for line in lines] == ["stream_start", "text_generation", None]
    assert lines[-1]["code"] == "internal_error"


def test_a_caller_who_leaves_ends_the_model_s_work(server: ModelServer, modelled: RunningEngine, clip: str) -> None:
    answering(server, chunks(*["word " * 5000] * 4000))
    server.left.clear()
    connection = modelled.connect()
    connection.request("POST", "/v1.3/analyze", json.dumps(asked(clip)), {"Content-Type": "application/json"})
    connection.getresponse().read(100)
    connection.close()
    assert server.left.wait(20)


def test_where_it_is_allowed_the_measured_answer_steps_in_and_says_so(tmp_path: Path, sample_clip: Path) -> None:
    with model_server(status(503)) as server:
        where = ("--vlm-url", server.url, "--vlm-model", "fake", "--vlm-fallback", "facts")
        with running_engine(tmp_path, *where) as engine:
            asset = engine.upload(sample_clip)["_id"]
            start, *texts, _ = engine.stream(asked(asset, prompt="Summarize"))
            assert start["metadata"]["model_name"] == "local-facts"
            assert texts[0]["text"].startswith("The model could not answer")
            code, told = engine.call(
                "POST", "/analyze", asked(asset, stream=False, response_format={
                    "type": "json_schema", "json_schema": {"type": "object", "properties": {"duration": {"type": "number"}}},
                }),
            )  # fmt: skip
            assert (code, json.loads(told["data"])) == (200, {"duration": 8.0})
            assert told["stands_in"].startswith("The model could not answer")


@pytest.mark.parametrize(
    "words", [["--vlm-url", "http://127.0.0.1:9/v1"], ["--vlm-url", "ftp://x", "--vlm-model", "m"]]
)
def test_an_address_without_a_model_or_that_is_none_is_refused_at_the_start(
    spawn: Spawn, tmp_path: Path, words: list[str]
) -> None:
    engine = spawn("--socket", str(tmp_path / "s"), "--data-dir", str(tmp_path / "d"), *words)
    assert engine.returncode == 2
    assert "engine: --vlm-url" in engine.said  # type: ignore[attr-defined]


def test_the_key_comes_by_the_pipe_and_stands_in_no_argument(spawn: Spawn, tmp_path: Path, sample_clip: Path) -> None:
    with model_server(chunks("x")) as server:
        read, write = os.pipe()
        os.write(write, b"sk-secret\n")
        words = ("--vlm-url", server.url, "--vlm-model", "m", "--vlm-key-piped", "--parent-pipe")
        process = spawn("--socket", str(tmp_path / "s"), "--data-dir", str(tmp_path / "d"), *words, stdin=read)
        assert process.returncode is None
        line = subprocess.run(
            ["ps", "-o", "args=", "-p", str(process.pid)], capture_output=True, text=True, check=False
        )
        assert "sk-secret" not in line.stdout
        engine = RunningEngine(process, tmp_path / "s", tmp_path / "d")
        engine.stream(asked(str(engine.upload(sample_clip)["_id"])))
        assert server.keys == ["Bearer sk-secret"]
        os.close(write)
        os.close(read)
