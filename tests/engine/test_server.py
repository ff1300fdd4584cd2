"""The engine as its callers meet it: a process on a socket, real clips, real workers."""

import base64
import json
import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from engine.senses import missing_reader
from tests.engine.conftest import RunningEngine, form, shared_clip

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "scenes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"start": {"type": "number"}, "end": {"type": "number"}, "colors": {"type": "string"}},
                "required": ["start", "end"],
            },
        },
        "has_speech": {"type": "boolean"},
    },
    "required": ["title", "scenes", "has_speech"],
}


def by_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["event_type"] == "text_generation")


# -- assets -----------------------------------------------------------------


def test_an_upload_becomes_ready(engine: RunningEngine, sample_clip: Path) -> None:
    asset = engine.upload(sample_clip, filename="my clip.mp4")
    assert asset["status"] == "processing"
    assert len(asset["_id"]) == 24
    settled = engine.settled(asset["_id"])
    assert settled == {**asset, "status": "ready", "file_type": "video/mp4", "filename": "my clip.mp4"}


def test_a_file_that_cannot_be_used_fails_with_a_reason(engine: RunningEngine, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(b"no video at all")
    asset_id = engine.upload(path)["_id"]
    status, error = engine.call("POST", "/analyze", {"video_id": asset_id, "prompt": "x"})
    assert (status, error["code"]) == (400, "video_file_broken")
    failed = engine.call("GET", f"/assets/{asset_id}")[1]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "video_file_broken")


def test_a_short_clip_fails_with_the_code_of_its_limit(engine: RunningEngine) -> None:
    asset_id = engine.upload(shared_clip("too-short.mp4"))["_id"]
    status, error = engine.call("POST", "/analyze", {"video_id": asset_id, "prompt": "x"})
    assert (status, error["code"]) == (400, "video_duration_too_short")


def test_assets_are_listed_in_pages_newest_first(engine: RunningEngine, sample_clip: Path) -> None:
    new = engine.upload(sample_clip)["_id"]
    status, page = engine.call("GET", "/assets?page_limit=1")
    assert status == 200
    assert [one["_id"] for one in page["data"]] == [new]
    assert page["page_info"]["limit_per_page"] == 1
    assert engine.call("GET", "/assets?page=999")[1]["data"] == []
    assert engine.call("GET", f"/assets?asset_ids={new}&asset_ids=nothing")[1]["page_info"]["total_results"] == 1
    assert engine.call("GET", f"/assets?asset_ids={new}&asset_types=audio")[1]["data"] == []


@pytest.mark.parametrize("query", ["page=0", "page=x", "page_limit=51", "page_limit=-1", "asset_types=text"])
def test_a_page_that_cannot_be_is_refused(engine: RunningEngine, query: str) -> None:
    status, error = engine.call("GET", f"/assets?{query}")
    assert (status, error["code"]) == (400, "parameter_invalid")


def test_a_deleted_asset_is_gone(engine: RunningEngine, sample_clip: Path) -> None:
    asset_id = engine.upload(sample_clip)["_id"]
    assert engine.call("DELETE", f"/assets/{asset_id}") == (204, None)
    for method in ("GET", "DELETE"):
        status, error = engine.call(method, f"/assets/{asset_id}")
        assert (status, error["code"]) == (404, "resource_not_exist")
    assert engine.call("POST", "/analyze", {"video_id": asset_id, "prompt": "x"})[0] == 404


@pytest.mark.parametrize(
    ("fields", "file", "code"),
    [
        ({}, ("a.mp4", b"x"), "parameter_not_provided"),
        ({"method": "magic"}, None, "parameter_invalid"),
        ({"method": "direct"}, None, "parameter_not_provided"),
        ({"method": "direct"}, ("a.mp4", b""), "parameter_invalid"),
        ({"method": "url"}, None, "parameter_not_provided"),
        ({"method": "url", "url": "ftp://a/b"}, None, "parameter_invalid"),
    ],
)
def test_a_form_that_lacks_something_is_refused_and_leaves_nothing(
    engine: RunningEngine, fields: dict[str, str], file: tuple[str, bytes] | None, code: str
) -> None:
    before = engine.call("GET", "/assets")[1]["page_info"]["total_results"]
    status, error = engine.call("POST", "/assets", *form(fields, file))
    assert (status, error["code"]) == (400, code)
    assert engine.call("GET", "/assets")[1]["page_info"]["total_results"] == before
    assert list((engine.data_dir / "incoming").iterdir()) == []


def test_a_file_name_may_hold_semicolons(engine: RunningEngine) -> None:
    status, asset = engine.call("POST", "/assets", *form({"method": "direct"}, ("a;b;c.mp4", b"x")))
    assert (status, asset["filename"]) == (201, "a;b;c.mp4")


def test_json_is_no_form(engine: RunningEngine) -> None:
    status, error = engine.call("POST", "/assets", {"method": "direct"})
    assert (status, error["code"]) == (400, "content_type_invalid")


def test_an_asset_by_url_from_a_private_address_fails(engine: RunningEngine) -> None:
    fields = {"method": "url", "url": "http://127.0.0.1:9/a.mp4"}
    status, asset = engine.call("POST", "/assets", *form(fields))
    assert (status, asset["method"], asset["filename"]) == (201, "url", "a.mp4")
    failed = engine.settled(asset["_id"])
    assert failed["status"] == "failed"
    assert "not a public one" in failed["error"]["message"]


# -- analyze ----------------------------------------------------------------


def test_a_stream_begins_tells_and_ends(engine: RunningEngine, sample_asset: str) -> None:
    events = engine.stream({"video_id": sample_asset, "prompt": "Summarize"})
    assert [events[0]["event_type"], events[-1]["event_type"]] == ["stream_start", "stream_end"]
    assert {event["event_type"] for event in events[1:-1]} == {"text_generation"}
    assert events[0]["metadata"]["generation_id"] == events[-1]["metadata"]["generation_id"]
    assert events[-1]["finish_reason"] == "stop"
    text = text_of(events)
    assert events[-1]["metadata"]["usage"]["output_tokens"] == -(-len(text.encode()) // 4)
    assert "[00:02] After a cut" in text
    assert "steady tone of 440 Hz" in text


def test_every_answer_names_the_model_and_what_was_examined(engine: RunningEngine, sample_asset: str) -> None:
    metadata = engine.stream({"video_id": sample_asset, "prompt": "Which colours?"})[-1]["metadata"]
    assert metadata["model_name"] == "local-facts"
    outcomes = {kind: exam["outcome"] for kind, exam in metadata["examinations"].items()}
    assert outcomes == {
        "picture": "made",
        "sound": "not_needed",
        "speech": "not_needed",
        "on_screen_text": "not_available" if missing_reader() else "not_needed",
        "things": "not_available",
    }


def test_without_streaming_the_answer_is_one_object(engine: RunningEngine, sample_asset: str) -> None:
    status, answer = engine.call("POST", "/analyze", {"video_id": sample_asset, "prompt": "Summarize", "stream": False})
    assert status == 200
    assert answer["finish_reason"] == "stop"
    assert answer["data"] == text_of(engine.stream({"video_id": sample_asset, "prompt": "Summarize"}))


def test_a_schema_is_filled_validly(engine: RunningEngine, sample_asset: str) -> None:
    events = engine.stream({"video_id": sample_asset, "prompt": "x", **by_schema(SCHEMA)})
    value = json.loads(text_of(events))
    jsonschema_rs.validator_for(SCHEMA).validate(value)
    assert [one["start"] for one in value["scenes"]] == [0.0, 2.0, 4.4, 6.4]
    assert value["has_speech"] is False


def test_a_schema_that_asks_for_more_is_refused_before_the_first_event(
    engine: RunningEngine, sample_asset: str
) -> None:
    schema = {"type": "object", "properties": {"people": {"type": "string"}}, "required": ["people"]}
    status, error = engine.call("POST", "/analyze", {"video_id": sample_asset, "prompt": "x", **by_schema(schema)})
    assert (status, error["code"]) == (400, "parameter_invalid")
    assert "/people" in error["message"]


def test_a_keyword_that_the_api_refuses_is_a_422(engine: RunningEngine, sample_asset: str) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string", "maxLength": 5}}}
    assert engine.call("POST", "/analyze", {"video_id": sample_asset, "prompt": "x", **by_schema(schema)})[0] == 422


def test_a_spent_budget_ends_with_length(engine: RunningEngine, sample_asset: str) -> None:
    events = engine.stream({"video_id": sample_asset, "prompt": "x", "max_tokens": 5})
    assert events[-1]["finish_reason"] == "length"
    assert events[-1]["metadata"]["usage"] == {"output_tokens": 5}
    assert len(text_of(events)) == 20


def test_a_value_lost_half_way_breaks_the_stream_instead_of_ending_it(engine: RunningEngine, sample_asset: str) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "scene_count": {"type": "integer", "minimum": 50}},
        "required": ["title", "scene_count"],
    }
    tail = broken_off(engine, {"video_id": sample_asset, "prompt": "x", **by_schema(schema)})
    assert json.loads(tail)["code"] == "parameter_invalid"


def test_media_in_the_request_are_analysed_and_not_kept(engine: RunningEngine, sample_clip: Path) -> None:
    video = {"type": "base64_string", "base64_string": base64.b64encode(sample_clip.read_bytes()).decode()}
    before = engine.call("GET", "/assets")[1]["page_info"]["total_results"]
    status, answer = engine.call("POST", "/analyze", {"video": video, "prompt": "colours", "stream": False})
    assert status == 200
    assert "dark blue" in answer["data"]
    assert engine.call("GET", "/assets")[1]["page_info"]["total_results"] == before
    assert list((engine.data_dir / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("video", "code"),
    [
        ({"type": "base64_string", "base64_string": "!!"}, "parameter_invalid"),
        ({"type": "base64_string", "base64_string": "aGVsbG8="}, "video_file_broken"),
        ({"type": "url", "url": "http://localhost:9/a.mp4"}, "parameter_invalid"),
    ],
)
def test_media_that_cannot_be_had_are_an_http_error(engine: RunningEngine, video: dict[str, str], code: str) -> None:
    status, error = engine.call("POST", "/analyze", {"video": video, "prompt": "x"})
    assert (status, error["code"]) == (400, code)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"x"', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(engine: RunningEngine, text: bytes) -> None:
    status, error = engine.call("POST", "/analyze", text, {"Content-Type": "application/json"})
    assert (status, error["code"]) == (400, "parameter_invalid")


def test_unknown_paths_and_methods_have_json_errors(engine: RunningEngine) -> None:
    assert engine.call("GET", "/nothing")[0] == 404
    assert engine.call("PUT", "/assets")[0] == 405


# -- endings that are not the caller's wish ----------------------------------


def post(engine: RunningEngine, body: dict[str, Any]) -> socket.socket:
    """Send an analyze request on a bare socket; returns once the first bytes are there."""
    connection = engine.connect().sock
    text = json.dumps(body).encode()
    head = f"POST /v1.3/analyze HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
    connection.sendall(head.encode() + b"\r\n\r\n" + text)
    return connection


def workers_of(engine: RunningEngine) -> set[int]:
    """The engine's worker processes."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == engine.process.pid:
            found.add(int(entry.name))
    return found


def at_work(engine: RunningEngine) -> set[int]:
    """The workers that have one of the engine's media open."""
    found = set()
    for pid in workers_of(engine):
        with suppress(OSError):
            names = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            if any(name.startswith(str(engine.data_dir / "media")) for name in names):
                found.add(pid)
    return found


def wait_until_gone(pid: int) -> None:
    """Return when a process that is not our child has ended."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ended = select.select([descriptor], [], [], 5)[0]
        os.close(descriptor)
        assert ended, "the process lives on"


def broken_off(engine: RunningEngine, body: dict[str, Any], kill: bool = False) -> bytes:
    """Return the last line of an answer whose body must break off without its last chunk."""
    connection = post(engine, body)
    received = connection.recv(65536)
    for pid in at_work(engine) if kill else ():
        os.kill(pid, signal.SIGSEGV)
    while piece := connection.recv(65536):
        received += piece
    connection.close()
    assert b"0\r\n\r\n" not in received
    assert b"stream_end" not in received
    return received.rstrip(b"\r\n").rpartition(b"\n")[2]


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers through /proc")


@needs_proc
def test_a_worker_that_dies_breaks_its_own_stream_only(engine: RunningEngine, sample_asset: str) -> None:
    asset = engine.upload(shared_clip("bunny.mp4"))["_id"]
    engine.settled(asset)
    tail = broken_off(engine, {"video_id": asset, "prompt": "Summarize"}, kill=True)
    assert json.loads(tail)["code"] == "video_file_broken"
    assert engine.stream({"video_id": sample_asset, "prompt": "x"})[-1]["event_type"] == "stream_end"


@needs_proc
def test_a_caller_who_leaves_takes_the_worker_along(engine: RunningEngine) -> None:
    asset = engine.upload(shared_clip("bunny.mp4"))["_id"]
    engine.settled(asset)
    connection = post(engine, {"video_id": asset, "prompt": "Summarize"})
    assert b"200 OK" in connection.recv(65536)
    busy = at_work(engine)
    assert busy
    connection.close()
    for pid in busy:
        wait_until_gone(pid)


@needs_proc
def test_a_recogniser_that_dies_breaks_the_stream(engine: RunningEngine) -> None:
    asset = engine.upload(shared_clip("webb.mp4"))["_id"]
    engine.settled(asset)
    connection = post(engine, {"video_id": asset, "prompt": "Transcribe it"})
    received = connection.recv(65536)
    [worker] = at_work(engine)
    for pid in Path(f"/proc/{worker}/task/{worker}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    while piece := connection.recv(65536):
        received += piece
    connection.close()
    assert b"stream_end" not in received
    assert b"recogniser ended unexpectedly" in received


# -- rows -------------------------------------------------------------------


def test_half_a_character_is_refused_wherever_it_would_be_kept(engine: RunningEngine) -> None:
    models = [{"model_name": "marengo3.0"}]
    for path, body in (
        ("/indexes", {"index_name": "x\ud83d", "models": models}),
        ("/entity-collections", {"name": "\udc00"}),
        ("/assets/multipart-uploads", {"filename": "\ud800", "type": "video", "total_size": 1}),
    ):
        status, error = engine.call("POST", path, body)
        assert (status, error["code"]) == (400, "parameter_invalid")


def test_an_encoded_body_is_refused_and_not_inflated(engine: RunningEngine) -> None:
    for encoding in ("gzip", "br", "gzip, gzip"):
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        status, told = engine.call("POST", "/indexes", b"no gzip at all", headers)
        assert (status, told["code"]) == (400, "parameter_invalid")
        assert "Content-Encoding" in told["message"]
    plain = {"Content-Type": "application/json", "Content-Encoding": "identity"}
    assert engine.call("POST", "/indexes", b"{}", plain)[1]["code"] == "parameter_not_provided"


def test_a_report_of_more_chunks_than_an_upload_can_have_is_refused(engine: RunningEngine) -> None:
    one = {"chunk_index": 1, "proof": "0" * 32, "proof_type": "etag", "chunk_size": 1}
    _, upload = engine.call(
        "POST", "/assets/multipart-uploads", {"filename": "a.mp4", "type": "video", "total_size": 9}
    )
    path = f"/assets/multipart-uploads/{upload['upload_id']}"
    status, told = engine.call("POST", path, {"completed_chunks": [one] * 10_001})
    assert (status, told["code"]) == (400, "parameter_invalid")
    assert "10,000" in told["message"]
