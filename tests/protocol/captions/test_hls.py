"""Captions in segments: every cue where it is due, none changed after it was fetched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.captions.hls import (
    SEGMENT_S,
    CaptionSegments,
    Video,
    duration_of,
    first_time,
    first_uri,
    is_master,
    master,
)
from protocol.captions.subtitles import Subtitles

WORDS = st.sampled_from(["A red car.", "It turns.", "<b> & -->", "x"])
TIMES = st.integers(0, 40_000).map(lambda ms: ms / 1000)
DURATIONS = st.integers(1, 40_000).map(lambda ms: ms / 1000)


def cue(number: int, start: float, end: float | None, text: str) -> dict[str, Any]:
    return {"id": f"c{number}", "state": "final", "start": start, "end": end, "text": text}


def cues_at(*starts: float) -> list[dict[str, Any]]:
    return [cue(number, start, None, f"cue {start}") for number, start in enumerate(starts)]


CUES = st.lists(st.tuples(TIMES, st.none() | TIMES, WORDS), max_size=12).map(
    lambda rows: [cue(number, *row) for number, row in enumerate(rows)]
)
IN_ORDER = CUES.map(
    lambda cues: [{**one, "id": f"c{n}"} for n, one in enumerate(sorted(cues, key=lambda c: c["start"]))]
)


def blocks(segment: str) -> dict[str, str]:
    """The cues of a segment, by id."""
    head, *cues = segment.rstrip("\n").split("\n\n")
    assert head == "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:7,LOCAL:00:00:00.000"
    return {block.partition("\n")[0]: block for block in cues}


def held(segments: CaptionSegments) -> list[dict[str, str]]:
    return [blocks(segments.segment(number, 7)) for number in range(len(segments))]


def spans(playlist: str) -> list[float]:
    return [float(line[8:-1]) for line in playlist.splitlines() if line.startswith("#EXTINF:")]


@given(CUES, DURATIONS)
def test_what_was_fetched_stays_as_the_stream_goes_on(cues: list[dict[str, Any]], duration: float) -> None:
    before: list[dict[str, str]] = []
    playlist = ""
    for count in range(len(cues) + 1):
        segments = CaptionSegments(cues[:count], duration, over=False)
        now = held(segments)
        assert now[: len(before)] == before
        grown = segments.playlist(str)
        assert grown.startswith(playlist)
        before, playlist = now, grown
    whole = CaptionSegments(cues, duration, over=True)
    assert held(whole)[: len(before)] == before


@given(IN_ORDER, DURATIONS)
def test_cues_in_order_are_in_each_segment_that_they_show_in(cues: list[dict[str, Any]], duration: float) -> None:
    segments = CaptionSegments(cues, duration, over=True)
    begin = 0.0
    for lasts, shown in zip(spans(segments.playlist(str)), held(segments), strict=True):
        end = begin + lasts
        due = {one.id for one in Subtitles.of(cues).cues if one.start < end * 1000 - 2 and one.end > begin * 1000 + 2}
        assert begin < 0.001 or due <= shown.keys()
        begin = end


@given(CUES, DURATIONS)
def test_no_cue_within_the_video_is_lost(cues: list[dict[str, Any]], duration: float) -> None:
    segments = CaptionSegments(cues, duration, over=True)
    told = {name for one in held(segments) for name in one}
    assert {one.id for one in Subtitles.of(cues).cues if one.start < duration * 1000 - 2} <= told


@given(st.integers(1, 200_000).map(lambda ms: ms / 1000))
def test_segments_are_as_long_as_the_video_and_none_is_longer_than_told(duration: float) -> None:
    playlist = CaptionSegments([], duration, over=True).playlist(str)
    assert sum(spans(playlist)) == pytest.approx(max(duration, 0.002), abs=0.01)
    assert all(round(lasts) <= SEGMENT_S for lasts in spans(playlist))
    assert f"#EXT-X-TARGETDURATION:{SEGMENT_S}" in playlist


def test_a_segment_closes_when_a_cue_begins_behind_it() -> None:
    assert len(CaptionSegments(cues_at(), 20, over=False)) == 1
    assert len(CaptionSegments(cues_at(1, 5.9), 20, over=False)) == 1
    assert len(CaptionSegments(cues_at(1, 6), 20, over=False)) == 2
    assert len(CaptionSegments(cues_at(1, 13), 20, over=False)) == 3
    assert len(CaptionSegments(cues_at(1, 19), 20, over=False)) == 4  # and the last one stays open
    assert len(CaptionSegments(cues_at(1, 21), 20, over=False)) == 1  # nothing begins behind the video
    assert len(CaptionSegments(cues_at(1), 20, over=True)) == 5


def test_a_cue_out_of_its_order_is_in_the_next_segment_and_keeps_its_time() -> None:
    segments = CaptionSegments([*cues_at(1, 7), cue(9, 2, 3, "late"), cue(10, 12, 13, "on")], 20, over=False)
    assert [list(one) for one in held(segments)] == [[], ["c0"], ["c9", "c1"]]
    assert "00:00:02.000 --> 00:00:03.000\nlate" in held(segments)[2]["c9"]


def test_a_running_playlist_grows_and_an_ended_one_says_so() -> None:
    assert CaptionSegments(cues_at(1, 7), 20, over=False).playlist(lambda n: f"{n}.vtt") == (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:EVENT\n"
        "#EXTINF:0.001,\n0.vtt\n#EXTINF:5.999,\n1.vtt\n"
    )
    ended = CaptionSegments(cues_at(1, 7), 8, over=True).playlist(lambda n: f"{n}.vtt")
    assert "PLAYLIST-TYPE:VOD" in ended
    assert ended.endswith("2.vtt\n#EXT-X-ENDLIST\n")


# -- the video's playlists

MASTER = """#EXTM3U
#EXT-X-VERSION:4
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="sound/1.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="old",NAME="x",URI="old.m3u8"

#EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES="old",AUDIO="a"
low.m3u8
#EXT-X-STREAM-INF:SUBTITLES="old",BANDWIDTH=2\r
high.m3u8\r
"""


def test_every_variant_gets_the_captions_in_place_of_its_own() -> None:
    made = master(MASTER, lambda uri: f"/v/{uri}", "captions.m3u8")
    group = 'TYPE=SUBTITLES,GROUP-ID="captions",NAME="Captions",DEFAULT=YES,AUTOSELECT=YES,URI="captions.m3u8"'
    assert made.splitlines() == [
        "#EXTM3U",
        f"#EXT-X-MEDIA:{group}",
        "#EXT-X-VERSION:4",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="/v/sound/1.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a",SUBTITLES="captions"',
        "/v/low.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=2,SUBTITLES="captions"',
        "/v/high.m3u8",
    ]


def test_a_playlist_tells_what_it_is_and_how_long() -> None:
    media = "#EXTM3U\n#EXTINF:9.009,\n0.ts\n#EXTINF:3,x\n1.ts\n"
    assert (is_master(MASTER), is_master(media)) == (True, False)
    assert (first_uri(MASTER), first_uri(media), first_uri("#EXTM3U\n")) == ("low.m3u8", "0.ts", None)
    assert duration_of(media) == pytest.approx(12.009)


def test_a_variant_says_what_is_known_of_its_video() -> None:
    assert Video(1000, 8, 640, 360).variant() == "#EXT-X-STREAM-INF:BANDWIDTH=1000,RESOLUTION=640x360"
    assert Video().variant() == "#EXT-X-STREAM-INF:BANDWIDTH=2000000"


# -- the video's clock


def packet(payload: bytes, *, begins: bool = True, adapted: int = 0) -> bytes:
    flags = 0x10 | (0x20 if adapted else 0)
    head = bytes([0x47, 0x40 if begins else 0, 0x11, flags]) + (
        bytes([adapted - 1]) + b"\0" * (adapted - 1) if adapted else b""
    )
    return (head + payload).ljust(188, b"\xff")


def pes(kind: int, ticks: int) -> bytes:
    time = [
        0x21 | (ticks >> 29) & 0x0E,
        (ticks >> 22) & 0xFF,
        (ticks >> 14) & 0xFE | 1,
        (ticks >> 7) & 0xFF,
        (ticks << 1) & 0xFE | 1,
    ]
    return bytes([0, 0, 1, kind, 0, 0, 0x80, 0x80, 5, *time])


@given(st.integers(0, 2**33 - 1), st.integers(0, 60))
def test_a_video_begins_with_its_first_picture(ticks: int, adapted: int) -> None:
    table, sound = packet(b"\0\0\xb0"), packet(pes(0xC0, 5))
    assert first_time(table + sound + packet(pes(0xE0, ticks), adapted=adapted)) == ticks
    assert first_time(table + sound + packet(pes(0xE0, ticks), begins=False)) == 5


@given(st.binary(max_size=400))
def test_what_is_no_segment_tells_no_time(noise: bytes) -> None:
    first_time(noise)
    first_time(packet(noise[:184]))
    assert first_time(b"<html>" + noise) is None
