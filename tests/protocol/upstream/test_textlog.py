import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.upstream.events import Fragment, StreamStart, UnknownEvent
from protocol.upstream.textlog import TextLog, TextTooLong


def fragment(text: str) -> str | Fragment:
    members = {"event_type": "text_generation", "text": text}
    return Fragment(members, text) if any("\ud800" <= c <= "\udfff" for c in text) else text


def filled(*texts: str) -> TextLog:
    log = TextLog(1 << 20)
    for text in texts:
        log.append(fragment(text))
    return log


@given(st.lists(st.text(max_size=8), max_size=10))
def test_the_text_is_the_fragments_in_a_row_and_each_event_comes_back(texts):
    log = filled(*texts)
    whole = "".join(texts).encode()
    assert log.encoded() == whole
    assert [log.event(n)["text"] for n in range(log.count)] == texts
    assert log.sha256() == hashlib.sha256(whole).hexdigest()
    assert all(log.is_boundary(log.end_of(n)) for n in range(log.count))


@given(st.text(min_size=1, max_size=20), st.integers(0, 80))
def test_boundaries_are_those_of_code_points(text, offset):
    log = filled(text)
    starts = {len(text[:n].encode()) for n in range(len(text) + 1)}
    assert log.is_boundary(offset) == (offset in starts)
    clipped = min(offset, log.size)
    assert log.boundary_before(clipped) == max(start for start in starts if start <= clipped)


def test_a_surrogate_pair_cut_over_two_events_is_joined_and_the_events_stay_as_they_came():
    log = filled("a\ud83d", "\ude00b")
    assert log.encoded() == "a😀b".encode()
    assert log.end_of(0) == 1
    assert [log.event(n)["text"] for n in range(2)] == ["a\ud83d", "\ude00b"]


def test_a_surrogate_pair_is_joined_over_events_that_bring_no_text():
    log = TextLog(100)
    for event in (fragment("\ud83d"), UnknownEvent({"event_type": "x"}), "", fragment("\ude00")):
        log.append(event)
    assert log.encoded() == "😀".encode()


@pytest.mark.parametrize("texts", [("\ud83d", "x"), ("\ude00x",), ("\ud83d\ud83d\ude00",)])
def test_a_lone_surrogate_becomes_the_replacement_character(texts):
    log = filled(*texts)
    log.finish()
    assert "\ufffd" in log.slice(0, log.size)


def test_a_pending_surrogate_is_given_up_at_the_end():
    log = filled("a\ud83d")
    assert log.encoded() == b"a"
    log.finish()
    log.finish()
    assert log.encoded() == "a\ufffd".encode()


def test_the_cap_on_text_takes_nothing_of_what_passes_it():
    log = TextLog(8)
    log.append("12345678")
    with pytest.raises(TextTooLong):
        log.append("9")
    assert (log.size, log.count) == (8, 1)


def test_events_without_text_are_bounded_too():
    log = TextLog(1000)
    with pytest.raises(TextTooLong):
        for _ in range(200_000):
            log.append("")
    with pytest.raises(TextTooLong):
        for _ in range(200_000):
            log.append(UnknownEvent({"event_type": "x"}))
    assert log.count < 200_000


def test_other_events_keep_their_place():
    log = TextLog(100)
    log.append(StreamStart({"event_type": "stream_start"}))
    log.append("ab")
    log.append(UnknownEvent({"event_type": "progress"}))
    log.append("c")
    assert [log.event(n)["event_type"] for n in range(4)] == [
        "stream_start",
        "text_generation",
        "progress",
        "text_generation",
    ]
    assert [log.end_of(n) for n in range(4)] == [0, 2, 2, 3]
    assert log.events_within(2) == 3


@given(st.lists(st.lists(st.text(max_size=6) | st.just("\ud83d") | st.just("\ude00"), max_size=5), max_size=5))
def test_events_taken_in_a_row_are_the_same_as_one_by_one(batches):
    row, one = TextLog(1 << 20), TextLog(1 << 20)
    for batch in batches:
        events = [fragment(text) for text in batch]
        row.extend(events)
        for event in events:
            one.append(event)
    assert row.encoded() == one.encoded()
    assert [row.end_of(n) for n in range(row.count)] == [one.end_of(n) for n in range(one.count)]
    assert row.lines(0, row.count) == one.lines(0, one.count)


def test_a_row_that_passes_the_cap_is_taken_up_to_there():
    log = TextLog(4)
    with pytest.raises(TextTooLong):
        log.extend(["ab", "cd", "e", "f"])
    assert (log.encoded(), log.count) == (b"abcd", 2)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=30), st.integers(1, 200))
def test_pieces_of_events_make_headway_and_end_at_the_last(texts, size):
    log = filled(*texts)
    ordinal = 0
    while ordinal < log.count:
        stop = log.events_up_to(ordinal, size)
        assert ordinal < stop <= log.count
        ordinal = stop
    assert log.events_up_to(ordinal, size) == log.count
