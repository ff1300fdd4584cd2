"""Exports: what other people's parsers read out of them is what the cues say."""

import html
import io
import re
from datetime import timedelta
from typing import Any

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.captions.layout import COLUMNS, LINES, characters, columns, lay_out
from protocol.captions.subtitles import Subtitles, cleaned
from protocol.captions.timing import CHARACTERS_A_SECOND, LONGEST_MS, SHORTEST_MS

NASTY = ["&", "<b>", "-->", "\n\n", "\r", "\r\n", "{\\an8}", "\u2028", "\x00", "WEBVTT", "NOTE x", "1", "00:00:01.000 --> 00:00:02.000", "</i>", "&amp;", "\ufeff", "STYLE"]  # fmt: skip
WORDS = ["Hello", "there.", "What", "a", "day,", "you see:", "你好，世界。", "こんにちは", "「はい」", "שלום", "مرحبا،", "한국어", "e\u0301", "👩‍👩‍👧‍👦", "🇫🇷", "x" * 50, "\u2067abc\u2069", "don't"]  # fmt: skip
TEXTS = st.lists(st.sampled_from([*NASTY, *WORDS]), min_size=1, max_size=30).map(" ".join) | st.text(max_size=60)
TIMES = st.floats(0, 400) | st.integers(0, 30)


def cue(number: int, start: float, end: float | None, text: str, state: str = "final", **more: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "state": state, "start": start, "end": end, "text": text, **more}


CUES = st.lists(st.tuples(TIMES, st.none() | TIMES, TEXTS), max_size=12).map(
    lambda rows: [cue(number, *row) for number, row in enumerate(rows, 1)]
)


def read_vtt(text: str) -> list[tuple[str, str, str]]:
    return [(each.start, each.end, each.raw_text) for each in webvtt.from_string(text).captions]


def milliseconds(clock: str) -> int:
    hours, minutes, rest = clock.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + int(rest.replace(".", ""))


@settings(max_examples=60)
@given(CUES, st.booleans())
def test_independent_parsers_read_what_was_written(cues: list[dict[str, Any]], formatted: bool) -> None:
    made = Subtitles.of(cues, formatted=formatted)
    vtt = read_vtt(made.vtt()) if made.cues else []
    assert [(milliseconds(start), milliseconds(end)) for start, end, _ in vtt] == [
        (each.start, each.end) for each in made.cues
    ]
    assert [html.unescape(text) for _, _, text in vtt] == [each.text for each in made.cues]
    read = list(srt.parse(made.srt(), ignore_errors=False))
    assert [(each.start, each.end) for each in read] == [
        (timedelta(milliseconds=each.start), timedelta(milliseconds=each.end)) for each in made.cues
    ]
    assert [each.content for each in read] == [srt_look(each.text) for each in made.cues]
    assert [each["text"] for each in made.json()["cues"]] == [each.text for each in made.cues]


def srt_look(text: str) -> str:
    return text.replace("-->", "→").replace("<", "‹").replace(">", "›").replace("{\\", "(\\")


@settings(max_examples=60)
@given(CUES)
def test_no_word_is_lost_and_times_are_in_order(cues: list[dict[str, Any]]) -> None:
    made = Subtitles.of(cues)
    kept = sorted(word for each in cues for word in cleaned(each["text"]).split())
    assert sorted(word for each in made.cues for word in each.text.split()) == kept
    end = 0
    for each in made.cues:
        assert end <= each.start < each.end
        end = each.end


@settings(max_examples=80)
@given(CUES)
def test_formatted_cues_keep_the_bounds_of_the_screen(cues: list[dict[str, Any]]) -> None:
    made = Subtitles.of(cues, formatted=True)
    free = 0
    for each in made.cues:
        lines = each.text.split("\n")
        assert len(lines) <= LINES
        assert all(columns(line) <= COLUMNS for line in lines)
        stay = each.end - each.start
        assert each.start >= free
        assert SHORTEST_MS <= stay <= LONGEST_MS
        assert characters(each.text) * 1000 <= CHARACTERS_A_SECOND * stay
        free = each.end
    assert bare("".join(each.text for each in made.cues)) == bare(
        "".join(each.text for each in Subtitles.of(cues).cues)
    )


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_cues_are_sorted_and_overlaps_and_reversed_times_are_repaired_and_counted() -> None:
    made = Subtitles.of(
        [
            cue(1, 10, 14, "third"),
            cue(2, 0, 5, "first, which is too long"),
            cue(3, 4, 3, "second ends before it begins"),
            cue(4, 20, None, "open"),
            cue(5, 10, 12, "beside it"),
            cue(6, 7, 8, "not final", state="partial"),
            cue(7, 8, 9, " \r\n "),
        ]
    )
    assert [(each.id, each.start, each.end) for each in made.cues] == [
        ("c2", 0, 4000),
        ("c3", 4000, 5648),
        ("c1", 10000, 11428),
        ("c5", 11428, 14000),
        ("c4", 20000, 21000),
    ]
    assert (made.repairs.overlaps, made.repairs.reversed, made.repairs.open_ends) == (2, 1, 1)


def test_an_open_end_lasts_until_the_next_cue_at_most() -> None:
    made = Subtitles.of([cue(1, 1, None, "A long sentence that takes its time."), cue(2, 1.5, 3, "Next")])
    assert [(each.start, each.end) for each in made.cues] == [(1000, 1500), (1500, 3000)]
    assert made.repairs.overlaps == 0


def test_webvtt_is_safe_against_markup() -> None:
    text = "a < b && c > d --> e\r\n\r\nNOTE <b>bold</b>"
    made = Subtitles.of([cue(1, 1, 2, text, speaker="Ann <3\nX")]).vtt()
    assert made == (
        "WEBVTT\n\nc1\n00:00:01.000 --> 00:00:02.000\n"
        "<v Ann &lt;3 X>a &lt; b &amp;&amp; c &gt; d --&gt; e\nNOTE &lt;b&gt;bold&lt;/b&gt;\n"
    )
    assert made.count("-->") == 1


def test_srt_is_safe_against_markup() -> None:
    made = Subtitles.of([cue(1, 1, 2, "<i>a</i> --> {\\an8}b & c\n\n2"), cue(2, 3, 4, "d", speaker="Ann")]).srt()
    assert made == (
        "1\n00:00:01,000 --> 00:00:02,000\n‹i›a‹/i› → (\\an8}b & c\n2\n\n2\n00:00:03,000 --> 00:00:04,000\nd\n"
    )


def test_no_cues_make_an_empty_file() -> None:
    made = Subtitles.of([])
    assert (made.vtt(), made.srt()) == ("WEBVTT\n", "")
    assert made.json()["cues"] == []


def test_json_keeps_ids_and_speakers() -> None:
    made = Subtitles.of([cue(1, 1.25, 2, "Hi", speaker="Ann"), cue(2, 3, 4, "Ho")]).json()
    assert made["cues"] == [
        {"id": "c1", "start": 1.25, "end": 2.0, "text": "Hi", "speaker": "Ann"},
        {"id": "c2", "start": 3.0, "end": 4.0, "text": "Ho"},
    ]
    assert made["repaired"] == {"overlaps": 0, "reversed": 0, "open_ends": 0, "delayed": 0}


def test_hours_past_ninety_nine_and_odd_numbers_are_written() -> None:
    made = Subtitles.of([cue(1, 1e300, None, "late"), cue(2, 0, 1e308, "long")])
    assert [stamp for stamp, _, _ in read_vtt(made.vtt())] == ["00:00:00.000", "99:59:59.000"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Short.", ["Short."]),
        ("- Kept as it is.\n- Two speakers.", ["- Kept as it is.\n- Two speakers."]),
        ("When the sun sets, the harbour lights come on.", ["When the sun sets,\nthe harbour lights come on."]),
        (
            "He walks along the quiet harbour. She waits for him by the old lighthouse, reading a letter.",
            ["He walks along the quiet harbour.", "She waits for him by the old\nlighthouse, reading a letter."],
        ),
        ("y" * 80, ["y" * 37 + "\n" + "y" * 37, "y" * 6]),
        ("今日は天気がいいので、公園へ散歩に行きましょう。", ["今日は天気がいいので、\n公園へ散歩に行きましょう。"]),
    ],
)
def test_breaks_fall_where_it_reads_well(text: str, parts: list[str]) -> None:
    assert lay_out(text) == parts


def test_cjk_lines_neither_begin_nor_end_with_the_wrong_mark() -> None:
    text = "「あいうえおかきくけこさしすせそたちつて」、「なにぬねの」はひふへほ。" * 3
    lines = [line for part in lay_out(text) for line in part.split("\n")]
    assert "".join(lines) == text
    assert all(columns(line) <= COLUMNS for line in lines)
    assert all(line[0] not in "」、。ー" and line[-1] != "「" for line in lines)


def test_what_is_seen_as_one_character_is_not_broken() -> None:
    text = ("👩‍👩‍👧‍👦" + "e\u0301" + "👍🏽") * 20
    lines = [line for part in lay_out(text) for line in part.split("\n")]
    assert "".join(lines) == text
    assert all(line[0] in "👩e👍" for line in lines)


def test_a_letter_with_many_marks_is_one_character() -> None:
    text = "a" + "\u0301" * 200_000 + "b"
    assert lay_out(f"{'x' * 40} {text}")[-1].endswith(text)


def test_direction_marks_stay_beside_what_they_act_on() -> None:
    text = "שלום לכולם, אנחנו כאן \u2066in the harbour\u2069 ומחכים לאונייה הגדולה שתבוא בערב מן הים. " * 3
    lines = [line for part in lay_out(text.strip()) for line in part.split("\n")]
    assert " ".join(lines).split() == text.split()
    assert not any(line.endswith("\u2066") or line.startswith("\u2069") for line in lines)


def test_a_very_long_cue_is_split_and_never_dropped() -> None:
    text = "and so it goes on " * 2000
    made = Subtitles.of([cue(1, 0, 10, text)], formatted=True)
    assert " ".join(each.text for each in made.cues).split() == text.split()
    assert made.cues[0].id == "c1.1"


def test_what_cannot_be_read_in_time_delays_the_next() -> None:
    text = "This is said so fast that nobody can read it."
    made = Subtitles.of([cue(1, 0, 1, text), cue(2, 1, 2, "Yes."), cue(3, 20, 22, "Later.")], formatted=True)
    assert [(each.start, each.end) for each in made.cues] == [(0, 2589), (2589, 3589), (20000, 22000)]
    assert made.repairs.delayed == 1


def test_webvtt_py_reads_a_file_object_too() -> None:
    made = Subtitles.of([cue(1, 1, 2, "Hi")]).vtt()
    assert [each.text for each in webvtt.from_buffer(io.StringIO(made)).captions] == ["Hi"]
