"""Facts as JSON, and back again; passages that can be searched."""

import json
import sqlite3
from dataclasses import asdict, replace

from engine.facts.facts import Examination, Fact, Fault, Level, Motion, Seen, Silence, Tone, Track
from engine.facts.kept import VERSION, clip_of, facts_of, from_wire, replayed, to_wire
from engine.facts.words import WORDS_TABLE, word_query
from engine.tell.passages import passages_of
from tests.engine.conftest import CLIP, NIGHT, shot, spoken, thing, written

FACTS: list[Fact] = [
    shot(0, 4, fade_in=1.0),
    Motion(1, 2, "part", "the left side", "the centre"),
    Level(0, 1, -60.0),
    Level(1, 2, -61.0),
    Level(2, 3, -10.0),
    Silence(0, 2),
    Tone(2, 3, 440.2),
    spoken(4, "hello world"),
    spoken(6, "noise", confidence=0.1),
    shot(4, 10, NIGHT),
    written(4, 9, "CAR PARK"),
    Fault(9, 10, "missing", "picture"),
    thing(4, 7, "bird", 2),
]
KEPT = {
    "version": VERSION,
    "clip": asdict(CLIP),
    "examinations": {"picture": asdict(Examination("made"))},
    "facts": json.loads(json.dumps([to_wire(fact) for fact in FACTS])),
    "sketches": [],
    "damaged_packets": 0,
}


def test_a_fact_comes_back_as_it_was() -> None:
    for fact in [*FACTS, spoken(5, "bonjour", language="fr")]:
        assert from_wire(json.loads(json.dumps(to_wire(fact)))) == fact
    assert facts_of(KEPT) == FACTS


def test_a_record_is_told_again_for_the_span_that_is_asked_for() -> None:
    timeline = replayed(KEPT, {}, (3.5, 5.0))
    seen = [fact for fact in timeline.facts() if not isinstance(fact, Seen)]
    assert [type(fact).__name__ for fact in seen] == [
        "Shot",
        "Shot",
        "Utterance",
        "Heard",
        "Writing",
        "Read",
        "Thing",
        "Spotted",
    ]


def test_a_clip_comes_back_with_its_tracks() -> None:
    clip = replace(CLIP, sound_track=Track(2, 3, True, "deu"), picture_track=Track())
    assert clip_of(json.loads(json.dumps({"clip": asdict(clip)}))) == clip


def test_movement_is_found_in_whichever_word_it_is_asked_for() -> None:
    row = sqlite3.connect(":memory:")
    row.execute(WORDS_TABLE)
    for motion in (0.0, 0.03, 0.5):
        [passage] = passages_of({**KEPT, "facts": [to_wire(shot(0, 4, motion=motion))]})
        row.execute("INSERT INTO passage_words (text) VALUES (?)", (passage.text,))
    for asked in ("something moving", "movement", "motion", "moves", "Is there any movement?"):
        query = "SELECT rowid FROM passage_words WHERE passage_words MATCH ?"
        assert sorted(one for (one,) in row.execute(query, (word_query(asked),))) == [2, 3], asked


def test_what_was_not_understood_is_not_searched_as_words() -> None:
    said = [one for one in passages_of(KEPT) if one.kind == "transcription"]
    assert [(one.text, one.start) for one in said] == [("hello world", 4)]
    voices = [one for one in passages_of(KEPT) if one.kind == "audio" and "speech" in one.text]
    assert [one.start for one in voices] == [4, 6]


def test_a_text_on_the_screen_is_searched_as_it_was_read() -> None:
    assert ("CAR PARK", 4, 9) in [(one.text, one.start, one.end) for one in passages_of(KEPT) if one.kind == "visual"]


def test_a_thing_is_found_by_its_name_and_by_what_it_is() -> None:
    row = sqlite3.connect(":memory:")
    row.execute(WORDS_TABLE)
    for one in passages_of(KEPT):
        if one.kind == "visual":
            row.execute("INSERT INTO passage_words (text) VALUES (?)", (f"{one.text} {one.start}",))
    for asked, found in (("bird", 1), ("Are there any animals?", 1), ("dog", 0), ("people", 0)):
        query = "SELECT count(*) FROM passage_words WHERE passage_words MATCH ?"
        assert row.execute(query, (word_query(asked),)).fetchone() == (found,), asked


def test_equally_loud_seconds_are_one_passage() -> None:
    loud = [(one.start, one.end, one.text) for one in passages_of(KEPT) if one.text.endswith(" sound")]
    assert loud == [(0, 2, "silent sound"), (2, 3, "loud sound")]


def test_a_shot_is_searched_by_what_was_measured_of_it() -> None:
    shots = [one.text for one in passages_of(KEPT) if one.kind == "visual"]
    assert "green" in shots[0]
    assert "fade in" in shots[0]
    assert {"black", "cut"} <= set(shots[1].split())
