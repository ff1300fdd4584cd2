"""Readings of single pictures become texts that stand for a time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.facts.facts import Box, Writing
from engine.recognise.sightings import Line, Sightings, alike, overlap

LOW: Box = (0.1, 0.8, 0.6, 0.9)
HIGH: Box = (0.1, 0.1, 0.6, 0.2)


def line(text: str, box: Box = LOW, confidence: float = 0.95) -> Line:
    return Line(text, box, confidence)


def merged(*looks: list[Line]) -> list[Writing]:
    """Look once a second, and until a second after the last look."""
    sightings = Sightings()
    told = [one for time, lines in enumerate(looks) for one in sightings.look(float(time), lines)]
    return told + sightings.finish(float(len(looks)))


def spans(*looks: list[Line]) -> list[tuple[str, float, float]]:
    return [(one.text, one.start, one.end) for one in merged(*looks)]


def test_a_text_that_stands_is_one_text() -> None:
    assert spans([], [line("CAMERA 7")], [line("CAMERA 7")], [], [], []) == [("CAMERA 7", 1.0, 3.0)]


def test_a_text_up_to_the_end_stands_until_the_end() -> None:
    assert spans([], [line("THE END")]) == [("THE END", 1.0, 2.0)]


def test_a_text_missed_once_stands_on() -> None:
    assert spans([line("HELLO")], [], [line("HELLO")], [], []) == [("HELLO", 0.0, 3.0)]


def test_a_text_that_comes_back_later_is_told_again() -> None:
    assert spans([line("HELLO")], [], [], [line("HELLO")]) == [("HELLO", 0.0, 1.0), ("HELLO", 3.0, 4.0)]


def test_the_reading_that_was_surest_over_all_is_told() -> None:
    [told] = merged([line("HELLQ THERE", confidence=0.99)], *[[line("HELLO THERE", confidence=0.9)]] * 3)
    assert (told.text, told.confidence) == ("HELLO THERE", 0.9)


def test_a_text_that_was_hidden_in_part_is_told_whole() -> None:
    assert spans([line("THE OPEN")], [line("THE OPEN MOVIE")], [line("THE OPEN MOVIE")]) == [
        ("THE OPEN MOVIE", 0.0, 3.0)
    ]


def test_a_clock_is_another_text_each_second() -> None:
    assert len(merged([line("TIME 10:01")], [line("TIME 10:02")], [line("TIME 10:03")])) == 3


def test_the_same_text_in_two_places_is_two_texts() -> None:
    assert len(merged([line("EXIT", LOW), line("EXIT", HIGH)])) == 2


@pytest.mark.parametrize("noise", [line("D"), line("guess", confidence=0.5), line("--")])
def test_what_is_not_sure_to_be_text_is_not_told(noise: Line) -> None:
    assert merged([noise], [noise]) == []


def test_likeness_forgives_a_letter_but_no_digit() -> None:
    assert alike("Car Park", "CAR PARX")
    assert not alike("CAR 7", "CAR 8")
    assert not alike("left", "right")


def test_overlap_is_the_share_of_the_smaller_box() -> None:
    assert overlap(LOW, LOW) == pytest.approx(1.0)
    assert overlap(LOW, HIGH) == 0.0
    assert overlap((0.0, 0.0, 0.2, 0.2), (0.1, 0.0, 0.9, 0.9)) == pytest.approx(0.5)


shares = st.integers(0, 20).map(lambda twentieth: twentieth / 20)
boxes = st.tuples(shares, shares, shares, shares).map(
    lambda s: (min(s[0], s[2]), min(s[1], s[3]), max(s[0], s[2]), max(s[1], s[3]))
)
lines = st.builds(Line, st.sampled_from(["THE END", "THE ENO", "THE", "10:01", "10:02", "a", "CAMERA"]), boxes, shares)
looks = st.lists(st.lists(lines, max_size=5), max_size=12)


@given(looks)
def test_every_text_told_was_read_in_its_time_and_place(looks: list[list[Line]]) -> None:
    for told in merged(*looks):
        inside = [line for time, row in enumerate(looks) if told.start <= time < told.end for line in row]
        assert told.text in {line.text for line in inside}
        assert told.box in {line.box for line in inside}
        assert told.start < told.end <= len(looks)
        assert 0.7 <= told.confidence <= 1.0


@given(looks)
def test_every_sure_reading_is_in_a_text(looks: list[list[Line]]) -> None:
    told = merged(*looks)
    for time, row in enumerate(looks):
        for one in row:
            if one.confidence >= 0.7 and len(one.text) > 1:
                assert any(text.start <= time < text.end for text in told)


@given(looks, st.randoms())
def test_the_order_within_a_picture_means_nothing(looks: list[list[Line]], random: Random) -> None:
    shuffled = [random.sample(row, len(row)) for row in looks]
    assert merged(*shuffled) == merged(*looks)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_one_text_is_told_as_often_as_it_came_after_two_misses(seen: list[bool]) -> None:
    marks = "".join("#" if one else "." for one in seen)
    comings = len([part for part in marks.split("..") if "#" in part])
    assert len(merged(*[[line("HELLO")] if one else [] for one in seen])) == comings
