"""How right the engine is on the shared clips, whose contents are known.

Each clip is examined once; the bounds are what was measured, with a little room.
"""

import re
from functools import cache

import pytest

from engine.facts.facts import Clip, Fact, Recognised, Shot, Utterance, Writing
from engine.measure.examine import Order, examine
from engine.measure.media import read_clip
from engine.measure.opening import open_media
from engine.recognise.sight import Eyes
from engine.recognise.speech import Ears
from engine.senses import Senses, missing_reader
from tests.engine.conftest import shared_clip, speech_model

pytestmark = pytest.mark.slow

TOLERANCE_S = 0.25

# What stands on the screen, by MEDIA.md of the shared clips.
TEXTS = {
    "reel.mp4": ["SHARED TEST REEL", "Part one - 14 May", "CAR PARK CAMERA 7", "THE END"],
    "bunny.mp4": ["THE PEACH OPEN MOVIE PROJECT", "PRESENTS", "Big Buck BUNNY"],
}

JFK = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
FRIDAY = (
    "hildy how are you tell me is the lord of the universe in yes he's in in a bad humor somebody must've stolen the "
    "crown jewels"
)
WEBB = (
    "this is the optical and science segment of the webb space telescope in one of the largest cleanrooms in the "
    "world at nasa's goddard space flight center in greenbelt maryland"
)


@cache
def measured(name: str) -> tuple[Clip, list[Fact]]:
    path = shared_clip(name)
    ears, eyes = Ears(Senses(2, speech_model()).arguments()), None if missing_reader() else Eyes()
    try:
        with open_media(path) as container:
            clip = read_clip(container)
            return clip, list(examine(container, clip, Order(True, True, ears, eyes)))
    finally:
        ears.close()
        if eyes:
            eyes.close()


def openings(name: str) -> list[tuple[float, str]]:
    return [(one.start, one.opening) for one in measured(name)[1] if isinstance(one, Shot)]


def utterances(name: str, until: float = 1e9) -> list[Utterance]:
    return [one for one in measured(name)[1] if isinstance(one, Utterance) and one.start < until]


def errors(said: str, heard: str) -> int:
    """Word errors: substitutions, insertions and deletions."""
    reference, words = said.split(), re.sub(r"[^a-z' ]", "", heard.lower()).split()
    row = list(range(len(words) + 1))
    for index, word in enumerate(reference, 1):
        before, row[0] = row[:], index
        for place, other in enumerate(words, 1):
            row[place] = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (word != other))
    return row[-1]


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("reel.mp4", [(0.0, "start"), (3.0, "cut"), (14.04, "cut"), (20.04, "cut")]),
        ("bunny.mp4", [(0.0, "start"), (11.88, "cut"), (15.75, "cut"), (23.04, "cut")]),
        ("webb.mp4", [(0.0, "start"), (5.4, "dissolve"), (8.008, "cut")]),
        ("flower.mp4", [(0.0, "start")]),
        ("flower.webm", [(0.0, "start")]),
    ],
)
def test_every_cut_is_found_and_none_is_made_up(name: str, cuts: list[tuple[float, str]]) -> None:
    found = openings(name)
    assert [opening for _, opening in found] == [opening for _, opening in cuts]
    assert all(abs(one - other) <= TOLERANCE_S for (one, _), (other, _) in zip(found, cuts, strict=True))


def test_the_fade_in_of_bunny_is_measured() -> None:
    first = next(one for one in measured("bunny.mp4")[1] if isinstance(one, Shot))
    assert 1.5 <= first.fade_in <= 2.5


def test_music_and_noises_give_no_word() -> None:
    assert utterances("bunny.mp4") == []


@pytest.mark.parametrize(("name", "said", "until", "most"), [
    ("webb.mp4", WEBB, 99.0, 3), ("jfk.flac", JFK, 99.0, 1), ("reel.mp4", JFK, 13.9, 1),
])  # fmt: skip
def test_clear_speech_is_right_but_for_a_word(name: str, said: str, until: float, most: int) -> None:
    heard = " ".join(word.text for one in utterances(name, until) for word in one.words or ())
    assert errors(said, heard) <= most


def test_words_have_times_within_their_utterance() -> None:
    for one in utterances("webb.mp4"):
        for word in one.words or ():
            assert one.start - 0.3 <= word.start < word.end <= one.end + 0.3


def test_film_dialogue_is_half_right() -> None:
    heard = " ".join(word.text for one in utterances("reel.mp4") if one.start >= 13.9 for word in one.words or ())
    assert errors(FRIDAY, heard) <= 0.5 * len(FRIDAY.split())


def test_facts_come_in_order_of_their_ends() -> None:
    ends = [one.end for one in measured("reel.mp4")[1] if not isinstance(one, Recognised) and hasattr(one, "start")]
    assert ends == sorted(ends)


def texts(name: str) -> list[Writing]:
    if missing := missing_reader():
        pytest.skip(f"the package {missing} (extra ocr) is not installed")
    return [one for one in measured(name)[1] if isinstance(one, Writing)]


@pytest.mark.parametrize(("name", "times"), [
    ("reel.mp4", [(0.0, 3.0), (0.0, 3.0), (3.0, 14.04), (20.04, 23.04)]), ("bunny.mp4", [(21.0, 23.04), (21.0, 23.04)]),
])  # fmt: skip
def test_plain_text_is_read_exactly_and_its_times_to_a_second(name: str, times: list[tuple[float, float]]) -> None:
    found = {one.text: one for one in texts(name)}
    for text, (start, end) in zip(TEXTS[name], times, strict=False):
        assert abs(found[text].start - start) <= 1.0
        assert abs(found[text].end - end) <= 1.0


@pytest.mark.parametrize("name", ["webb.mp4", "flower.mp4", "flower.webm"])
def test_where_nothing_is_written_nothing_is_read(name: str) -> None:
    assert texts(name) == []
