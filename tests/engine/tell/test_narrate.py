"""Prose that says what was measured, and nothing else."""

import re
from collections.abc import Sequence

import numpy as np

from engine.facts.facts import Clip, Examination, Fault, Motion, Silence, Tone, Track
from engine.tell.intent import read_intent
from engine.tell.narrate import narrate
from tests.engine.conftest import CLIP, NIGHT, scripted, shot, spoken, thing, written


def tell(prompt: str, *facts: object, **options: object) -> str:
    return "".join(narrate(scripted(*facts, **options), read_intent(prompt)))  # type: ignore[arg-type]


def test_every_answer_says_what_it_is_and_what_was_examined() -> None:
    text = tell("summarize", shot(0, 10), on_screen_text="not_available", things="not_available")
    assert text.startswith("Measured by local-facts, which recognises no objects, people or actions.")
    assert "Examined: the picture, the sound level and speech." in text
    assert "Not to be had: on-screen text" in text


def test_the_first_words_need_no_measurement() -> None:
    timeline = scripted(*[])
    first = next(narrate(timeline, read_intent("summarize")))
    assert "local-facts" in first


def test_a_summary_marks_where_each_section_begins() -> None:
    text = tell("summarize", shot(0, 4), shot(4, 10, NIGHT))
    assert re.findall(r"^\[(\d\d:\d\d)\]", text, re.MULTILINE) == ["00:00", "00:04"]
    assert "After a cut, a still, very dark picture, almost all black." in text


def test_speech_is_quoted_and_speech_not_understood_is_only_counted() -> None:
    text = tell("summarize", shot(0, 10), spoken(1, "hello there"), spoken(5, "gibberish noise", 0.1))
    assert "A voice says “hello there”." in text
    assert "There is also speech that was not understood." in text
    assert "gibberish" not in text


def test_a_transcript_is_lines_with_marks_and_nothing_after_them() -> None:
    text = tell(
        "transcribe", spoken(1, "hello there"), spoken(65.5, "i am"), clip=Clip(90.0, 640, 360, audio_codec="aac")
    )
    assert text.splitlines()[-2:] == ["[00:01] hello there", "[01:05] i am"]


def test_the_one_language_that_speech_is_read_in_is_said_beforehand() -> None:
    timeline = scripted(spoken(1, "hello there"))
    timeline.examinations["speech"] = Examination("made", language="en")
    text = "".join(narrate(timeline, read_intent("transcribe")))
    assert "speech (English)" in text
    assert text.endswith("[00:01] hello there\n")


MIXED = (
    spoken(1, "bonjour tout le monde", language="fr"),
    spoken(3, "ça va", language="fr"),
    spoken(5, "gibberish noise", 0.1, language="la"),
    spoken(6, "guten tag", language="de"),
)


def test_a_language_that_was_found_out_stands_in_brackets_where_it_changes() -> None:
    assert tell("transcribe", *MIXED).splitlines()[-4:] == [
        "[00:01] [in French] bonjour tout le monde",
        "[00:03] ça va",
        "[00:05] [speech, not understood]",
        "[00:06] [in German] guten tag",
    ]


def test_a_summary_says_in_which_language_a_voice_speaks() -> None:
    text = tell("summarize", *MIXED, shot(0, 10))
    assert "A voice says in French “bonjour tout le monde”, “ça va”, in German “guten tag”." in text
    assert "Latin" not in text


def test_a_clip_without_speech_says_so() -> None:
    assert "No speech was found in this clip." in tell("transcribe", shot(0, 10))


def test_a_clip_without_sound_says_why_there_is_no_transcript() -> None:
    silent = Clip(10.0, 640, 360, 25.0, "h264")
    assert "There is no transcript" in tell("transcribe", shot(0, 10), clip=silent, speech="not_available")


def test_motion_and_tones_are_told_with_their_times() -> None:
    moves = Motion(3.0, 7.0, "part", "lower middle", "upper middle")
    text = tell("summarize", moves, shot(0, 10))
    assert "Something moves from 00:03 to 00:07, from the lower middle to the upper middle." in text


def test_the_sound_topic_lists_silences_and_tones() -> None:
    from engine.facts.facts import Level

    text = tell("how loud is it", Silence(0, 2), Tone(4, 6, 440.0), Level(4, 5, -12.0))
    assert "[00:00] Silence until 00:02." in text
    assert "[00:04] A steady tone of 440 Hz until 00:06." in text
    assert "(12 dB below full scale)" in text


def test_a_question_beyond_is_answered_with_what_it_would_take() -> None:
    text = tell("How many dogs are asleep?", shot(0, 10))
    assert "it would take a model that recognises what is shown" in text


def test_things_are_told_as_probable_with_their_times() -> None:
    text = tell("summarize", shot(0, 10), thing(2, 5, "umbrella"), thing(1, 9, most=3))
    assert text.startswith("Measured by local-facts, which recognises no actions")
    assert text.splitlines()[-2:] == [
        "[00:01] Probably people, 3 of them at once, until 00:09.",
        "[00:02] Probably an umbrella, until 00:05.",
    ]


def test_a_question_for_a_thing_is_answered_with_that_thing_alone() -> None:
    text = tell("When does a person appear?", shot(0, 10), thing(2, 5, "car"), thing(1, 9), thing(12, 14))
    assert re.findall(r"\[(\d\d:\d\d)\] (.*)", text) == [
        ("00:01", "Probably a person, until 00:09."),
        ("00:12", "Probably a person, until 00:14."),
    ]


def test_that_a_thing_was_not_found_is_not_told_as_its_absence() -> None:
    text = tell("Is there a car or a boat?", shot(0, 10), thing(1, 9))
    assert "Nothing was taken for a car or a boat: it does not follow that there is none." in text
    assert "person" not in text


def test_where_no_thing_can_be_named_the_answer_says_so() -> None:
    text = tell("Is there a car?", shot(0, 10), things="not_available")
    assert "which recognises no objects, people or actions" in text
    assert "No things can be named" in text


def test_nothing_happens_after_the_end() -> None:
    from engine.facts.timeline import Timeline

    source = scripted()
    timeline = Timeline(CLIP, source.examinations, iter(()), (27.0, 10.0))
    text = "".join(narrate(timeline, read_intent("what happens at 0:30")))
    assert "The clip lasts only 10.0 seconds" in text


def test_chapters_have_titles_from_what_is_said() -> None:
    text = tell("chapters", shot(0, 4), spoken(0.5, "welcome to the annual general meeting of fools"), shot(4, 10))
    assert "[00:00] Welcome to the annual general meeting of…" in text
    assert "[00:04] Still, moderately lit picture, green" in text


def test_texts_on_the_screen_are_lines_with_their_times_and_places() -> None:
    text = tell("which text is on screen", shot(0, 10), written(1, 6, "CAR PARK"), written(7, 7.5, "EXIT"))
    assert text.splitlines()[-2:] == [
        "[00:01] On the screen until 00:06, at the lower left: “CAR PARK”",
        "[00:07] On the screen, at the lower left: “EXIT”",
    ]


def test_a_summary_ends_with_what_was_read_on_the_screen() -> None:
    assert tell("summarize", shot(0, 10), written(1, 6, "CAR PARK")).endswith("“CAR PARK”\n")


def test_a_clip_in_which_nothing_is_written_says_so() -> None:
    assert "No text was read on the screen." in tell("do ocr", shot(0, 10))


def test_without_a_reader_it_is_said_why_no_text_is_told() -> None:
    assert "Nothing can be said of text on the screen" in tell("do ocr", shot(0, 10), on_screen_text="not_available")


def test_what_was_said_about_something_is_all_that_is_quoted() -> None:
    facts = (spoken(1.0, "the telescope is large"), spoken(4.0, "we had lunch"), spoken(7.0, "telescopes see far"))
    text = tell("What was said about the telescope?", *facts)
    assert [line[:7] for line in text.splitlines() if line.startswith("[")] == ["[00:01]", "[00:07]"]
    assert 'searched for "the telescope" by its words alone' in text
    assert "lunch" not in text


def test_what_nobody_spoke_of_is_not_found_and_said_so() -> None:
    text = tell("What was said about pirates?", spoken(4.0, "we had lunch"))
    assert "Nothing that was understood fits it." in text
    assert "lunch" not in text


def test_with_weights_a_subject_is_found_by_meaning_and_the_model_is_named() -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if text in ("a meal", "we had lunch") else [0.0, 1.0] for text in texts])

    timeline = scripted(spoken(1.0, "the telescope is large"), spoken(4.0, "we had lunch"))
    text = "".join(narrate(timeline, read_intent("What was said about a meal?"), encode))
    assert "[00:04] we had lunch" in text
    assert "telescope is" not in text
    assert "all-MiniLM-L6-v2" in text


def test_a_moment_just_behind_the_end_is_said_to_be_past_it() -> None:
    """What was measured just before it is no answer."""
    text = tell("What happens at 0:12?", shot(0, 10))
    assert "The clip lasts only 10.0 seconds: 00:12 is past its end." in text
    assert "[" not in text


def test_of_several_tracks_it_is_said_which_was_examined() -> None:
    clip = Clip(10.0, 640, 360, 25.0, "h264", "aac", sound_track=Track(2, 3, True, "deu"), picture_track=Track())
    expected = "Of 3 sound tracks in the file, number 2 (language: deu) was examined, the one that the file flags as its default."
    for prompt in ("Summarize", "Transcribe", "How does it sound?"):
        assert expected in tell(prompt, shot(0, 10), clip=clip)
    assert "tracks" not in tell("Transcribe", shot(0, 10))
    plain = Clip(10.0, 640, 360, 25.0, "h264", "aac", picture_track=Track(1, 2), sound_track=Track())
    assert "Of 2 pictures in the file, number 1 was examined, the first." in tell(
        "How does it look?", shot(0, 10), clip=plain
    )


MISSING = Fault(6.0, 10.0, "missing", "picture")
DAMAGE = [Fault(1.0 + at, 1.5 + at, "damaged", "sound", 2) for at in range(4)]


def test_what_is_wrong_with_the_file_is_told_at_its_time_and_in_brackets() -> None:
    text = tell("Summarize", shot(0, 6), Fault(3.0, 3.0, "restart", "file"), MISSING)
    lines = text.strip().splitlines()
    assert lines[-2] == "[00:03] [The clock of the file begins again here; the times told go on.]"
    assert lines[-1] == (
        "[00:06] [The picture could be looked at up to here only: "
        "the file announces it up to 00:10, but the rest cannot be had or decoded.]"
    )


def test_damage_in_many_places_is_told_once() -> None:
    text = tell("How does it sound?", *DAMAGE, shot(0, 10))
    assert text.count("Damaged:") == 1
    assert (
        "[00:01] [Damaged: 8 packets of the sound up to 00:04 could not be decoded rightly, and were passed over.]"
        in text
    )


def test_faults_of_what_was_not_examined_are_not_told() -> None:
    assert "picture could" not in tell(
        "Transcribe", MISSING, picture="not_needed", on_screen_text="not_needed", things="not_needed"
    )
