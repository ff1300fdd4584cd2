"""OpenAI's dialect: what its clients send is understood, and no run that ended badly passes for an answer."""

import asyncio
from hashlib import sha256
from typing import Any

import aiohttp
import orjson
import pytest

from protocol.upstream.textlog import TextLog
from service.web.dialects.openai import handlers
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until

LINK, OTHER, THIRD = ("https://a.example/b.mp4", "https://a.example/c.mp4", "https://a.example/d.mp4")
DONE = [start(), text("a "), text("dog"), end()]
TITLES = (
    "### Task:\nGenerate a title.\n<chat_history>\nUSER: {} what?\n</chat_history>",
    "Analyze this conversation and provide:\n1. the language\n{}",
    "Provide a concise, 5-word-or-less title for the conversation. {}",
    "### Task:\nSummarize the conversation history that will be compacted. {}",
    "Your task is to reflect the speaker's likely facial expression through an emoji. {}",
)
ATTACHED = (
    '<attached_files>\n<file type="file" id="f" content_type="video/mp4" name="a.mp4"/>\n</attached_files>\n\nwhat?'
)


def user(words: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [*parts, {"type": "text", "text": words}] if parts else words}


def part(link: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": link}}


def asking(*messages: dict[str, Any], **body: Any) -> dict[str, Any]:
    return {"model": "gpt-x", "messages": list(messages) or [user("what?", part(LINK))], **body}


async def post(service: Service, body: dict[str, Any], **headers: str) -> tuple[int, Any, Any]:
    """Status, object and headers of an answer that is not streamed."""
    url = service.url + "/openai/v1/chat/completions"
    async with service.http.post(url, json=body, headers=headers) as answer:
        return answer.status, orjson.loads(await answer.read()), answer.headers


async def stream(service: Service, body: dict[str, Any]) -> tuple[list[Any], bool]:
    """The lines of a streamed answer, and whether its body ended well."""
    url, whole = service.url + "/openai/v1/chat/completions", b""
    async with service.http.post(url, json={**body, "stream": True}) as answer:
        assert answer.status == 200, await answer.text()
        try:
            async for data in answer.content.iter_any():
                whole += data
        except aiohttp.ClientPayloadError:
            return lines(whole), False
        return lines(whole), True


def lines(whole: bytes) -> list[Any]:
    told = [event.removeprefix(b"data: ") for event in whole.split(b"\n\n") if event.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else orjson.loads(line) for line in told]


def sent(service: Service) -> list[dict[str, Any]]:
    return [orjson.loads(seen.body) for seen in service.upstream.seen]


# -- which video


@pytest.mark.parametrize(
    ("body", "video"),
    [
        ({"messages": [user("q", {"type": "video_url", "video_url": LINK})]}, LINK),
        ({"messages": [user("q", {"type": "video_url", "video_url": {"url": LINK, "detail": "low"}})]}, LINK),
        ({"messages": [user("q", {"type": "input_video", "input_video": {"url": LINK}})]}, LINK),
        ({"messages": [user("q", {"type": "file", "file": {"file_id": "x"}})]}, "asset:x"),
        ({"messages": [user("q", {"type": "file", "file": {"file_data": LINK, "filename": "b.mp4"}})]}, LINK),
        ({"messages": [user("q", part(LINK))], "video": OTHER}, LINK),
        ({"messages": [user(f"q {LINK}")], "video": "asset:x", "metadata": {"video": OTHER}}, "asset:x"),
        ({"messages": [user("q")], "metadata": {"video": OTHER, "asset_id": "x"}}, OTHER),
        ({"messages": [user("q")], "metadata": {"asset_id": "x", "video_id": "v"}}, "asset:x"),
        ({"messages": [user("q", part(LINK)), user("r", part(OTHER)), user("s")]}, OTHER),
        ({"messages": [user("q", part(LINK)), user(f"r {OTHER}")]}, LINK),
        ({"messages": [user(f"q {LINK}"), user(f"r {OTHER} or {THIRD}, please"), user("s")]}, THIRD),
        ({"messages": [user(f"q {LINK}"), {"role": "assistant", "content": f"see {OTHER}"}, user("s")]}, LINK),
        ({"messages": [user("q", part(LINK), {"type": "file", "file": {"file_data": "data:application/pdf;base64,A"}}), user("s")]}, LINK),
    ],
)  # fmt: skip
async def test_what_is_said_now_names_the_video_before_what_was_said_before(serving: Serving, body, video):
    async with serving(Play(DONE)) as service:
        status, told, _ = await post(service, {"model": "any", **body})
        assert status == 200, told
        (asked,) = sent(service)
        named = asked["video"].get("url") or f"asset:{asked['video'].get('asset_id')}"
        assert named == video


async def test_a_video_that_is_indexed_is_named_by_its_id(serving: Serving):
    async with serving(Play(DONE)) as service:
        await post(service, asking(user("q"), metadata={"video_id": "v1"}))
        assert (sent(service)[0]["video_id"], "video" in sent(service)[0]) == ("v1", False)


async def test_base64_of_any_client_goes_upstream_as_media(serving: Serving):
    async with serving(Play(DONE)) as service:
        forms = [
            part("data:video/mp4;base64,QUFB"),
            {"type": "file", "file": {"file_data": "data:video/mp4;base64,QUFB"}},
            {"type": "input_video", "input_video": {"data": "QUFB", "format": "mp4"}},
        ]
        for form in forms:
            await post(service, asking(user("q", form), fanlight={"join": "never"}))
        assert [one["video"] for one in sent(service)] == [{"type": "base64_string", "base64_string": "QUFB"}] * 3


@pytest.mark.parametrize("title", TITLES)
async def test_a_title_costs_no_analysis(serving: Serving, title: str):
    async with serving(Play(DONE)) as service:
        for model in ("fanlight", "asset:x"):
            status, told, headers = await post(service, {"model": model, "messages": [user(title.format(LINK))]})
            assert (status, told["error"]["code"], headers["x-should-retry"]) == (400, "video_required", "false")
        assert service.upstream.seen == []


# -- what is asked


async def test_a_conversation_is_one_prompt_with_its_question_last(serving: Serving):
    async with serving(Play(DONE)) as service:
        said = [
            {"role": "developer", "content": "Be short."},
            user("first?", part(LINK)),
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "x", "tool_call_id": "y"},
            {"role": "assistant", "content": "yes."},
            user("and now?"),
        ]
        await post(service, asking(*said))
        assert sent(service)[0]["prompt"] == (
            "Instructions:\nBe short.\n\nConversation so far:\nUser: first?\nAssistant: yes.\n\nand now?"
        )


async def test_a_schema_goes_upstream_without_what_only_the_verdict_knows(serving: Serving):
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "additionalProperties": {"type": "string"},
            "of": {"type": "array", "items": {"type": "object", "additionalProperties": False}},
            "kind": {"const": {"additionalProperties": 1}},
        },
    }
    envelope = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    async with serving(Play([start(), text('{"more":'), text("1}"), end()])) as service:
        told, clean = await stream(service, asking(response_format=envelope))
        kept = sent(service)[0]["response_format"]["json_schema"]["properties"]
        assert "additionalProperties" not in sent(service)[0]["response_format"]["json_schema"]
        assert kept["additionalProperties"] == {"type": "string"}
        assert kept["of"]["items"] == {"type": "object"}
        assert kept["kind"]["const"] == {"additionalProperties": 1}
        finish = told[-2]["fanlight"]
        assert (clean, finish["status"], finish["validation"]["valid"]) == (True, "completed", False)
        for form in ({"type": "json_object"}, {"type": "text"}):
            await post(service, asking(response_format=form, fanlight={"join": "never"}))
        assert [("response_format" in one) for one in sent(service)] == [True, False, False]


async def test_limits_and_temperature_are_said_in_the_upstreams_terms(serving: Serving):
    async with serving(Play(DONE)) as service:
        await post(service, asking(max_tokens=10, temperature=1.7, seed=1, top_p=0.5, tools=[{}], tool_choice="auto"))
        await post(service, asking(max_completion_tokens=20, max_tokens=10, temperature=0.5, n=1, model="pegasus1.5"))
        one, other = sent(service)
        assert (one["max_tokens"], one["temperature"], "model_name" in one, "seed" in one) == (10, 1.0, False, False)
        assert (other["max_tokens"], other["temperature"], other["model_name"]) == (20, 0.5, "pegasus1.5")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"n": 2}, "unsupported", "n"),
        ({"tool_choice": "required"}, "unsupported", "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "unsupported", "tool_choice"),
        ({"messages": []}, "invalid_request", "messages"),
        ({"messages": "q"}, "invalid_request", "messages"),
        ({"messages": [{"role": "nobody", "content": "q"}]}, "invalid_request", "messages.0.role"),
        ({"messages": [{"role": "assistant", "content": "q"}]}, "invalid_request", "messages"),
        ({"messages": [user(" ", part(LINK))]}, "invalid_request", "messages"),
        ({"messages": [user("q")]}, "video_required", None),
        ({"messages": [user("q", {"type": "video_url"})], "metadata": {"video": LINK}}, "video_invalid", None),
        ({"messages": [user("q", part("ftp://x"))]}, "video_invalid", None),
        ({"messages": [user("q")], "model": "m" * 1001}, "invalid_request", "model"),
        ({"messages": [user("q")], "video": "https://a.example/" + "b" * 9000}, "video_invalid", None),
        ({"messages": [user("q")], "video": 7}, "video_invalid", None),
        ({"messages": [user("q", part(LINK), part(OTHER))]}, "too_many_videos", None),
        ({"messages": [user("q", part(LINK), {"type": "image_url", "image_url": {"url": "x"}})]}, "part_unsupported", None),
        ({"messages": [user("q", {"type": "file", "file": {"file_data": "data:application/pdf;base64,A"}})]}, "part_unsupported", None),
        ({"messages": [user("q" * 6001, part(LINK))]}, "prompt_too_long", None),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "x"}}}}, "schema_invalid", "response_format.json_schema/type"),
        ({"fanlight": {"join": "so"}}, "option_invalid", "join"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_a_client_error_that_is_not_repeated(serving: Serving, body, code, param):
    async with serving(Play(DONE)) as service:
        status, told, headers = await post(service, {**asking(), **body})
        error = told["error"]
        assert (status, error["type"], headers["x-should-retry"]) == (400, "invalid_request_error", "false")
        assert (error["code"], error["param"]) == (code, param)
        assert service.upstream.seen == []


# -- models


def assets(*rows: dict[str, Any]) -> Play:
    return Play([orjson.dumps({"data": list(rows)})], headers={"Content-Type": "application/json"})


async def test_the_models_are_the_newest_assets_that_are_ready(serving: Serving, monkeypatch):
    async with serving() as service:
        ready = {"_id": "x", "status": "ready", "filename": "b.mp4"}
        service.upstream.paths = {
            "/v1.3/assets?page=1&page_limit=50": assets(ready, {"_id": "y", "status": "processing"}),
            "/v1.3/assets/z": assets(),
            "/v1.3/assets/gone": Play([], status=404),
        }
        for _ in range(2):
            async with service.http.get(service.url + "/openai/v1/models") as answer:
                told = (await answer.json())["data"]
        assert [(one["id"], one.get("name")) for one in told] == [("fanlight", None), ("asset:x", "b.mp4")]
        assert len(service.upstream.seen) == 1
        for ident, status in (("fanlight", 200), ("asset%3Ax", 200), ("asset:z", 200), ("asset:gone", 404), ("x", 404)):
            async with service.http.get(f"{service.url}/openai/v1/models/{ident}") as answer:
                assert answer.status == status, ident
        monkeypatch.setattr(handlers, "ASSETS_S", 0.0)
        elsewhere = Play([], status=302, headers={"Location": "/v1.3/assets/z"})
        service.upstream.paths |= {"/v1.3/assets?page=1&page_limit=50": elsewhere}
        seen = len(service.upstream.seen)
        async with service.http.get(service.url + "/openai/v1/models") as answer:
            assert [one["id"] for one in (await answer.json())["data"]] == ["fanlight"]
        assert len(service.upstream.seen) == seen + 1
        service.upstream.paths = {"/v1.3/assets?page=1&page_limit=50": Play([b"<html>"], status=500)}
        async with service.http.get(service.url + "/openai/v1/models") as answer:
            assert [one["id"] for one in (await answer.json())["data"]] == ["fanlight"]


async def test_a_model_names_an_asset_and_is_told_back(serving: Serving):
    async with serving() as service:
        service.upstream.paths = {
            "/v1.3/assets/x": assets(),
            "/v1.3/assets/y": Play([b"no JSON"], status=404),
            "/v1.3/analyze": Play(DONE),
        }
        status, told, _ = await post(service, asking(user("q"), model="asset:x"))
        assert (status, told["model"]) == (200, "asset:x")
        assert orjson.loads(service.upstream.seen[-1].body)["video"] == {"type": "asset_id", "asset_id": "x"}
        for gone in ("asset:y", "asset:", "asset:é", "asset:a/b"):
            status, told, headers = await post(service, asking(user("q"), model=gone))
            error = told["error"]
            assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
            assert (error["type"], headers["x-should-retry"]) == ("not_found_error", "false")


# -- the answer


async def test_a_run_is_a_role_its_text_one_finish_and_done(serving: Serving):
    async with serving(Play([start(), text("At\u2028"), text("00:12\x85"), end()])) as service:
        url = service.url + "/openai/v1/chat/completions"
        async with service.http.post(url, json=asking(stream=True)) as answer:
            whole = await answer.read()
            headers = answer.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Connection"] == "keep-alive"
        assert headers["Cache-Control"] == "no-store"
        told = lines(whole)
        assert len(whole.decode().splitlines()) == 2 * len(told)
        assert told[0]["choices"] == [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        ]
        said = [one["choices"][0]["delta"].get("content", "") for one in told[:-1]]
        assert "".join(said) == "At\u202800:12\x85"
        assert {(one["id"], one["object"], one["model"], type(one["created"])) for one in told[:-1]} == {
            ("chatcmpl-" + headers["Fanlight-Stream"].removeprefix("st_"), "chat.completion.chunk", "gpt-x", int)
        }
        assert [one["choices"][0]["finish_reason"] for one in told[:-1]].count("stop") == 1
        assert told[-2]["choices"][0]["delta"] == {}
        assert told[-2]["fanlight"].keys() == {"stream", "status", "sha256"}
        assert not any("usage" in one for one in told[:-1])
        assert told[-1] == "[DONE]"


async def test_the_usage_is_told_only_to_who_asks_and_is_null_before(serving: Serving):
    async with serving(Play([start(), text("a"), end("length")])) as service:
        told, clean = await stream(service, asking(stream_options={"include_usage": True}))
        assert clean
        *before, finish, usage, done = told
        assert [one["usage"] for one in [*before, finish]] == [None] * (len(before) + 1)
        assert (finish["choices"][0]["finish_reason"], usage["choices"], done) == ("length", [], "[DONE]")
        assert usage["usage"] == {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}


async def test_without_stream_there_is_one_object(serving: Serving):
    async with serving(Play(DONE)) as service:
        status, told, headers = await post(service, asking())
        assert (status, told["object"], headers["Fanlight-Join"]) == (200, "chat.completion", "leader")
        (choice,) = told["choices"]
        assert choice["message"] == {"role": "assistant", "content": "a dog", "refusal": None}
        assert (choice["finish_reason"], told["fanlight"]["status"]) == ("stop", "completed")
        assert told["usage"]["completion_tokens"] == 3


async def test_the_answer_is_held_until_the_first_text(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), gate, text("a"), end()])) as service:
        held = asyncio.create_task(
            service.http.post(service.url + "/openai/v1/chat/completions", json=asking(stream=True))
        )
        await gate.reached.wait()
        await asyncio.sleep(0.02)
        assert not held.done()
        gate.open()
        async with await held as answer:
            assert answer.status == 200
            await answer.read()


async def test_a_long_silence_is_not_held_and_is_filled_with_empty_deltas(serving: Serving, monkeypatch):
    monkeypatch.setattr(handlers, "HOLD_S", 0.0)
    gate = Gate()
    async with serving(Play([start(), gate, text("a"), end()])) as service:
        answering = asyncio.create_task(stream(service, asking()))
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 2)
        service.hub.list("local")[0].beat(0.0)
        gate.open()
        told, clean = await answering
        assert clean
        assert [one["choices"][0]["delta"] for one in told[:3]] == [
            {"role": "assistant", "content": ""},
            {},
            {"content": "a"},
        ]


async def test_callers_with_different_wishes_share_a_run_and_see_their_own(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, end()])) as service:
        wishes = [
            asking(),
            asking(model="other"),
            asking(stream_options={"include_usage": True}),
        ]
        answering = [asyncio.create_task(stream(service, wish)) for wish in wishes]
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 6)
        gate.open()
        told = [(await one)[0] for one in answering]
        assert len(service.upstream.seen) == 1
        assert [one[0]["model"] for one in told] == ["gpt-x", "other", "gpt-x"]
        assert ["usage" in one[0] for one in told] == [False, False, True]


# -- what went wrong


@pytest.mark.parametrize(
    ("last", "code"), [([], "upstream_truncated"), ([Cut()], "upstream_broken"), ([b"{\n"], "upstream_protocol")]
)
async def test_behind_text_there_is_an_error_line_and_then_a_cut(serving: Serving, last, code):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, *last])) as service:
        answering = asyncio.create_task(stream(service, asking(stream_options={"include_usage": True})))
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 2)
        gate.open()
        told, clean = await answering
        assert not clean
        assert told[-1]["error"].keys() == {"message", "type", "param", "code"}
        assert (told[-1]["error"]["type"], told[-1]["error"]["code"]) == ("server_error", code)
        assert all(one["choices"][0]["finish_reason"] is None for one in told[:-1])


async def test_a_text_that_begins_again_is_an_error_at_once(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()])) as service:
        answering = asyncio.create_task(stream(service, asking(fanlight={"restart": 1})))
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 2)
        service.hub.list("local")[0].run.regenerate(TextLog(100), "taken_over")
        told, clean = await answering
        assert (clean, told[-1]["error"]["code"]) == (False, "restarted")


async def test_a_caller_of_http_1_0_has_a_body_that_ends_with_its_connection(serving: Serving):
    async with serving(Play(DONE)) as service:
        body = orjson.dumps(asking(stream=True))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        head = f"POST /openai/v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        whole = await reader.read()
        writer.close()
        told_head, _, rest = whole.partition(b"\r\n\r\n")
        assert b"Connection: close" in told_head
        assert b"chunked" not in told_head
        assert lines(rest)[-1] == "[DONE]"
        assert rest.startswith(b"data: {")


@pytest.mark.parametrize(
    ("play", "status", "kind", "code", "again"),
    [
        *[(Play([b"{}"], status=n), n, "invalid_request_error", "upstream_refused", False) for n in (400, 404, 413, 422)],
        *[(Play([b"{}"], status=n), 502, "server_error", "upstream_refused", False) for n in (401, 403, 418)],
        (Play([b"{}"], status=429, headers={"retry-after": "0"}), 429, "rate_limit_error", "upstream_refused", True),
        (Play([]), 502, "server_error", "upstream_truncated", False),
        (Play([start(), Cut()]), 502, "server_error", "upstream_broken", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_error_before_the_first_text_has_a_status(serving: Serving, play, status, kind, code, again, streamed):
    async with serving(play) as service:
        answered, told, headers = await post(service, asking(stream=streamed))
        error = told["error"]
        assert (answered, error["type"], error["code"], error["param"]) == (status, kind, code, None)
        assert ("x-should-retry" in headers, headers.get("Retry-After")) == (not again, "0" if again else None)
        assert headers["Fanlight-Stream"].startswith("st_")


async def test_a_run_that_did_not_end_well_is_never_an_object(serving: Serving):
    async with serving(Play([start(), text("a")])) as service:
        status, told, headers = await post(service, asking())
        assert (status, told["error"]["code"]) == (502, "upstream_truncated")
        assert headers["x-should-retry"] == "false"


async def test_an_upstream_that_is_not_there_may_be_asked_again_and_a_clock_may_not(serving: Serving):
    async with serving(upstream_url="http://127.0.0.1:9/v1.3", total_timeout_s=0.1) as service:
        status, told, headers = await post(service, asking())
        assert (status, told["error"]["code"]) == (502, "upstream_unreachable")
        assert "x-should-retry" not in headers
    async with serving(Play([start(), Hang()]), idle_timeout_s=0.05) as service:
        status, told, headers = await post(service, asking())
        assert (status, told["error"]["code"]) == (504, "upstream_timeout_idle")
        assert headers["x-should-retry"] == "false"


async def test_a_service_that_is_full_or_leaves_says_when_to_come_again(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()]), max_streams_per_tenant=1) as service:
        await service.start()
        status, told, headers = await post(service, asking())
        assert (status, told["error"]["type"], told["error"]["code"]) == (429, "rate_limit_error", "limit_reached")
        assert ("x-should-retry" in headers, headers["Retry-After"]) == (False, "1")
        service.hub.drain()
        status, told, headers = await post(service, asking())
        assert (status, told["error"]["type"], told["error"]["code"]) == (503, "server_error", "draining")
        assert ("x-should-retry" in headers, headers["Retry-After"]) == (False, "1")


async def test_the_door_speaks_the_dialect_to_pages_too(serving: Serving):
    key = "secret-key-0123456789"
    async with serving(
        Play(DONE), api_keys={sha256(key.encode()).hexdigest(): "t"}, origins=["https://page.example"]
    ) as service:
        page = {"Origin": "https://page.example"}
        status, told, headers = await post(service, asking(), **page)
        assert (status, told["error"]["type"], told["error"]["code"]) == (
            401,
            "authentication_error",
            "unauthenticated",
        )
        assert headers["Access-Control-Allow-Origin"] == page["Origin"]
        status, told, headers = await post(service, asking(), Authorization=f"Bearer {key}", **page)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, page["Origin"])
        assert "Fanlight-Stream" in headers["Access-Control-Expose-Headers"]
        status, told, _ = await post(service, asking(), Origin="https://else.example")
        assert (status, told["error"]["type"]) == (403, "permission_error")
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-stainless-lang, x-own"}
        async with service.http.options(service.url + "/openai/v1/models", headers={**page, **asked}) as answer:
            assert answer.headers["Access-Control-Allow-Headers"] == "x-stainless-lang, x-own"
        async with service.http.get(service.url + "/openai/v1/nothing", headers={"x-api-key": key}) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (404, "not_found_error")


async def test_a_body_may_be_large_but_not_without_bound(serving: Serving):
    async with serving(Play(DONE), chat_body_bytes=1 << 19, max_body_bytes=1 << 17) as service:
        for size, status in ((1 << 18, 200), (1 << 19, 413)):
            media = part("data:video/mp4;base64," + "A" * size)
            answered, told, headers = await post(service, asking(user("q", media)))
            assert answered == status, told
        assert (told["error"]["type"], told["error"]["code"]) == ("invalid_request_error", "too_large")
        assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_caller_that_leaves_before_the_first_text_ends_the_run(serving: Serving, streamed: bool):
    gate = Gate()
    async with serving(Play([start(), gate])) as service:
        asked = asyncio.create_task(post(service, asking(stream=streamed)))
        await gate.reached.wait()
        await until(lambda: service.hub.list("local")[0].subscribers)
        asked.cancel()
        assert (await service.hub.list("local")[0].run.ended()).code == "abandoned"
        await service.upstream.idle.wait()


async def test_a_caller_that_leaves_ends_the_run_unless_others_read_it(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()])) as service:
        both = [asyncio.create_task(stream(service, asking())) for _ in range(2)]
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 4)
        (running,) = service.hub.list("local")
        both[0].cancel()
        await until(lambda: running.subscribers == 2)
        assert running.run.ending is None
        both[1].cancel()
        assert (await running.run.ended()).code == "abandoned"
        await service.upstream.idle.wait()


async def test_a_video_that_stays_with_a_program_is_not_passed_over(serving: Serving):
    async with serving() as service:
        for model in ("asset:a1", "fanlight"):
            status, told, _ = await post(service, {"model": model, "messages": [user(ATTACHED)]})
            assert (status, told["error"]["code"]) == (400, "part_unsupported")
        assert not service.upstream.seen
