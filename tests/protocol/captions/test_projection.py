"""Captions while they grow: nothing shown is ever unsaid, and all readers end with the same cues."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.captions.media_times import seconds, seconds_range
from protocol.captions.projection import CaptionProjection, CueNames

Message = dict[str, Any]


def pieces(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


def run(text: str, size: int = 3, names: CueNames | None = None) -> tuple[CaptionProjection, list[Message]]:
    view = CaptionProjection(names)
    told = [message for fragment in pieces(text, size) for message in view.feed(fragment)]
    return view, told + view.close()


def finals(text: str, size: int = 3, names: CueNames | None = None) -> list[tuple[Any, Any, str]]:
    view, _ = run(text, size, names)
    return [(cue["start"], cue["end"], cue["text"]) for cue in view.finals()]


def check_manners(text: str, told: list[Message]) -> None:
    """What every sequence of caption messages keeps to."""
    shown: dict[str, Message] = {}
    at = 0
    for message in told:
        assert at <= message["at"] <= len(text.encode())
        at = message["at"]
        before = shown.get(message["id"])
        assert message["rev"] > (before["rev"] if before else 0)
        assert message["start"] is not None
        assert message["text"]
        if before:
            assert before["state"] == "partial" or message["state"] == "retracted"
            assert message["text"].startswith(before["text"])
            assert message["start"] == before["start"]
        shown[message["id"]] = message
    assert all(message["state"] != "partial" for message in shown.values())


# From structured segments


SEGMENTS = {
    "segments": [
        {"start": 0.5, "end": 2, "text": "Hello there.", "speaker": "Ann"},
        {"start": "00:00:02.250", "end": "00:00:04", "text": "Second \u00e9\U0001f600 line"},
    ]
}


@pytest.mark.parametrize("size", [1, 2, 4, 7, 1000])
def test_segments_grow_and_are_final_when_their_object_closes(size: int) -> None:
    text = json.dumps(SEGMENTS)
    view, told = run(text, size)
    check_manners(text, told)
    ends = [text.index("}, {") + 1, text.index("}]}") + 1]
    assert [(cue["at"], cue["start"], cue["end"], cue["text"], cue["pointer"]) for cue in view.finals()] == [
        (ends[0], 0.5, 2.0, "Hello there.", "/segments/0"),
        (ends[1], 2.25, 4.0, "Second é😀 line", "/segments/1"),
    ]
    assert view.finals()[0]["speaker"] == "Ann"
    assert "speaker" not in view.finals()[1]


def test_a_growing_text_is_shown_as_it_grows() -> None:
    view = CaptionProjection()
    view.feed('[{"start":1,"text":"')
    assert [message["text"] for part in ("He", "llo", " you") for message in view.feed(part)] == [
        "He",
        "Hello",
        "Hello you",
    ]
    (message,) = view.feed('"}')
    assert message == {"at": 31, "id": "c2", "rev": 10, "state": "final", "start": 1.0, "end": None, "text": "Hello you", "pointer": "/0"}  # fmt: skip


def test_nothing_is_told_before_the_start_is_known() -> None:
    view = CaptionProjection()
    assert view.feed('[{"text":"Hello","end":3,"start":1') == []
    assert [(message["start"], message["text"]) for message in view.feed("2,")] == [(12.0, "Hello")]


def test_a_time_that_is_none_makes_no_cue() -> None:
    assert finals('[{"start":"soon","text":"x"},{"text":"y"},{"start":null,"text":"z"},{"start":1,"text":"ok"}]') == [(1.0, None, "ok")]  # fmt: skip


@pytest.mark.parametrize(
    "segment",
    [
        {"start_time": 1, "end_time": 2, "caption": "x"},
        {"startTime": "00:01", "endTime": "00:02", "transcript": "x"},
        {"from": "1", "to": "2s", "content": "x"},
        {"begin": 1.0, "end": "0:00:02", "text": "x"},
        {"timestamp": "00:01 - 00:02", "description": "x"},
        {"Start": 1, "End": 2, "Text": "x"},
    ],
)
def test_usual_names_are_understood(segment: dict[str, Any]) -> None:
    assert finals(json.dumps({"clips": [segment]})) == [(1.0, 2.0, "x")]


def test_the_request_names_members_and_place() -> None:
    text = '{"other":[{"start":9,"text":"no"}],"segs":[{"s":1,"e":2,"t":"yes","text":"no"}]}'
    assert finals(text, names=CueNames("/segs", "s", "e", "t")) == [(1.0, 2.0, "yes")]
    assert finals(text) == [(9.0, None, "no")]


def test_only_one_place_gives_cues() -> None:
    text = '{"chapters":[{"start":0,"text":"One","words":[{"start":0,"text":"O"}]},{"start":5,"text":"Two"}],"more":[{"start":1,"text":"x"}]}'  # fmt: skip
    assert finals(text) == [(0.0, None, "One"), (5.0, None, "Two")]


def test_a_repeated_member_withdraws_what_it_showed() -> None:
    text = '{"segments":[{"start":1,"text":"old"}],"segments":[{"start":2,"text":"new","text":"newer"}]}'
    view, told = run(text)
    assert finals(text) == [(2.0, None, "newer")]
    assert [message["text"] for message in told if message["state"] == "retracted"] == ["old", "new"]
    assert [cue["id"] for cue in view.state(0)] == [view.finals()[0]["id"]]
    assert "old" in [cue["text"] for cue in view.state(40)], "who saw it is told that it went"


def test_only_what_is_below_a_repeated_member_is_withdrawn() -> None:
    one = '{"list":[{"start":1,"text":"one"}]}'
    two = '{"list":[{"start":2,"text":"gone"}],"list":[],"list":[{"start":3,"text":"two"}],"n":1,"n":2}'
    assert finals(f"[{one},{two}]") == [(1.0, None, "one"), (3.0, None, "two")]
    again = '{"a":{"list":[{"start":1,"text":"gone"}],"list":[{"start":2,"text":"gone too"}]},"a":{"list":[]}}'
    view, told = run(again)
    assert view.finals() == []
    assert [message["text"] for message in told if message["state"] == "retracted"] == ["gone", "gone too"]


def test_many_cues_and_a_member_said_many_times_are_taken_as_they_are() -> None:
    # Looked for among all cues each time, this would be 400 million steps.
    cues = ",".join(['{"start":1,"text":"x"}'] * 20_000)
    text = '{"s":[' + cues + "]" + ',"a":1' * 20_000 + "}"
    assert len(finals(text, 1 << 16)) == 20_000


def test_cues_in_a_fence_are_seen() -> None:
    assert finals('Here:\n```json\n{"segments":[{"start":1,"text":"x"}]}\n```') == [(1.0, None, "x")]


def test_marks_inside_a_document_are_text() -> None:
    assert finals('{"note":"[00:01] x","segments":[{"start":1,"text":"[00:05] y"}]}') == [(1.0, None, "[00:05] y")]


def test_telling_a_long_cue_costs_no_more_than_its_length() -> None:
    view = CaptionProjection()
    view.feed('[{"start":1,"text":"')
    told = sum(len(message["text"]) for _ in range(5000) for message in view.feed("word "))
    assert told < 200 * 25_000


def test_a_cue_beside_a_long_name_is_told_no_more_often_for_it() -> None:
    view = CaptionProjection()
    view.feed(f'[{{"start":1,"speaker":"{"s" * 25_000}","text":"')
    told = sum(len(message["speaker"]) for _ in range(5000) for message in view.feed("word "))
    assert told < 200 * 25_000


# From plain text


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[00:12] He walks in.\n[01:02:03] She smiles.", [(12.0, 3723.0, "He walks in."), (3723.0, None, "She smiles.")]),
        ("Intro. [00:01] One [00:02] Two", [(1.0, 2.0, "One"), (2.0, None, "Two")]),
        ("00:01 - 00:03 Hello there.\n00:03 - 00:05: General!", [(1.0, 3.0, "Hello there."), (3.0, 5.0, "General!")]),
        ("[00:01.500 --> 00:02,250] x", [(1.5, 2.25, "x")]),
        ("[00:01 to 00:02] x (00:03) y", [(1.0, 2.0, "x"), (3.0, None, "y")]),
        ("- **[00:01]** One\n- **[00:04]** Two\n", [(1.0, 4.0, "One"), (4.0, None, "Two")]),
        ("1. [00:01] One\n2. [00:04] Two 12 times", [(1.0, 4.0, "One"), (4.0, None, "Two 12 times")]),
        ("1\n00:00:01,000 --> 00:00:02,000\nOne\nline\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo", [(1.0, 2.0, "One line"), (3.0, 4.0, "Two")]),
        ("[00:01] One.\n\nIn all, a short clip.", [(1.0, None, "One.")]),
        ("[00:01] One.\nThat was it. [00:05] Two", [(1.0, 5.0, "One."), (5.0, None, "Two")]),
        ("[00:01]\n\nOne\ntwo", [(1.0, None, "One two")]),
        ("[00:01] a [Music] b [1] c (laughs)", [(1.0, None, "a [Music] b [1] c (laughs)")]),
        ("[00:01] at 10:30 - noon, 3:1", [(1.0, None, "at 10:30 - noon, 3:1")]),
        ("[00:05] 你好。\n[00:07] 再见！", [(5.0, 7.0, "你好。"), (7.0, None, "再见！")]),
        ("[00:05] x [00:03] y", [(5.0, None, "x"), (3.0, None, "y")]),
        ("[00:01] [00:02] y", [(2.0, None, "y")]),
        ("No marks at all, 12:30 or not.", []),
        ("\"[00:01] Quoted\" he said", [(1.0, None, "Quoted\" he said")]),
        ("[00:99] no time", []),
    ],
)  # fmt: skip
def test_marks_in_plain_text_make_cues(text: str, expected: list[Any], size: int) -> None:
    assert finals(text, size) == expected
    check_manners(text, run(text, size)[1])


@pytest.mark.parametrize("blank", [" \n", "\n", " ", " \n\t", "\u2028\n \u3000"])
def test_a_long_run_of_white_space_is_read_once(blank: str) -> None:
    # With a look at each way to share it out, this would not end within a lifetime.
    view = CaptionProjection()
    told = view.feed(f"[00:01] a{blank * 20_000}b") + view.close()
    expected = "a" if "\n" in blank and not blank.startswith("\u2028") else "a b"
    assert told[-1]["text"] == expected


def test_what_may_become_a_mark_is_not_shown() -> None:
    view = CaptionProjection()
    view.feed("[00:01] One")
    assert view.feed(" [00:0") == []
    assert [message["text"] for message in view.feed("x")] == ["One [00:0x"]
    assert view.feed(" [00:0") == []
    assert [(message["state"], message["end"], message["text"]) for message in view.feed("9]")] == [
        ("final", 9.0, "One [00:0x")
    ]


SCRAPS = st.lists(
    st.sampled_from(
        ["[00:01]", "[00:02 - 00:03]", "00:04 - 00:05", "00:06", "[", "]", "(", "0", ":", "12", " ", "\n", "\n\n", "- ", "**", "* ", "1. ", "Hello", "one.", "Two!\n", "é😀", "。", "-->", " to ", "x", '"', "{", '{"', "7\n"]
    ),
    max_size=16,
).map("".join)  # fmt: skip


@settings(max_examples=150)
@given(SCRAPS, st.integers(1, 9))
@example('[00:01] Hi {"a":1}', 1)
@example('[00:01] x [{"a"', 2)
def test_plain_cues_are_the_same_however_the_text_is_cut(text: str, size: int) -> None:
    whole, _ = run(text, len(text) + 1)
    cut, told = run(text, size)
    check_manners(text, told)
    strip = [{name: cue[name] for name in cue if name != "at"} for cue in cut.finals()]
    assert strip == [{name: cue[name] for name in cue if name != "at"} for cue in whole.finals()]


TEXTS = st.sampled_from(
    [json.dumps(SEGMENTS), "[00:01] One [00:02] Two.\n[00:03 - 00:04] Three.\n\nDone.", "Well: " + json.dumps(SEGMENTS)]
)


@given(TEXTS, st.integers(0, 200), st.integers(0, 200), st.integers(1, 9))
def test_a_late_or_resuming_reader_ends_with_the_same_cues(text: str, left: int, back: int, size: int) -> None:
    view = CaptionProjection()
    shown: dict[str, Message] = {}
    for fragment in pieces(text[:left], size):
        shown.update((message["id"], message) for message in view.feed(fragment))
    seen = len(text[:left].encode())
    for fragment in pieces(text[left:back], size):
        view.feed(fragment)
    offset = max(seen, len(text[:back].encode()))
    late = {message["id"]: message for message in view.state(0)}
    shown.update((message["id"], message) for message in view.state(seen))
    for fragment in [*pieces(text[max(left, back) :], size), None]:
        for message in view.close() if fragment is None else view.feed(fragment):
            assert message["at"] >= min(offset, len(text.encode()))
            shown[message["id"]] = late[message["id"]] = message
    assert list(shown.values()) == list(late.values()) == view.state(0)


@given(SCRAPS, st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_what_is_told_later_stands_later(text: str, sizes: list[int]) -> None:
    """A reader who has all up to the head, and was told all of that, needs only what is told after it."""
    view = CaptionProjection()
    head = place = 0
    for size in sizes:
        fragment = text[place : place + size]
        place += size
        assert all(message["at"] > head for message in view.feed(fragment))
        head += len(fragment.encode())
    last = view.close()
    assert all(message["at"] == head for message in last)
    ended = {message["id"] for message in last}
    assert {message["id"] for message in view.state(head)} == ended


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (1.5, 1.5),
        (-2, 0.0),
        ("12", 12.0),
        ("12.5s", 12.5),
        ("01:02", 62.0),
        ("1:02:03", 3723.0),
        ("00:01:02.5", 62.5),
        ("00:00:01,250", 1.25),
        ("-00:00:01", 0.0),
        (" 7 sec ", 7.0),
        (True, None),
        (None, None),
        ("", None),
        ("soon", None),
        ("1:2:3:4", None),
        ([], None),
        (float("inf"), None),
        ("9" * 40, None),
    ],
)
def test_times_as_models_write_them(value: Any, expected: float | None) -> None:
    assert seconds(value) == expected


def test_one_string_may_say_both_times() -> None:
    assert seconds_range("[00:01 - 00:02.5]") == (1.0, 2.5)
    assert seconds_range("00:01 to 00:02") == (1.0, 2.0)
    assert seconds_range("-5") == (0.0, None)
    assert seconds_range(3) == (3.0, None)


@pytest.mark.parametrize(
    ("segment", "unit"),
    [
        ('{"start_ms": 5300, "end_ms": 6000, "text": "a"}', None),
        ('{"startMs": "5300", "endMs": "6000", "text": "a"}', None),
        ('{"start_time_millis": 5300, "end_time_millis": 6000.0, "text": "a"}', None),
        ('{"start": 5300, "end": 6000, "text": "a"}', "ms"),
        ('{"start": "00:05:300", "end": "00:00:06:000", "text": "a"}', None),
        ('{"start_ms": "00:05.300", "end_ms": "00:06", "text": "a"}', None),
        ('{"start": "5.3", "end": 6, "text": "a"}', "s"),
    ],
)
def test_times_may_be_milliseconds_where_the_name_the_form_or_the_request_says_so(segment: str, unit: Any) -> None:
    assert finals(f"[{segment}]", names=CueNames(unit=unit)) == [(5.3, 6.0, "a")]


def test_a_name_that_only_sounds_like_milliseconds_is_none() -> None:
    assert finals('[{"start": 1, "items": 2, "text": "a"}, {"begins": 3, "starts": 4, "text": "b"}]') == [
        (1.0, None, "a"),
        (4.0, None, "b"),
    ]
