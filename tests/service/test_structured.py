"""JSON judged while it grows, over the whole service: elements, patches, violations, late joiners."""

import asyncio
import json
from pathlib import Path

import aiohttp
import orjson
import pytest

from protocol.schema.verdict import judge
from service.hub import pump
from tests.fakes.service import Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"start": {"type": "number", "minimum": 0}, "text": {"type": "string"}},
                "required": ["start", "text"],
            },
        },
    },
    "required": ["title", "segments"],
}
ASK = {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}
WHOLE = '{"title": "Ein Film", "segments": [{"start": 0, "text": "Größe"}, {"start": 2.5, "text": "a😀b"}]}'
WRONG = '{"title": "Ein Film", "segments": [{"start": -1, "text": "x"}, {"start": 2}]}'


def pieces(whole: str, size: int = 5) -> list[bytes]:
    return [text(whole[n : n + size]) for n in range(0, len(whole), size)]


def apply(tree, op):
    """An independent reading of the contract's operations."""
    if op["path"] == "":
        return tree + op["value"] if op["op"] == "append" else op["value"]
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in op["path"][1:].split("/")]
    holder = tree
    for part in way:
        holder = holder[int(part) if isinstance(holder, list) else part]
    if isinstance(holder, list):
        if int(last) == len(holder):
            holder.append(None)
        last = int(last)
    holder[last] = holder[last] + op["value"] if op["op"] == "append" else op["value"]
    return tree


def rebuilt(messages: list[dict]):
    tree = None
    for message in messages:
        if message["type"] == "attached":
            tree = message["state"]
        for op in message.get("ops", ()):
            tree = apply(tree, op)
    return tree


async def test_each_element_is_told_when_it_closes_and_judged(serving: Serving):
    async with serving(Play([start(), *pieces(WHOLE), end()])) as service:
        messages, _ = await service.watch(await service.start(**ASK), "?view=json")
        elements = [m for m in messages if m["type"] == "element"]
        told = {e["pointer"]: (e["value"], e["valid"]) for e in [*messages[0]["state"], *elements]}
        assert told == {
            "/title": ("Ein Film", True),
            "/segments/0": ({"start": 0, "text": "Größe"}, True),
            "/segments/1": ({"start": 2.5, "text": "a😀b"}, True),
            "/segments": (orjson.loads(WHOLE)["segments"], True),
        }
        assert [e["at"] for e in elements] == sorted(e["at"] for e in elements)


@pytest.mark.parametrize("view", ["json", "patch"])
async def test_who_joins_late_or_resumes_holds_the_same(serving: Serving, view: str):
    parts = pieces(WHOLE)
    gates = [Gate(), Gate()]
    async with serving(Play([start(), *parts[:7], gates[0], *parts[7:14], gates[1], *parts[14:], end()])) as service:
        stream = await service.start(**ASK)
        query = f"?view={view}"
        early = asyncio.create_task(service.watch(stream, query))
        await gates[0].reached.wait()
        late = asyncio.create_task(service.read(stream, query))
        gates[0].open()
        await gates[1].reached.wait()
        resumed = asyncio.create_task(service.read(stream, query + "&cursor=1.30"))
        gates[1].open()
        (first, _), second, third = await asyncio.gather(early, late, resumed)
        after = await service.read(stream, query)
        if view == "patch":
            assert {repr(rebuilt(m)) for m in (first, second, third, after)} == {repr(orjson.loads(WHOLE))}
            assert third[0]["mode"] == "snapshot"
        else:
            for messages in (first, second, after):
                state = {e["pointer"]: e["value"] for e in messages[0]["state"]}
                state |= {e["pointer"]: e["value"] for e in messages if e["type"] == "element"}
                assert len(state) == 4
            assert third[0]["mode"] == "suffix"
            assert all(e["at"] > 30 for e in [*third[0]["state"], *(m for m in third if m["type"] == "element")])


async def test_the_first_violation_is_told_once_and_repeated_to_who_attaches(serving: Serving):
    async with serving(Play([start(), *pieces(WRONG), end()])) as service:
        stream = await service.start(**ASK)
        at = WRONG.index("-1,") + 3
        for view in ("text", "json", "patch"):
            messages, _ = await service.watch(stream, f"?view={view}")
            (violation,) = [m for m in messages if m["type"] == "violation"]
            assert violation["pointer"] == "/segments/0/start"
            assert violation["keyword"] == "minimum"
            assert violation["at"] == at
            late = await service.read(stream, f"?view={view}")
            assert [m["type"] for m in late] == ["attached", "violation", "end"]
        live = await service.read(stream, f"?cursor=1.{len(WRONG.encode())}")
        assert [m["type"] for m in live] == ["attached", "end"]
        assert (await service.show(stream))["validation"]["error_count"] == 2


async def test_a_violation_stops_the_upstream_where_that_was_asked_for(serving: Serving):
    async with serving(Play([start(), *pieces(WRONG), Hang()])) as service:
        stream = await service.start(**ASK, fanlight={"on_violation": "stop"})
        shown = await service.show(stream, "?wait=5")
        assert (shown["status"], shown["error"]["code"]) == ("failed", "schema_violation")
        await asyncio.wait_for(service.upstream.idle.wait(), 5)


async def test_the_tree_so_far_is_shown_where_it_is_asked_for(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text('{"a": [1, {"b": "gro'), gate, text('wn"}]}'), end()])) as service:
        stream = await service.start()
        await gate.reached.wait()
        while (await service.show(stream))["offset"] == 0:
            pass
        assert (await service.show(stream, "?partial=1"))["partial"] == {"a": [1, {"b": "gro"}]}
        gate.open()
        shown = await service.show(stream, "?wait=5")
        assert "partial" not in shown


async def test_prose_around_the_json_is_told_and_the_views_still_show_it(serving: Serving):
    fenced = "Here it is:\n```json\n" + WHOLE + "\n```\n"
    async with serving(Play([start(), *pieces(fenced), end()])) as service:
        stream = await service.start(**ASK)
        messages, _ = await service.watch(stream, "?view=patch")
        assert rebuilt(messages) == orjson.loads(WHOLE)
        validation = messages[-1]["validation"]
        assert validation["valid"] is False
        assert validation["repaired_valid"] is True
        assert (await service.show(stream))["value"] == orjson.loads(WHOLE)


@pytest.mark.parametrize("view", ["json", "patch", "captions"])
async def test_a_text_without_json_is_attached_and_end(serving: Serving, view: str):
    async with serving(Play([start(), text("Just a few words"), end()])) as service:
        messages, _ = await service.watch(await service.start(), f"?view={view}")
        assert [m["type"] for m in messages] == ["attached", "end"]
        assert messages[0]["state"] == (None if view == "patch" else [])


CUES = '{"segments": [{"start": 0, "end": 2, "text": "A <b> & --> c"}, {"start": 2, "end": 4.5, "text": "Zweite"}]}'


async def test_captions_grow_and_are_final_when_their_object_closes(serving: Serving):
    async with serving(Play([start(), *pieces(CUES, 4), end()])) as service:
        messages, _ = await service.watch(await service.start(), "?view=captions")
        cues: dict[str, dict] = {cue["id"]: cue for cue in messages[0]["state"]}
        for message in messages:
            if message["type"] == "caption":
                before = cues.get(message["id"], {"rev": 0, "text": ""})
                assert message["rev"] > before["rev"]
                assert message["text"].startswith(before["text"])
                cues[message["id"]] = message
        assert [(c["start"], c["end"], c["text"], c["state"]) for c in cues.values()] == [
            (0, 2, "A <b> & --> c", "final"),
            (2, 4.5, "Zweite", "final"),
        ]


async def test_captions_are_to_be_had_as_files(serving: Serving):
    gate = Gate()
    half = CUES.index(', {"start": 2')
    async with serving(Play([start(), text(CUES[:half]), gate, text(CUES[half:]), end()])) as service:
        stream = await service.start()
        await gate.reached.wait()
        url = f"{service.url}/v1/streams/{stream}/captions"
        while (await service.show(stream))["offset"] < half:
            pass
        async with service.http.get(url + ".vtt") as answer:
            assert answer.content_type == "text/vtt"
            assert (await answer.text()).count("-->") == 1
            assert "ETag" not in answer.headers
        gate.open()
        await service.show(stream, "?wait=5")
        async with service.http.get(url + ".vtt") as answer:
            assert "A &lt;b&gt; &amp; --&gt; c" in await answer.text()
            tag = answer.headers["ETag"]
        async with service.http.get(url + ".vtt", headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        async with service.http.get(url + ".srt?formatted=1") as answer:
            assert "00:00:02,000 --> 00:00:04,500" in await answer.text()
        async with service.http.get(url + ".json") as answer:
            assert len((await answer.json())["cues"]) == 2
        async with service.http.get(url + ".doc") as answer:
            assert answer.status == 404


async def test_a_restart_resets_the_derived_views_too(serving: Serving):
    from tests.fakes.upstream import Cut

    first = Play([start(), text('{"a": 1, "b": [1, 2'), Cut()])
    async with serving(first, Play([start(), text('{"c": [3]}'), end()])) as service:
        stream = await service.start(fanlight={"restart": 1})
        messages, _ = await service.watch(stream, "?view=patch")
        assert any(m["type"] == "reset" for m in messages) or messages[0]["gen"] == 2
        tree = None
        for message in messages:
            if message["type"] == "reset":
                tree = None
            elif message["type"] == "attached":
                tree = message["state"]
            for op in message.get("ops", ()):
                tree = apply(tree, op)
        assert tree == {"c": [3]}


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_a_run_is_judged_once(serving: Serving, monkeypatch: pytest.MonkeyPatch, reason: str):
    judged = []
    monkeypatch.setattr(pump, "judge", lambda *asked: judged.append(asked) or judge(*asked))
    async with serving(Play([start(), *pieces(WHOLE), end(reason)])) as service:
        shown = await service.show(await service.start(**ASK), "?wait=5")
        assert shown["validation"]["valid"] is True
    assert len(judged) == 1


async def test_the_ending_stands_also_where_the_answer_goes_on_behind_it(serving: Serving):
    async with serving(Play([start(), *pieces(WHOLE), end(), Hang()]), idle_timeout_s=0.05) as service:
        shown = await service.show(await service.start(**ASK, fanlight={"restart": 1}), "?wait=5")
        assert (shown["status"], shown["gen"], shown["validation"]["valid"]) == ("completed", 1, True)
        await service.upstream.idle.wait()
        assert len(service.upstream.seen) == 1


@pytest.mark.parametrize("native", [True, False])
async def test_a_schema_in_openais_envelope_is_the_schema_that_it_holds(serving: Serving, native: bool):
    envelope = {"name": "n", "strict": True, "schema": SCHEMA}
    form = {"type": "json_schema", "json_schema": envelope}
    async with serving(Play([start(), text('{"no": "array"}'), end()])) as service:
        if native:
            shown = await service.show(await service.start(response_format=form), "?wait=5")
            assert shown["validation"]["valid"] is False
            assert shown["request"]["response_format"]["json_schema"] == SCHEMA
        else:
            async with service.analyze(response_format=form) as answer:
                last = orjson.loads((await answer.read()).splitlines()[-1])
            assert last["metadata"]["validation"]["valid"] is False
        assert orjson.loads(service.upstream.seen[0].body)["response_format"]["json_schema"] == SCHEMA


async def test_an_integer_beyond_64_bits_is_told_as_it_was_said(serving: Serving, tmp_path: Path):
    whole, schema = '{"id": 123456789012345678901234567890}', {"type": "object"}
    form = {"type": "json_schema", "json_schema": schema}
    store = f"sqlite:{tmp_path}/streams.db"
    stream = ""
    for play in (Play([start(), text(whole), end()]), Play([])):
        async with serving(play, store=store) as service:
            stream = stream or await service.start(response_format=form)
            async with service.http.get(f"{service.url}/v1/streams/{stream}?wait=5") as answer:
                shown = json.loads(await answer.text())
            assert (shown["value"], shown["validation"]["valid"]) == (json.loads(whole), True)
            async with service.http.get(f"{service.url}/v1/streams/{stream}/ndjson?view=json") as answer:
                assert "123456789012345678901234567890" in await answer.text()


REPAIR = {"fanlight": {"repair": 1}}


async def test_json_that_is_wrong_is_asked_for_once_more_and_the_new_one_counts(serving: Serving):
    plays = [Play([start("g1"), *pieces(WRONG), end()]), Play([start("g2"), *pieces(WHOLE), end()])]
    async with serving(*plays) as service:
        stream = await service.start(**ASK, **REPAIR)
        shown = await service.show(stream, "?wait=5")
        assert (shown["gen"], shown["status"], shown["validation"]["valid"]) == (2, "completed", True)
        assert shown["value"] == json.loads(WHOLE)
        first, second = [orjson.loads(seen.body)["prompt"] for seen in service.upstream.seen]
        assert second.startswith(first)
        assert "- /segments/0/start must be at least 0" in second


async def test_a_reader_of_a_repaired_answer_is_told_to_drop_the_first_one(serving: Serving):
    gate = Gate()
    plays = [Play([start(), *pieces(WRONG), gate, end()]), Play([start(), *pieces(WHOLE), end()])]
    async with serving(*plays) as service:
        stream = await service.start(**ASK, **REPAIR)
        watching = asyncio.create_task(service.watch(stream))
        while not sum((await service.show(stream))["subscribers"].values()):
            pass
        gate.open()
        messages, _ = await watching
        kinds = [message["type"] for message in messages]
        assert kinds.count("end") == 1
        reset = messages[kinds.index("reset")]
        assert (reset["gen"], reset["reason"]) == (2, "repaired")
        assert "".join(m["text"] for m in messages[kinds.index("reset") :] if m["type"] == "delta") == WHOLE


@pytest.mark.parametrize("second", [
    Play([start(), Cut()]), Play([], 503), Play([start(), end()]), Play([start(), end("length")]),
    Play([start("g2"), *pieces(WRONG), end()]),
])  # fmt: skip
async def test_of_a_repair_that_brings_nothing_better_the_answer_is_still_told_as_wrong(serving: Serving, second: Play):
    async with serving(Play([start("g1"), *pieces(WRONG), end()]), second) as service:
        shown = await service.show(await service.start(**ASK, **REPAIR), "?wait=5")
        assert (shown["status"], shown["validation"]["valid"], shown["text"]) == ("completed", False, WRONG)
        assert len(service.upstream.seen) == 2


async def test_a_repair_that_breaks_off_in_its_text_is_no_success(serving: Serving):
    plays = [Play([start(), *pieces(WRONG), end()]), Play([start(), text('{"title'), Cut()])]
    async with serving(*plays) as service:
        shown = await service.show(await service.start(**ASK, **REPAIR), "?wait=5")
        assert (shown["gen"], shown["status"], shown["error"]["code"]) == (2, "failed", "upstream_broken")


@pytest.mark.parametrize("answer", [WHOLE, f"Here it is:\n{WHOLE}"])
async def test_an_answer_that_is_valid_or_would_be_is_not_asked_for_again(serving: Serving, answer: str):
    async with serving(Play([start(), *pieces(answer), end()])) as service:
        shown = await service.show(await service.start(**ASK, **REPAIR), "?wait=5")
        assert (shown["gen"], shown["status"]) == (1, "completed")
        assert len(service.upstream.seen) == 1


async def test_a_caller_of_the_dialect_gets_the_repaired_answer_whole_and_no_stream_of_two(serving: Serving):
    plays = [Play([start(), *pieces(WRONG), end()]), Play([start(), *pieces(WHOLE), end()])] * 2
    headers = {"Fanlight-Options": "repair=1, join=never"}
    async with serving(*plays) as service:
        async with service.analyze(headers, stream=False, **ASK) as answer:
            assert (await answer.json())["data"] == WHOLE
        with pytest.raises(aiohttp.ClientPayloadError):
            async with service.analyze(headers, stream=True, **ASK) as answer:
                await answer.read()


async def test_wrong_json_whose_end_has_no_line_end_is_asked_for_again_too(serving: Serving):
    first = Play([start(), *pieces(WRONG), end().rstrip(b"\n")])
    async with serving(first, Play([start(), *pieces(WHOLE), end()])) as service:
        shown = await service.show(await service.start(**ASK, **REPAIR), "?wait=5")
        assert (shown["gen"], shown["validation"]["valid"]) == (2, True)
