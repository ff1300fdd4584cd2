"""The AI SDK's dialect: what its clients send is understood, and each ending looks as it was (docs/dialects.md)."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest

from protocol.upstream.textlog import TextLog
from service.hub import hub as hubs
from service.web.dialects.ai_sdk.chats import CHATS
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until

LINK = "https://a.example/b.mp4"
SCHEMA = {"type": "array", "items": {"type": "object", "required": ["start", "text"]}}
WHOLE = '[{"start": 0, "text": "a"}, {"start": 2.5}]'


def user(words: str, *, ident: str = "m1", video: str | None = LINK, media: str = "video/mp4") -> dict[str, Any]:
    files = [{"type": "file", "mediaType": media, "url": video}] if video else []
    return {"id": ident, "role": "user", "parts": [*files, {"type": "text", "text": words}]}


def assistant(words: str) -> dict[str, Any]:
    parts = [{"type": "step-start"}, {"type": "text", "text": words, "state": "done"}, {"type": "data-x", "data": 1}]
    return {"id": "a1", "role": "assistant", "parts": parts}


async def post(service: Service, path: str = "chat", **body: Any) -> tuple[int, str, list[dict[str, Any]]]:
    """Status, body, and its chunks."""
    async with service.http.post(f"{service.url}/ai-sdk/{path}", json=body) as answer:
        whole = (await answer.read()).decode()
        return answer.status, whole, chunks(whole)


def chunks(whole: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in whole.splitlines() if line.startswith("data: ")]
    return [orjson.loads(line) for line in lines if line != "[DONE]"]


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in told]


def shown(told: list[dict[str, Any]]) -> str:
    return "".join(one["delta"] for one in told if one["type"] == "text-delta")


def prompts(service: Service) -> list[str]:
    return [orjson.loads(seen.body)["prompt"] for seen in service.upstream.seen]


async def resumed(service: Service, chat: str) -> tuple[int, list[dict[str, Any]]]:
    async with service.http.get(f"{service.url}/ai-sdk/chat/{chat}/stream") as answer:
        return answer.status, chunks((await answer.read()).decode())


async def test_a_message_is_answered_as_a_ui_message_stream(serving: Serving):
    async with serving(Play([start(), text("At 00:12 a "), text("dog\u2028runs, at 00:12."), end()])) as service:
        status, whole, told = await post(service, id="c", messages=[user("what?")], trigger="submit-message")
        assert status == 200
        assert kinds(told) == [
            "start", "start-step", "text-start", "text-delta", "text-end", "source-url", "finish-step", "finish",
        ] or kinds(told).count("text-delta") > 1  # fmt: skip
        assert shown(told) == "At 00:12 a dog\u2028runs, at 00:12."
        assert "\u2028" not in whole
        assert whole.endswith("data: [DONE]\n\n")
        assert told[0]["messageId"].startswith("msg_")
        source = next(one for one in told if one["type"] == "source-url")
        assert source == {"type": "source-url", "sourceId": "t:12", "url": f"{LINK}#t=12", "title": "00:12"}
        assert told[-1]["finishReason"] == "stop"
        assert told[-1]["messageMetadata"]["fanlight"]["status"] == "completed"
        assert prompts(service) == ["what?"]


async def test_the_answer_says_its_stream_and_its_protocol(serving: Serving):
    async with serving(Play([start(), text("a"), end()])) as service:
        async with service.http.post(service.url + "/ai-sdk/chat", json={"id": "c", "messages": [user("q")]}) as answer:
            assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
            assert answer.headers["X-Resumable-Stream-Id"] == answer.headers["Fanlight-Stream"]
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["Connection"] == "keep-alive"


async def test_captions_elements_and_the_verdict_are_data_that_is_replaced_in_place(serving: Serving):
    pieces = [text(WHOLE[n : n + 7]) for n in range(0, len(WHOLE), 7)]
    async with serving(Play([start(), *pieces, end()])) as service:
        for parts, expected in (("all", 1), ("transient", 1), ("none", 0)):
            _, _, told = await post(
                service, id=parts, messages=[user("q")], schema=SCHEMA, fanlight={"parts": parts, "join": "never"}
            )
            cues = {one["id"]: one["data"] for one in told if one["type"] == "data-caption"}
            elements = {one["id"]: one["data"] for one in told if one["type"] == "data-element"}
            verdicts = [one["data"] for one in told if one["type"] == "data-validation"]
            if not expected:
                assert not cues
                assert not elements
                assert not verdicts
                continue
            assert [cue["text"] for cue in cues.values()] == ["a"]
            assert {key: data["valid"] for key, data in elements.items()} == {"/0": True, "/1": False}
            assert verdicts[0]["provisional"]
            assert verdicts[-1]["valid"] is False
            transient = {one.get("transient") for one in told if one["type"].startswith("data-")}
            assert transient == ({True} if parts == "transient" else {None})
            assert told[-1]["type"] == "finish"


@pytest.mark.parametrize(
    ("steps", "last", "error"),
    [
        ([start(), text("a"), end("length")], "finish", None),
        ([start(), text("a")], "error", "upstream_truncated"),
        ([start(), text("a"), Cut()], "error", "upstream_broken"),
        ([], "error", "upstream_truncated"),
    ],
)
async def test_a_run_that_ended_badly_is_an_error_and_never_a_finish(serving: Serving, steps, last, error):
    async with serving(Play(steps)) as service:
        status, whole, told = await post(service, id="c", messages=[user("q")])
        assert (status, told[-1]["type"], whole.endswith("data: [DONE]\n\n")) == (200, last, True)
        if error:
            assert told[-1]["errorText"].endswith(f"({error})")
            assert "finish" not in kinds(told)
        else:
            assert told[-1]["finishReason"] == "length"
        async with service.http.post(
            service.url + "/ai-sdk/chat?protocol=text", json={"id": "d", "messages": [user("other")]}
        ) as answer:
            if error:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
            else:
                assert await answer.text() == "a"


async def test_a_double_click_and_a_second_tab_are_one_run_with_one_message_id(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, end()])) as service:
        asked = {"id": "c", "messages": [user("q")]}
        both = [asyncio.create_task(post(service, **asked)) for _ in range(2)]
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 2)
        resuming = asyncio.create_task(resumed(service, "c"))
        await until(lambda: service.hub.list("local")[0].subscribers == 3)
        gate.open()
        told = [(await one)[2] for one in both]
        _, again = await resuming
        assert len(service.upstream.seen) == 1
        assert {one[0]["messageId"] for one in [*told, again]} == {told[0][0]["messageId"]}
        assert {shown(one) for one in [*told, again]} == {"a"}


async def test_an_answer_that_has_ended_is_told_again_for_a_while_with_its_ending(serving: Serving):
    async with serving(Play([start(), text("a")]), chat_resume_s=0.3) as service:
        _, _, told = await post(service, id="a/b ü", messages=[user("q")])
        status, again = await resumed(service, "a%2Fb%20%C3%BC")
        assert (status, again[-1], again[0]) == (200, told[-1], told[0])
        (stream,) = service.hub.list("local")
        stream.run.times.ended -= 1
        assert (await resumed(service, "a%2Fb%20%C3%BC"))[0] == 204
        assert (await resumed(service, "unknown"))[0] == 204


async def test_stop_ends_the_run_and_nothing_is_resumed_behind_it(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()])) as service:
        asking = asyncio.create_task(post(service, id="c", messages=[user("q")]))
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].run.log.size)
        url = f"{service.url}/ai-sdk/chat/c/stop"
        for body, stopped in (({"activeStreamId": "st_other"}, False), (None, True), ({}, False)):
            async with service.http.post(url, json=body) as answer:
                assert await answer.json() == {"success": True, "stopped": stopped}
        _, _, told = await asking
        assert kinds(told)[-3:] == ["text-end", "message-metadata", "abort"]
        assert told[-1] == {"type": "abort"}
        assert (await resumed(service, "c"))[0] == 204
        await service.upstream.idle.wait()


async def test_a_stop_leaves_a_run_to_others_who_have_an_interest_in_it(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, end()])) as service:
        asking = [asyncio.create_task(post(service, id=chat, messages=[user("q")])) for chat in "cd"]
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 2)
        async with service.http.post(f"{service.url}/ai-sdk/chat/c/stop") as answer:
            assert (await answer.json())["stopped"] is True
        assert (await resumed(service, "c"))[0] == 204
        gate.open()
        told = [(await one)[2] for one in asking]
        assert told[1][-1]["type"] == "finish"
        assert len({one[0]["messageId"] for one in told}) == 2


async def test_the_last_chat_that_stops_ends_the_run(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()])) as service:
        asking = [asyncio.create_task(post(service, id=chat, messages=[user("q")])) for chat in "cd"]
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 2)
        (stream,) = service.hub.list("local")
        for chat in "cd":
            assert stream.run.ending is None
            async with service.http.post(f"{service.url}/ai-sdk/chat/{chat}/stop") as answer:
                assert (await answer.json())["stopped"] is True
        assert (await stream.run.ended()).code == "cancelled"
        assert [kinds((await one)[2])[-1] for one in asking] == ["abort", "abort"]


async def test_leaving_is_not_stopping_until_half_a_minute_is_over(serving: Serving):
    async with serving(Play([start(), text("a"), Hang()])) as service:
        asking = asyncio.create_task(post(service, id="c", messages=[user("q")]))
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].run.log.size)
        asking.cancel()
        (stream,) = service.hub.list("local")
        await until(lambda: not stream.subscribers)
        record = service.hub._running[stream]
        assert stream.run.ending is None
        assert 25 < record.idle_timer.when() - service.hub._loop.time() <= hubs.FIRST_READER_GRACE_S
        record.idle_timer._callback(*record.idle_timer._args)
        assert (await stream.run.ended()).code == "abandoned"
        _, told = await resumed(service, "c")
        assert told[-1]["type"] == "error"


# -- what is asked


async def test_a_conversation_becomes_instructions_what_was_said_and_the_question(serving: Serving):
    async with serving(Play([start(), text("a"), end()])) as service:
        system = {"id": "s", "role": "system", "parts": [{"type": "text", "text": "Be short."}]}
        messages = [system, user("first?"), assistant("yes."), user("and now?", ident="m2", video=None)]
        await post(service, id="c", messages=messages, system="In French.")
        assert prompts(service) == [
            "Instructions:\nIn French.\nBe short.\n\nConversation so far:\nUser: first?\nAssistant: yes.\n\nand now?"
        ]
        assert orjson.loads(service.upstream.seen[0].body)["video"] == {"type": "url", "url": LINK}


@pytest.mark.parametrize("video", [LINK, "data:video/mp4;base64," + "QUFB" * 50])
async def test_a_chat_remembers_its_turns_and_its_video_where_only_the_message_comes(serving: Serving, video: str):
    async with serving(Play([start(), text("a dog"), end()])) as service:
        await post(service, id="c", message=user("what?", video=video))
        await post(service, id="c", message=user("why?", ident="m2", video=None))
        await post(service, id="c", message=user("when?", ident="m3", video=None))
        await post(service, id="c", message=user("when?", ident="m3", video=None), trigger="regenerate-message")
        said = "Conversation so far:\nUser: what?\nAssistant: a dog\n"
        assert prompts(service) == [
            "what?",
            f"{said}\nwhy?",
            f"{said}User: why?\nAssistant: a dog\n\nwhen?",
            f"{said}User: why?\nAssistant: a dog\n\nwhen?",
        ]
        videos = [orjson.loads(seen.body)["video"] for seen in service.upstream.seen]
        assert videos == [videos[0]] * 4
        status, whole, _ = await post(service, id="other", message=user("why?", video=None))
        assert (status, whole) == (400, "No video is named: send it as a file, or name it in `video`. (video_required)")


async def test_a_chat_is_remembered_over_a_restart(serving: Serving, tmp_path):
    store = f"sqlite:{tmp_path}/streams.db"
    async with serving(Play([start(), text("a dog"), end()]), store=store) as service:
        _, _, before = await post(service, id="c", message=user("what?"))
    async with serving(Play([start(), text("so"), end()]), store=store) as service:
        _, again = await resumed(service, "c")
        assert (again[0], shown(again)) == (before[0], "a dog")
        await post(service, id="c", message=user("why?", ident="m2", video=None))
        assert prompts(service) == ["Conversation so far:\nUser: what?\nAssistant: a dog\n\nwhy?"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"messages": []}, 400, "invalid_request"),
        ({"messages": [assistant("a")]}, 400, "invalid_request"),
        ({"messages": 7}, 400, "invalid_request"),
        ({"id": "c" * 1001, "messages": [user("q")]}, 400, "invalid_request"),
        ({"messages": [user("q", ident="m" * 1001)]}, 400, "invalid_request"),
        ({"messages": [user(" ")]}, 400, "invalid_request"),
        ({"messages": [user("q", video="ftp://x")]}, 400, "video_invalid"),
        ({"messages": [user("q")], "video": "x"}, 400, "video_invalid"),
        ({"messages": [user("q", media="image/png")]}, 400, "part_unsupported"),
        ({"messages": [{**user("q"), "parts": [*user("q")["parts"], user("q")["parts"][0]]}]}, 400, "too_many_videos"),
        ({"messages": [{**user("q"), "parts": [{"type": "tool-x"}, {"type": "text", "text": "q"}]}]}, 400, "part_unsupported"),
        ({"messages": [user("q" * 6001)]}, 400, "prompt_too_long"),
        ({"messages": [user("q")], "fanlight": {"parts": "some"}}, 400, "option_invalid"),
        ({"messages": [user("q")], "schema": {"type": "nothing"}}, 400, "schema_invalid"),
        ({"messages": [user("q")], "schema": 7}, 400, "invalid_request"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_said_at_once_in_one_sentence(serving: Serving, body, status, code):
    async with serving(Play([])) as service:
        async with service.http.post(service.url + "/ai-sdk/chat", json={"id": "c", **body}) as answer:
            told = await answer.text()
            assert (answer.status, answer.content_type) == (status, "text/plain")
            assert told.endswith(f"({code})")
        assert service.upstream.seen == []


async def test_a_completion_streams_like_a_chat_and_an_object_is_bare_json(serving: Serving):
    async with serving(Play([start(), text('{"a":'), text("1}"), end()])) as service:
        _, _, told = await post(service, "completion", prompt="q", video=LINK)
        assert (shown(told), told[-1]["type"]) == ('{"a":1}', "finish")
        _, whole, _ = await post(service, "object", prompt="q", video="asset:x", schema={"type": "object"})
        assert whole == '{"a":1}'
        assert orjson.loads(service.upstream.seen[1].body)["response_format"]["json_schema"] == {"type": "object"}
        assert (await post(service, "completion", prompt="q"))[0] == 400
        assert (await post(service, "object", video=LINK))[0] == 400


async def test_the_envelope_of_a_schema_is_understood_as_one(serving: Serving):
    async with serving(Play([start(), text("{}"), end()])) as service:
        envelope = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
        await post(service, id="c", messages=[user("q")], response_format=envelope)
        assert orjson.loads(service.upstream.seen[0].body)["response_format"]["json_schema"] == {"type": "object"}


async def test_a_third_tab_does_not_wait_for_the_second(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, end()])) as service:
        tabs = [asyncio.create_task(post(service, id="c", messages=[user("q")])) for _ in range(4)]
        await until(lambda: service.hub.list("local") and service.hub.list("local")[0].subscribers == 4)
        gate.open()
        assert {(await tab)[2][-1]["type"] for tab in tabs} == {"finish"}


async def test_messages_without_a_chat_have_nothing_in_common(serving: Serving):
    async with serving(Play([start(), text("a"), end()])) as service:
        await post(service, message=user("what?"))
        status, whole, _ = await post(service, message=user("why?", video=None))
        assert (status, whole[-16:]) == (400, "(video_required)")
        assert len(service.upstream.seen) == 1


async def test_a_list_that_was_sent_is_what_the_chat_remembers(serving: Serving):
    async with serving(Play([start(), text("a"), end()])) as service:
        listed = [user("one?"), assistant("1."), user("two?", ident="m2", video="https://a.example/c.mp4")]
        await post(service, id="c", messages=listed)
        await post(service, id="c", message=user("three?", ident="m3", video=None))
        asked = orjson.loads(service.upstream.seen[1].body)
        assert asked["prompt"] == (
            "Conversation so far:\nUser: one?\nAssistant: 1.\nUser: two?\nAssistant: a\n\nthree?"
        )
        assert asked["video"]["url"] == "https://a.example/c.mp4"


async def test_what_a_chat_remembers_has_a_bound(serving: Serving):
    async with serving(Play([start(), text("x" * 4000), end()]), prompt_chars=2000) as service:
        for n in range(5):
            await post(service, id="c", message=user(f"{n}" * 600, ident=f"m{n}", video=LINK if not n else None))
        told = await service.hub.journal.store.note("local", "chat:c", service.hub.wall())
        assert len(told) < 4000
        assert prompts(service)[-1].endswith("4" * 600)


async def test_a_chat_is_kept_for_its_time_after_its_run_has_ended(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, end()])) as service:
        store, now = service.hub.journal.store, service.hub.wall()
        asking = asyncio.create_task(post(service, id="c", messages=[user("q")], fanlight={"ttl_s": 50}))
        await gate.reached.wait()
        assert await store.note("local", "chat:c", now + 3000) is not None
        gate.open()
        await asking
        await until(lambda: not service.app[CHATS]._watching)
        assert await store.note("local", "chat:c", now + 40) is not None
        assert await store.note("local", "chat:c", now + 3000) is None


async def test_a_resumed_answer_tells_its_data_as_the_first_did(serving: Serving):
    pieces = [text(WHOLE[n : n + 7]) for n in range(0, len(WHOLE), 7)]
    async with serving(Play([start(), *pieces, end()])) as service:
        for parts, seen in (("none", set()), ("transient", {True}), ("all", {None})):
            await post(service, id=parts, messages=[user("q")], schema=SCHEMA, fanlight={"parts": parts})
            _, again = await resumed(service, parts)
            assert {one.get("transient") for one in again if one["type"].startswith("data-")} == seen


@pytest.mark.parametrize(("before", "closed"), [(["a"], ["t1"]), ([], [])])
async def test_a_text_that_begins_again_is_a_new_part_and_only_a_begun_one_is_closed(serving: Serving, before, closed):
    gate = Gate()
    async with serving(Play([start(), *map(text, before), gate, end()])) as service:
        asking = asyncio.create_task(post(service, id="c", messages=[user("q")]))
        await gate.reached.wait()
        await until(lambda: service.hub.list("local")[0].subscribers)
        (stream,) = service.hub.list("local")
        await until(lambda: stream.run.log.size == len(before))
        log = TextLog(1 << 16)
        log.extend(["b"])
        stream.run.regenerate(log, "taken_over", 3)
        gate.open()
        _, _, told = await asking
        assert [one["id"] for one in told if one["type"] == "text-end"] == [*closed, "t3"]
        reset = next(one for one in told if one["type"] == "data-reset")
        assert reset["data"] == {"gen": 3, "reason": "taken_over"}
        named = [one["messageMetadata"]["fanlight"]["text"] for one in told if one["type"] == "message-metadata"]
        assert (named, [one["delta"] for one in told if one["type"] == "text-delta"]) == (["t3"], [*before, "b"])


async def test_an_object_at_the_root_is_told_member_by_member(serving: Serving):
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "n": {"type": "integer"}}}
    async with serving(Play([start(), text('{"title": "x", "n": "y"}'), end()])) as service:
        _, _, told = await post(service, id="c", messages=[user("q")], schema=schema)
        elements = {one["id"]: one["data"] for one in told if one["type"] == "data-element"}
        assert elements == {
            "/title": {"pointer": "/title", "value": "x", "valid": True},
            "/n": {"pointer": "/n", "value": "y", "valid": False},
        }


async def test_a_response_format_is_understood_native_and_enveloped_and_is_an_object(serving: Serving):
    async with serving(Play([start(), text("{}"), end()])) as service:
        schema = {"type": "object", "additionalProperties": False}
        for inner in (schema, {"schema": schema}, {"name": "n", "schema": schema}):
            form = {"type": "json_schema", "json_schema": inner}
            await post(service, id="c", messages=[user("q")], response_format=form, fanlight={"join": "never"})
        sent = [orjson.loads(seen.body)["response_format"]["json_schema"] for seen in service.upstream.seen]
        assert sent == [{"type": "object"}] * 3
        status, whole, _ = await post(service, id="c", messages=[user("q")], response_format=7)
        assert (status, whole.endswith("(invalid_request)")) == (400, True)


async def test_a_page_of_a_listed_origin_can_read_refusals_and_answers(serving: Serving):
    page = {"Origin": "https://page.example"}
    async with serving(Play([start(), text("a"), end()]), origins=[page["Origin"]]) as service:
        for body, status in (({"id": "c"}, 400), ({"id": "c", "messages": [user("q")]}, 200)):
            async with service.http.post(service.url + "/ai-sdk/chat", json=body, headers=page) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == page["Origin"]
                assert "X-Resumable-Stream-Id" in answer.headers["Access-Control-Expose-Headers"]
        async with service.http.get(service.url + "/ai-sdk/chat/x/stream", headers=page) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, page["Origin"])
