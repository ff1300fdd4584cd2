"""Stretches of voice, with a detector that plays a script."""

import numpy as np
import pytest

from engine.facts.samples import Samples
from engine.recognise.voice import Voice, VoiceFinder

CHUNK = 512
CHUNK_S = 0.032


def find(script: str, piece: int = CHUNK) -> list[Voice]:
    """Play a script: ``#`` is a chunk of voice, ``.`` one without."""
    chances = iter([0.9 if mark == "#" else 0.05 for mark in script])
    finder = VoiceFinder(lambda chunk: next(chances))
    samples: Samples = np.full(len(script) * CHUNK, 5000, dtype=np.int16)
    voices: list[Voice] = []
    for at in range(0, len(samples), piece):
        voices += finder.feed(samples[at : at + piece])
    return voices + finder.finish()


def test_voice_is_found_with_its_times_and_air_around_it() -> None:
    [voice] = find("." * 30 + "#" * 40 + "." * 40)
    assert (voice.start, voice.end) == (pytest.approx(30 * CHUNK_S), pytest.approx(70 * CHUNK_S))
    assert voice.offset < voice.start
    assert voice.offset + len(voice.samples) / 16_000 > voice.end


@pytest.mark.parametrize("piece", [100, 512, 5000])
def test_stretches_do_not_depend_on_how_the_samples_come(piece: int) -> None:
    script = "." * 30 + "#" * 40 + "." * 40 + "#" * 20
    times = [(voice.start, voice.end) for voice in find(script, piece)]
    assert times == [(voice.start, voice.end) for voice in find(script)]


def test_a_breath_does_not_part_a_short_sentence() -> None:
    assert len(find("#" * 30 + "." * 10 + "#" * 30 + "." * 40)) == 1


def test_a_pause_parts_two_sentences() -> None:
    assert len(find("#" * 30 + "." * 50 + "#" * 30 + "." * 60)) == 2


def test_a_knock_in_a_pause_does_not_join_two_sentences() -> None:
    assert len(find("#" * 30 + "." * 24 + "##" + "." * 24 + "#" * 30 + "." * 60)) == 2


def test_the_first_stretch_is_given_as_soon_as_there_is_something_to_read_and_then_whole() -> None:
    head, whole, second = find("." * 30 + "#" * 200 + "." * 60 + "#" * 200)
    assert (head.goes_on, whole.goes_on, second.goes_on) == (True, False, False)
    assert (head.start, head.offset) == (whole.start, whole.offset)
    assert len(head.samples) == 125 * CHUNK
    assert (whole.samples[: len(head.samples)] == head.samples).all()


def test_a_short_first_stretch_comes_once_and_so_does_a_long_one_after_it() -> None:
    voices = find("#" * 40 + "." * 60 + "#" * 200)
    assert [voice.goes_on for voice in voices] == [False, False]


def test_a_cough_is_no_voice() -> None:
    assert find("." * 30 + "#" * 5 + "." * 40) == []


def test_an_endless_voice_is_told_in_stretches() -> None:
    voices = [voice for voice in find("#" * 1500) if not voice.goes_on]
    assert len(voices) >= 3
    assert sum(len(voice.samples) for voice in voices) == 1500 * CHUNK
    assert all(len(voice.samples) <= 16 * 16_000 for voice in voices)


def test_voice_up_to_the_end_is_told_at_the_end() -> None:
    [voice] = find("." * 10 + "#" * 30)
    assert voice.end == pytest.approx(40 * CHUNK_S)


def test_nothing_still_to_come_starts_before_what_is_settled() -> None:
    chances = iter([0.05] * 30 + [0.9] * 30)
    finder = VoiceFinder(lambda chunk: next(chances))
    chunk = np.full(CHUNK, 5000, dtype=np.int16)
    settled = []
    for _ in range(60):
        assert finder.feed(chunk) == []
        settled.append(finder.settled)
    [voice] = finder.finish()
    assert settled == sorted(settled)
    assert settled[-1] <= voice.start
