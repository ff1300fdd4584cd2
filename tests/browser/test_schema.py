"""Answers as JSON: an object that fills in and is judged as it grows."""

from playwright.async_api import expect

from tests.browser.conftest import Opening
from tests.browser.test_answer import in_the_studio
from tests.browser.visitor import in_one_browser

pytestmark = in_one_browser

SCHEMA = '{"type": "object", "properties": {"title": {"type": "string"}, "n": {"type": "array", "items": {"type": "integer", "minimum": 0}}}}'


async def with_schema(visitor, schema: str = SCHEMA) -> None:
    await visitor.page.get_by_text("Answer as JSON").click()
    await visitor.at("#schema").fill(schema)


async def test_parts_are_marked_as_they_close_and_the_verdict_follows(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        await with_schema(visitor)
        await visitor.ask("What is it?")
        answer = await place.library.asked("What is it?")
        assert answer.body["response_format"]["json_schema"]["properties"]["title"] == {"type": "string"}
        answer.say('{"title": "A teles')
        await visitor.sees(".tree", '"title": "A teles"')
        await expect(visitor.at(".tree .valid")).to_have_count(0)
        answer.say('cope", "n": [1, 2')
        await expect(visitor.at(".tree .valid")).to_have_text(['valid: "title": "A telescope",', "valid: 1"])
        answer.say("]}")
        answer.end()
        await visitor.sees(".answer", "Valid: every part keeps the schema.")
        assert await visitor.barriers() == []


async def test_the_first_violation_is_told_at_its_place_while_the_answer_runs(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        await with_schema(visitor)
        await visitor.ask("What is it?")
        answer = await place.library.asked("What is it?")
        answer.say('{"title": "A telescope", "n": [1, -2, ')
        await visitor.sees(".answer", "First proved wrong at /n/1")
        await visitor.sees(".state", "Running")
        await expect(visitor.at(".tree .invalid")).to_have_text("not valid: -2")
        assert await visitor.barriers() == []
        answer.say("3]}")
        answer.end()
        await visitor.sees(".answer", "Not valid: 1 place.")


async def test_nothing_moves_while_an_object_fills_in(opening: Opening):
    async with opening() as place:
        asset = place.library.hold("webb.mp4")
        ask = {"response_format": {"type": "json_schema", "json_schema": {"type": "object"}}}
        stream = await place.service.start(
            prompt="What is it?", video={"type": "asset_id", "asset_id": asset}, video_id=None, **ask
        )
        visitor = await place.visit()
        await visitor.go(f"/#video={asset}&run={stream}")
        answer = await place.library.asked("What is it?")
        for n in range(30):
            answer.say(f'{"," if n else "{"} "member {n}": [{n}]')
            await visitor.sees(".tree", f'"member {n}"')
        await expect(visitor.at(".tree").get_by_text('"member 29"')).to_be_in_viewport()
        answer.say("}")
        answer.end()
        await visitor.sees(".answer", "Valid")
        assert str(await visitor.shifts()) == "[]"


async def test_a_schema_that_is_no_json_is_told_and_nothing_is_asked(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        await with_schema(visitor, "{")
        await expect(visitor.at("#schema-state")).not_to_be_empty()
        await visitor.ask("What is it?")
        await expect(visitor.at("#question")).to_have_value("What is it?")
        assert place.library.analyses == []


async def test_three_schemas_are_there_to_begin_with(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        await visitor.page.get_by_text("Answer as JSON").click()
        for name, member in (("Chapters", "chapters"), ("Captions", "segments"), ("Overview", "keywords")):
            await visitor.at("#examples").select_option(name)
            assert f'"{member}"' in await visitor.at("#schema").input_value()


async def test_a_schema_that_the_service_refuses_says_where(opening: Opening, clip):
    async with opening() as place:
        visitor = await in_the_studio(place, clip)
        visitor.forgiven.append("status of 400")
        await with_schema(visitor, '{"type": "object", "properties": {"n": {"type": "numb"}}}')
        await visitor.ask("What is it?")
        await visitor.sees(".ended-badly", "Correct the schema")
