"""Which pictures a model is shown, and what it is told beside them."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from engine.vlm.prompt import MAX_FACT_CHARS, Picture, Seen, messages
from engine.vlm.times import picture_times, windows
from tests.engine.conftest import shot, spoken, thing


def test_each_shot_is_shown_and_long_ones_more_often() -> None:
    assert picture_times([(0, 2), (2, 8), (8, 10)], 5) == [1, 3, 5, 7, 9]
    assert picture_times([(0, 2), (2, 4), (4, 6), (6, 8)], 2) == [3, 7]
    assert picture_times([], 4) == []


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=40), st.integers(1, 40))
def test_pictures_fill_the_budget_in_order_and_never_stand_at_a_cut(lengths: list[float], budget: int) -> None:
    shots, at = [], 0.0
    for length in lengths:
        shots.append((at, at + length))
        at += length
    times = picture_times(shots, budget)
    assert len(times) == budget
    assert times == sorted(times)
    assert all(any(start < time < end for start, end in shots) for time in times)


@given(st.floats(0.5, 20_000), st.floats(10, 1000))
def test_windows_cover_a_video_and_none_is_too_long(duration: float, longest: float) -> None:
    parts = windows(duration, longest)
    assert (parts[0][0], parts[-1][1]) == (0, duration)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    assert all(end - start <= longest + 0.002 for start, end in parts)


def test_a_model_is_told_what_was_said_and_shown_pictures_after_their_times() -> None:
    facts = [shot(0, 4), spoken(1.0, "Welcome to the harbour."), shot(4, 70)]
    sent = messages("What is it?", Seen(70.0, facts, [Picture(2.0, b"one"), Picture(64.0, b"two")]))
    system, user = sent
    assert system["role"] == "system"
    assert "[mm:ss]" in system["content"]
    told, first_time, first, second_time, _, question = user["content"]
    assert "[00:01] Welcome to the harbour." in told["text"]
    assert "Shots begin at: 00:00, 00:04" in told["text"]
    assert (first_time["text"], second_time["text"], question["text"]) == ("[00:02]", "[01:04]", "What is it?")
    assert first["image_url"]["url"] == "data:image/jpeg;base64,b25l"


def test_a_model_is_told_of_things_as_probable_and_of_none_where_none_was_seen() -> None:
    [_, user] = messages("What?", Seen(9.0, [shot(0, 9), thing(1, 4, "bird")]))
    assert "probably rightly:\n[00:01-00:04] bird" in user["content"][0]["text"]
    [_, user] = messages("What?", Seen(9.0, [shot(0, 9)]))
    assert "probably" not in user["content"][0]["text"]


def test_a_part_is_told_what_was_said_of_those_before_it() -> None:
    facts = [spoken(1.0, "Early."), spoken(61.0, "Late.")]
    [_, user] = messages("What?", Seen(120.0, facts, span=(60.0, 120.0), before="A harbour is shown."))
    told = user["content"][0]["text"]
    assert "from 01:00 to 02:00" in told
    assert "A harbour is shown." in told
    assert "Late." in told
    assert "Early." not in told


def test_a_schema_may_be_put_into_words() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    [_, user] = messages("What?", Seen(10.0, []), schema)
    assert json.dumps(schema) in user["content"][-1]["text"]


def test_what_was_said_is_bounded() -> None:
    facts = [spoken(float(n), "word " * 20) for n in range(2000)]
    [_, user] = messages("What?", Seen(2000.0, facts))
    assert len(user["content"][0]["text"]) < MAX_FACT_CHARS + 2000
