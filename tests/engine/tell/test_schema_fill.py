"""Schemas filled from scripted facts: always valid, never invented."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ApiError
from engine.facts.facts import Clip, Fact, Fault, Level, Motion, Silence, Tone
from engine.senses import ENGLISH_ALONE
from engine.tell.intent import read_intent
from engine.tell.schema_fill import check_fillable, fill, plan
from engine.tell.schema_rules import check_schema
from tests.engine.conftest import NIGHT, scripted, shot, spoken, thing, written

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}

FACTS: tuple[Fact, ...] = (
    Level(0.0, 1.0, -20.0),
    spoken(1.0, "welcome to the harbour"),
    Silence(3.5, 4.0),
    shot(0, 4),
    Motion(5.0, 7.0, "part", "left side", "right side"),
    Tone(6.0, 8.0, 440.0),
    spoken(6.0, "garbled beyond repair", 0.1),
    shot(4, 10, NIGHT),
)


def of(required: list[str] | None = None, **members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members) if required is None else required}


def rows(**members: Any) -> dict[str, Any]:
    return {"type": "array", "items": of(**members)}


def write(schema: dict[str, Any], *facts: Fact, prompt: str = "x", clip: Clip | None = None) -> str:
    check_schema(schema)
    filled = plan(schema, read_intent(prompt), {})
    more = {"clip": clip} if clip else {}
    return "".join(fill(filled, scripted(*(facts or FACTS), **more)))  # type: ignore[arg-type]


def filled(schema: dict[str, Any], *facts: Fact, **options: Any) -> Any:
    """Fill a schema, judge the result with a validator of its own, and return it."""
    value = json.loads(write(schema, *facts, **options))
    jsonschema_rs.validator_for(schema).validate(value)
    return value


def refused(schema: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as caught:
        plan(schema, read_intent("x"), {})
    assert (caught.value.status, caught.value.code) == (400, "parameter_invalid")
    return caught.value.message


def test_caption_segments_hold_what_was_said_and_when() -> None:
    value = filled(of(segments=rows(start=NUMBER, end=NUMBER, text=TEXT)))
    assert value["segments"] == [
        {"start": 1.0, "end": 3.0, "text": "welcome to the harbour"},
        {"start": 6.0, "end": 7.5, "text": "[speech, not understood]"},
    ]


def test_segments_with_titles_are_parts_of_the_picture() -> None:
    value = filled(of(segments=rows(start=NUMBER, title=TEXT)))
    assert [one["start"] for one in value["segments"]] == [0.0, 4.0]


STAMP = {"type": "timestamp", "format": "seconds"}


def test_segments_with_timestamps_follow_each_other_from_the_start_to_the_end() -> None:
    for members in ({"start": STAMP, "end": STAMP, "text": TEXT}, {"timestamp": NUMBER, "end": NUMBER, "label": TEXT}):
        segments = json.loads(write(of(segments=rows(**members))))["segments"]
        start = next(iter(members))
        assert [(one[start], one["end"]) for one in segments] == [(0.0, 4.0), (4.0, 10.0)]


def test_segments_with_timestamps_are_what_was_said_where_speech_is_asked_for() -> None:
    spoken_of = rows(start=STAMP, end=STAMP, transcript=TEXT)
    assert [one["start"] for one in json.loads(write(of(segments=spoken_of)))["segments"]] == [1.0, 6.0]
    text = rows(start=STAMP, end=STAMP, text=TEXT)
    said = json.loads(write(of(segments=text), prompt="Transcribe what is said"))["segments"]
    assert [one["start"] for one in said] == [1.0, 6.0]


def test_a_summary_says_what_is_wrong_with_the_file() -> None:
    value = filled(of(summary=TEXT), shot(0, 6), Fault(6.0, 10.0, "missing", "picture"))
    assert "At 00:06: The picture could be looked at up to here only" in value["summary"]


def test_chapters_have_times_titles_and_summaries() -> None:
    value = filled(of(chapters=rows(start_time=NUMBER, end_time=NUMBER, title=TEXT, summary=TEXT)))
    assert [(one["start_time"], one["end_time"]) for one in value["chapters"]] == [(0, 4), (4, 10)]
    assert value["chapters"][0]["title"] == "Welcome to the harbour"
    assert "very dark" in value["chapters"][1]["summary"]


def test_scalars_of_the_clip_are_measured() -> None:
    value = filled(
        of(
            duration=NUMBER,
            scene_count=WHOLE,
            has_speech=FLAG,
            transcript=TEXT,
            word_count=WHOLE,
            dominant_colors={"type": "array", "items": TEXT},
            resolution=TEXT,
            fps=NUMBER,
            title=TEXT,
            summary=TEXT,
        )
    )
    assert value["duration"] == 10
    assert value["scene_count"] == 2
    assert value["has_speech"] is True
    assert value["transcript"] == "welcome to the harbour [speech, not understood]"
    assert value["word_count"] == 4
    assert value["dominant_colors"] == ["black", "green"]
    assert (value["resolution"], value["fps"]) == ("640x360", 25)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("videoDurationSeconds", NUMBER, 10),
        ("duration_ms", WHOLE, 10_000),
        ("number_of_scenes", WHOLE, 2),
        ("numCuts", WHOLE, 1),
        ("speech_present", FLAG, True),
        ("brightness_percent", WHOLE, 17),
        ("brightness", TEXT, "dark"),
        ("has_audio", TEXT, "yes"),
        ("model", TEXT, "local-facts"),
        ("aspect_ratio", TEXT, "16:9"),
    ],
)
def test_names_are_understood_in_many_forms(name: str, kind: dict[str, Any], expected: Any) -> None:
    assert filled(of(**{name: kind}))[name] == expected


def test_a_description_helps_where_a_name_says_nothing() -> None:
    schema = of(x={"type": "integer", "description": "Number of scenes in the clip"})
    assert filled(schema)["x"] == 2


def test_a_description_that_only_mentions_a_measurement_grounds_nothing() -> None:
    message = refused(of(mood={"type": "string", "description": "The mood that the summary of the speech conveys"}))
    assert "/mood" in message


@pytest.mark.parametrize("name", ["emotions", "people", "sentiment", "mood", "location", "speaker_name", "brand"])
def test_what_nothing_measures_is_refused_by_its_path_when_required(name: str) -> None:
    assert f"/outer/{name} " in refused(of(outer=of(**{name: TEXT})))
    assert f"/{name} " in refused(of(title=TEXT, **{name: {"type": "array", "items": TEXT}}))


def test_a_required_member_of_items_is_refused_by_its_path() -> None:
    assert "/segments/*/speaker " in refused(of(segments=rows(text=TEXT, speaker=TEXT)))


def test_what_nothing_measures_is_left_out_when_it_may_be() -> None:
    schema = of(["title"], title=TEXT, mood=TEXT, logos={"type": "array", "items": TEXT})
    assert set(filled(schema)) == {"title"}
    assert plan(schema, read_intent("x"), {}).omitted == ("/mood", "/logos")


def test_what_nothing_measures_is_null_or_unknown_where_that_is_offered() -> None:
    value = filled(
        of(
            mood={"type": ["string", "null"]},
            people={"anyOf": [{"type": "array", "items": TEXT}, {"type": "null"}]},
            weather={"enum": ["sunny", "rainy", "unknown"]},
            genre={"enum": ["drama", None]},
        )
    )
    assert value == {"mood": None, "people": None, "weather": "unknown", "genre": None}


def test_an_empty_list_is_said_only_of_what_was_looked_for() -> None:
    silent = (shot(0, 10),)
    value = filled(of(segments=rows(start=NUMBER, text=TEXT), topics={"type": "array", "items": TEXT}), *silent)
    assert value == {"segments": [], "topics": []}


def test_members_come_in_the_order_of_the_schema_but_a_required_one_first() -> None:
    schema = of(["title"], duration=NUMBER, title=TEXT, fps=NUMBER)
    assert list(json.loads(write(schema))) == ["title", "duration", "fps"]


def test_bounds_patterns_and_enums_are_kept() -> None:
    value = filled(
        of(
            ["scene_count", "start"],
            scene_count={"type": "integer", "minimum": 1, "maximum": 2},
            cuts={"type": "integer", "minimum": 5},
            start={"type": "string", "pattern": r"^\d\d:\d\d:\d\d$"},
            brightness={"enum": ["bright", "dark"]},
            motion={"enum": ["frantic"]},
        )
    )
    assert value == {"scene_count": 2, "start": "00:00:00", "brightness": "dark"}


def test_a_required_value_that_does_not_fit_breaks_the_run_by_name() -> None:
    schema = of(title=TEXT, scene_count={"type": "integer", "minimum": 5})
    with pytest.raises(ApiError, match="/scene_count"):
        write(schema)


def test_an_array_that_needs_an_item_is_left_out_without_one() -> None:
    tones = {"type": "array", "minItems": 1, "items": of(hz=NUMBER)}
    assert "tones" not in filled(of(["title"], title=TEXT, tones=tones), shot(0, 10))
    assert filled(of(["title"], title=TEXT, tones=tones))["tones"] == [{"hz": 440.0}]


def test_references_and_choices_are_followed() -> None:
    schema = {
        "$defs": {"Cue": of(start=NUMBER, text=TEXT)},
        **of(captions={"type": "array", "items": {"$ref": "#/$defs/Cue"}}, title={"anyOf": [TEXT, {"type": "null"}]}),
    }
    assert filled(schema)["captions"][0] == {"start": 1.0, "text": "welcome to the harbour"}


def test_a_schema_that_contains_itself_ends() -> None:
    node = of(["title"], title=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})
    schema = {"$defs": {"Node": node}, **of(chapters={"type": "array", "items": {"$ref": "#/$defs/Node"}})}
    assert set(filled(schema)["chapters"][0]) == {"title"}


def test_a_choice_beside_a_type_must_fit_both() -> None:
    both = {"type": ["string", "null"], "anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert filled(of(title=both))["title"]
    assert filled(of(["title"], title=TEXT, mood={"type": "null", "anyOf": [{"const": None}]}))["mood"] is None


@pytest.mark.parametrize("inner", [
    {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
    {"anyOf": [{"$ref": "#/$defs/Node"}, {"$ref": "#/$defs/Loop"}]},
    {"$ref": "#/$defs/Node"},
])  # fmt: skip
def test_a_list_that_is_linked_to_itself_ends(inner: dict[str, Any]) -> None:
    loop = {"anyOf": [{"$ref": "#/$defs/Loop"}] * 20}
    schema = {"$defs": {"Node": of(["title"], title=TEXT, metadata=inner), "Loop": loop}, "$ref": "#/$defs/Node"}
    assert filled(schema)["title"]


def test_rows_nest() -> None:
    schema = of(scenes=rows(start=NUMBER, captions=rows(text=TEXT), tones=rows(hz=NUMBER)))
    first, second = filled(schema)["scenes"]
    assert first["captions"] == [{"text": "welcome to the harbour"}]
    assert second["tones"] == [{"hz": 440.0}]


def test_words_have_times_and_confidence() -> None:
    value = filled(of(words=rows(word=TEXT, start=NUMBER, end=NUMBER, confidence=NUMBER)))
    assert value["words"][0] == {"word": "welcome", "start": 1.0, "end": 1.5, "confidence": 0.9}
    assert len(value["words"]) == 4


def test_timestamps_follow_their_format() -> None:
    stamp = {"type": "timestamp", "format": "hh:mm:ss.fff"}
    value = json.loads(write(of(scenes=rows(start=stamp, end={"type": "timestamp", "format": "seconds"}))))
    assert value["scenes"][1] == {"start": "00:00:04.000", "end": 10.0}


def test_a_start_time_that_is_text_is_a_clock_with_milliseconds() -> None:
    assert filled(of(chapters=rows(start_time=TEXT, title=TEXT)))["chapters"][1]["start_time"] == "00:00:04.000"


def test_writing_begins_before_anything_was_measured() -> None:
    def source() -> Any:
        pytest.fail("measured before the first words were written")
        yield

    timeline = scripted()
    timeline._source = source()
    fragments = fill(plan(of(summary=TEXT, scene_count=WHOLE), read_intent("x"), {}), timeline)
    text = next(fragments)
    while "This clip lasts" not in text:
        text += next(fragments)
    assert text.startswith('{"summary":"')


def test_text_is_escaped() -> None:
    quoted = spoken(1.0, 'say "hi" \\ \u2028')
    assert '"hi"' in filled(of(transcript=TEXT), quoted, shot(0, 10))["transcript"].lower()


def test_scalars_and_arrays_may_be_the_root() -> None:
    assert json.loads(write({"type": "array", "items": of(start=NUMBER, text=TEXT)}))[0]["start"] == 1.0
    assert "clip lasts" in json.loads(write({"type": "string", "description": "Summary of the clip"}))


def test_a_clip_without_sound_certainly_has_no_speech() -> None:
    value = filled(of(has_speech=FLAG, transcript=TEXT), shot(0, 10), clip=Clip(10.0, 640, 360, 25.0, "h264"))
    assert value == {"has_speech": False, "transcript": ""}


def test_what_needs_an_examination_that_cannot_be_made_is_refused_with_the_reason() -> None:
    with pytest.raises(ApiError, match=r"/transcript needs an examination.*not installed"):
        plan(of(transcript=TEXT), read_intent("x"), {"speech": "the package pocketsphinx is not installed"})


def test_only_what_is_needed_is_examined() -> None:
    assert plan(of(duration=NUMBER), read_intent("x"), {}).uses == frozenset()
    assert plan(of(transcript=TEXT), read_intent("x"), {}).uses == {"speech"}
    assert plan(of(scene_count=WHOLE), read_intent("x"), {}).uses == {"picture"}


def test_a_pattern_that_cannot_be_read_fits_nothing() -> None:
    assert filled(of(["duration"], duration=NUMBER, title={"type": "string", "pattern": "^\\p{Lu}"})) == {
        "duration": 10
    }


def test_a_constant_text_is_the_callers_label() -> None:
    assert filled(of(kind={"const": "report"}, title=TEXT))["kind"] == "report"


def test_a_constant_claim_must_be_true() -> None:
    assert filled(of(["title"], title=TEXT, has_speech={"const": True}))["has_speech"] is True
    assert "has_speech" not in filled(of(["title"], title=TEXT, has_speech={"const": False}))
    assert "/is_day " in refused(of(is_day={"const": True}))


def test_a_hopeless_schema_is_refused_before_any_media_is_touched() -> None:
    with pytest.raises(ApiError, match="/objects"):
        check_fillable(read_intent("x"), of(objects=TEXT))


NAMES = st.sampled_from(
    [
        "title",
        "summary",
        "start",
        "end_time",
        "duration_ms",
        "scenes",
        "segments",
        "text",
        "words",
        "colors",
        "mood",
        "has_speech",
        "scene_count",
        "brightness",
        "confidence",
        "topics",
        "id",
        "speaker",
        "silences",
        "x",
    ]
)
LEAVES = st.sampled_from([
    TEXT, NUMBER, WHOLE, FLAG, {}, {"type": "null"}, {"type": "array"}, {"type": "object"},
    {"type": ["string", "null"]}, {"type": ["integer", "boolean"]}, {"type": "timestamp", "format": "seconds"},
    {"enum": ["dark", "unknown"]}, {"enum": [1, None, True]}, {"const": "x"}, {"const": 1}, {"const": None},
    {"type": "integer", "minimum": 3}, {"type": "string", "pattern": "^[0-9]"}, {"type": "string", "format": "date"},
])  # fmt: skip


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.builds(
                lambda members, need: of([name for name in members if need[len(name) % 4]], **members),
                st.dictionaries(NAMES, inner, max_size=5),
                st.lists(st.booleans(), min_size=4, max_size=4),
            ),
            st.builds(
                lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 1)
            ),
            st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        ),
        max_leaves=12,
    )


@settings(max_examples=400, deadline=None)
@given(schemas())
def test_whatever_is_filled_is_valid_and_whatever_is_not_is_an_api_error(schema: dict[str, Any]) -> None:
    try:
        text = write(schema)
    except ApiError as exc:
        assert exc.code == "parameter_invalid"
        return
    value = json.loads(text)
    if "timestamp" not in json.dumps(schema):  # a type of the API's own: no validator knows it
        jsonschema_rs.validator_for(schema).validate(value)


WRITTEN = (*FACTS, written(0, 3, "WELCOME"), written(5, 8, "EXIT 4", 0.8))


@pytest.mark.parametrize("name", ["on_screen_text", "text_on_screen", "ocr", "onScreenText", "titles", "visible_text"])
def test_texts_on_the_screen_fill_members_of_many_names(name: str) -> None:
    assert filled(of(**{name: TEXT}), *WRITTEN) == {name: "WELCOME / EXIT 4"}
    assert filled(of(**{name: {"type": "array", "items": TEXT}}), *WRITTEN) == {name: ["WELCOME", "EXIT 4"]}


def test_texts_on_the_screen_are_rows_with_times_place_and_confidence() -> None:
    row = rows(text=TEXT, start=NUMBER, end=NUMBER, confidence=NUMBER, position=TEXT)
    told = filled(of(text_overlays=row), *WRITTEN)["text_overlays"]
    assert told[1] == {"text": "EXIT 4", "start": 5.0, "end": 8.0, "confidence": 0.8, "position": "lower left"}


def test_each_scene_has_the_texts_that_stand_in_it() -> None:
    told = filled(of(scenes=rows(on_screen_text=TEXT, has_text=FLAG)), *WRITTEN)["scenes"]
    assert told == [{"on_screen_text": "WELCOME", "has_text": True}, {"on_screen_text": "EXIT 4", "has_text": True}]


def test_where_nothing_is_written_that_is_the_answer() -> None:
    schema = of(ocr={"type": "array", "items": TEXT}, on_screen_text=TEXT, has_on_screen_text=FLAG)
    assert filled(schema) == {"ocr": [], "on_screen_text": "", "has_on_screen_text": False}


SEEN = (shot(0, 10), thing(1, 4), thing(2, 3, "bird"), thing(6, 8, most=2))


def test_things_fill_rows_with_their_times() -> None:
    value = filled(of(things=rows(name=TEXT, start=NUMBER, end=NUMBER, confidence=NUMBER)), *SEEN)
    assert value["things"] == [
        {"name": "person", "start": 1.0, "end": 4.0, "confidence": 0.7},
        {"name": "bird", "start": 2.0, "end": 3.0, "confidence": 0.7},
        {"name": "person", "start": 6.0, "end": 8.0, "confidence": 0.7},
    ]


def test_rows_of_one_kind_hold_that_kind_alone() -> None:
    value = filled(of(people=rows(start=NUMBER, count=WHOLE), animals=rows(label=TEXT), cars=rows(start=NUMBER)), *SEEN)
    assert value["people"] == [{"start": 1.0, "count": 1}, {"start": 6.0, "count": 2}]
    assert value["animals"] == [{"label": "bird"}]
    assert value["cars"] == []


def test_names_without_times_come_once() -> None:
    texts = {"type": "array", "items": TEXT}
    value = filled(of(objects=texts, visible_objects=TEXT), *SEEN)
    assert value == {"objects": ["person", "bird"], "visible_objects": "person, bird"}


def test_a_thing_of_a_shot_is_told_with_that_shot() -> None:
    facts = (shot(0, 4), thing(1, 4), shot(4, 10))
    value = filled(of(scenes={"type": "array", "items": of(["start"], start=NUMBER, has_person=FLAG)}), *facts)
    assert value["scenes"] == [{"start": 0.0, "has_person": True}, {"start": 4.0}]


@pytest.mark.parametrize("name", ["has_person", "person_present", "contains_people", "hasAnimals", "bird_visible"])
def test_a_thing_that_was_seen_is_there(name: str) -> None:
    assert filled(of(**{name: FLAG}), *SEEN)[name] is True


def test_a_thing_that_was_not_seen_is_never_absent() -> None:
    perhaps = {"type": ["boolean", "null"]}
    assert filled(of(has_car=perhaps), *SEEN) == {"has_car": None}
    assert filled(of(["title"], title=TEXT, has_car=FLAG), *SEEN).keys() == {"title"}
    with pytest.raises(ApiError, match="/has_car was not found in this clip"):
        write(of(has_car=FLAG), *SEEN)


def test_without_weights_what_must_name_things_is_refused() -> None:
    with pytest.raises(ApiError, match=r"/has_person needs .*`fanlight models fetch things` fetches them"):
        check_fillable(read_intent("x"), of(has_person=FLAG))
    check_fillable(read_intent("x"), of([], objects={"type": "array", "items": TEXT}, title=TEXT))


def test_without_a_reader_a_required_text_is_refused_and_an_optional_one_omitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.tell.schema_fill.missing_reader", lambda: "rapidocr")
    with pytest.raises(ApiError, match=r"/ocr needs .* rapidocr is not installed \(extra ocr\)"):
        check_fillable(read_intent("x"), of(ocr=TEXT))
    check_fillable(read_intent("x"), of([], ocr=TEXT, title=TEXT))


def test_languages_are_told_by_name_and_by_code_where_they_were_found_out() -> None:
    facts = (spoken(1, "bonjour", language="fr"), spoken(2, "guten tag", language="de"))
    cue = {"text": TEXT, "language": TEXT, "language_code": TEXT}
    value = filled(of(languages=TEXT, captions=rows(**cue)), *facts)
    assert value["languages"] == "French, German"
    assert value["captions"][1] == {"text": "guten tag", "language": "German", "language_code": "de"}


def test_where_one_language_alone_is_known_a_required_language_is_refused_and_an_optional_one_left_out() -> None:
    lacking = {"language": ENGLISH_ALONE}
    with pytest.raises(ApiError, match="knows English alone"):
        plan(of(language=TEXT), read_intent("x"), lacking)
    assert plan(of([], title=TEXT, language=TEXT), read_intent("x"), lacking).omitted == ("/language",)
