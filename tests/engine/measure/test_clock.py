"""One timeline for picture, sound and length, whatever the timestamps of a file do."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from engine.errors import ApiError
from engine.facts.facts import Clip, Fact, Fault, Seen, Shot, Silence, Tone
from engine.measure.clock import is_one_segment
from engine.measure.examine import Order, Sounds, examine
from engine.measure.media import check_limits, probe, read_clip
from engine.measure.opening import open_media
from engine.measure.remux import plan
from engine.measure.stills import thumbnail
from tests.engine.clips import (
    BLUE,
    RATE,
    RED,
    Sound,
    add_picture,
    add_sound,
    mux,
    picture_packets,
    plain,
    quiet,
    sound_packets,
    steadily,
    tone,
    write,
)
from tests.engine.measure.test_upright import opened

PICTURES = steadily(10, (3.0, plain(RED)), (4.0, plain(BLUE)))
SOUND: Sound = np.hstack([quiet(3.0), tone(4.0)])


def told(path: Path, **options: float) -> tuple[Clip, list[Fact]]:
    with open_media(path) as container:
        clip = read_clip(container)
        check_limits(clip)
        return clip, list(examine(container, clip, Order(clip.has_picture, clip.has_sound, None, **options)))  # type: ignore[arg-type]


def starts(facts: list[Fact]) -> list[float]:
    return [round(one.start, 1) for one in facts if isinstance(one, Shot)]


def spans(facts: list[Fact], kind: type[Fact]) -> list[tuple[float, float]]:
    return [(round(one.start, 1), round(one.end, 1)) for one in facts if isinstance(one, kind)]  # type: ignore[attr-defined]


def faults(facts: list[Fact]) -> list[Fault]:
    return [one for one in facts if isinstance(one, Fault)]


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 7 s, and the same once more behind it: its timestamps begin again."""
    folder = tmp_path_factory.mktemp("twice")
    once = write(folder / "once.ts", PICTURES, 7.0, SOUND)
    return joined(folder / "twice.ts", once, once)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
@pytest.mark.parametrize("shift", [0.0, 60.0, 20_000.0])
def test_a_clip_is_as_long_as_what_is_in_it_wherever_its_timestamps_begin(
    tmp_path: Path, suffix: str, shift: float
) -> None:
    clip, facts = told(write(tmp_path / f"a.{suffix}", PICTURES, 7.0, SOUND, shift=shift))
    assert clip.duration == pytest.approx(7.0, abs=0.15)
    assert starts(facts) == [0.0, pytest.approx(3.0, abs=0.11)]
    [sound] = spans(facts, Tone)
    assert sound == (pytest.approx(3.1, abs=0.3), pytest.approx(7.0, abs=0.3))
    assert max(one.end for one in facts if one.end < 1e9) <= clip.duration
    assert faults(facts) == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_two_seconds_at_a_minute_are_too_short(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", steadily(10, (2.0, plain(RED))), 2.0, tone(2.0), shift=60.0)
    with pytest.raises(ApiError) as caught:
        probe(path)
    assert caught.value.code == "video_duration_too_short"


def test_a_piece_of_a_live_stream_is_as_long_as_it_is(tmp_path: Path) -> None:
    whole = write(
        tmp_path / "live.mp4", steadily(10, (23.0, plain(RED)), (7.0, plain(BLUE))), 30.0, tone(30.0),
        movflags="frag_keyframe+empty_moov+default_base_moof",
    )  # fmt: skip
    boxes = list(boxes_of(whole.read_bytes()))
    heads = [box for kind, box in boxes if kind in (b"ftyp", b"moov")]
    later = [box for kind, box in boxes if kind in (b"moof", b"mdat")][-12:]
    piece = tmp_path / "piece.mp4"
    piece.write_bytes(b"".join([*heads, *(hours_later(box) for box in later)]))
    clip, facts = told(piece)
    assert 5.0 < clip.duration < 20.0
    assert starts(facts) == [0.0, pytest.approx(clip.duration - 7.0, abs=0.2)]


def boxes_of(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at : at + size]))
        at += size
    return found


def hours_later(box: bytes) -> bytes:
    """Move a fragment two hours ahead in its decode time (``tfdt``)."""
    content, at = bytearray(box), 0
    while box[4:8] == b"moof" and (at := content.find(b"tfdt", at)) >= 0:
        at += 8  # name, version and flags
        wide = 8 if content[at - 4] == 1 else 4
        time = int.from_bytes(content[at : at + wide], "big") + 7200 * RATE
        content[at : at + wide] = time.to_bytes(wide, "big")
    return bytes(content)


def test_a_clock_that_begins_again_goes_on(twice: Path) -> None:
    clip, facts = told(twice)
    assert clip.duration == pytest.approx(14.1, abs=0.2)
    assert starts(facts) == [pytest.approx(time, abs=0.2) for time in (0.0, 3.0, 7.1, 10.1)]
    assert [round(start) for start, _ in spans(facts, Tone)] == [3, 10]
    assert [(one.kind, round(one.start)) for one in faults(facts)] == [("restart", 7)]


def test_slow_pictures_are_no_jump_of_the_clock(tmp_path: Path) -> None:
    slides = [(0.0, plain(RED)), (15.0, plain(BLUE)), (31.0, plain(RED))]
    clip, facts = told(write(tmp_path / "a.ts", slides, 40.0, tone(40.0)))
    assert clip.duration == pytest.approx(40.1, abs=0.2)
    assert starts(facts) == [pytest.approx(time, abs=0.2) for time in (0.0, 15.0, 31.0)]
    assert faults(facts) == []


def test_pictures_that_are_decoded_before_they_are_shown_are_no_restart(tmp_path: Path) -> None:
    """Slides with pictures between them that refer to later ones; matroska has no times of decoding."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = add_picture(container)
        video.options = {"preset": "medium", "bf": "3", "g": "100"}
        mux(container, picture_packets(video, steadily(0.2, *((10.0, plain(one)) for one in (RED, BLUE, RED))), 30.0))
    clip, facts = told(path)
    assert clip.duration == pytest.approx(30.0, abs=0.1)
    assert starts(facts) == [0.0, 10.0, 20.0]
    assert faults(facts) == []


def test_matroskas_that_were_joined_are_as_long_as_both(tmp_path: Path) -> None:
    once = write(tmp_path / "once.mkv", PICTURES, 7.0, SOUND)
    assert is_one_segment(once)
    clip, facts = told(joined(tmp_path / "twice.mkv", once, once))
    assert clip.duration == pytest.approx(14.1, abs=0.2)
    assert starts(facts) == [pytest.approx(time, abs=0.2) for time in (0.0, 3.0, 7.1, 10.1)]
    assert [one.kind for one in faults(facts)] == ["restart"]
    assert opened(thumbnail(tmp_path / "twice.mkv", 12.0))[90, 160, 2] > 200


@pytest.mark.parametrize("content", [b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"\x1a\x45\xdf\xa3\x80abcd"])
def test_what_is_no_matroska_is_not_one_segment(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert not is_one_segment(path)


def test_facts_of_a_clock_that_begins_again_are_told_in_order(twice: Path) -> None:
    _, facts = told(twice)
    ends = [one.end for one in facts if not isinstance(one, Seen)]
    assert all(one <= other for one, other in pairwise(ends))


def test_a_time_behind_a_restart_is_found(twice: Path) -> None:
    assert opened(thumbnail(twice, 6.0))[90, 160, 2] > 200  # blue
    assert opened(thumbnail(twice, 8.0))[90, 160, 0] > 200  # red, of the second half
    assert opened(thumbnail(twice, 12.0))[90, 160, 2] > 200
    _, facts = told(twice, start=9.0, end=12.0)
    assert starts(facts) == [9.0, pytest.approx(10.1, abs=0.2)]


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp3", "libmp3lame"), ("ogg", "libopus"), ("flac", "flac"), ("ts", "mp2")]
)
def test_a_moment_of_a_sound_is_heard_where_it_is(tmp_path: Path, suffix: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"there is no encoder {codec} here")
    sound = np.hstack([tone(20.0), quiet(1.0), tone(9.0)])
    _, facts = told(write(tmp_path / f"a.{suffix}", [], 30.0, sound, sound_codec=codec), start=17.0, end=24.0)
    assert spans(facts, Silence) == [(pytest.approx(20.0, abs=0.1), pytest.approx(21.0, abs=0.1))]
    assert faults(facts) == []


def test_pieces_of_a_clock_that_begins_again_lie_side_by_side(twice: Path) -> None:
    places = plan(twice)
    assert places[-1][1] == pytest.approx(14.0, abs=0.2)
    assert all(one[1] == other[0] for one, other in pairwise(places))


def test_a_clock_that_jumps_ahead_in_a_transport_stream_goes_on(tmp_path: Path) -> None:
    first = write(tmp_path / "a.ts", PICTURES, 7.0, SOUND)
    second = write(tmp_path / "b.ts", PICTURES, 7.0, SOUND, shift=5000.0)
    clip, facts = told(joined(tmp_path / "c.ts", first, second))
    assert clip.duration == pytest.approx(14.1, abs=0.2)
    assert [one.kind for one in faults(facts)] == ["restart"]


def test_a_gap_of_the_sound_is_told_and_the_sound_behind_it_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    apart(path, [(0.0, 3.0), (6.0, 4.0)])
    _, facts = told(path)
    [gap] = faults(facts)
    assert (gap.kind, gap.track, round(gap.start, 1), round(gap.end, 1)) == ("gap", "sound", 3.0, 6.0)
    assert spans(facts, Silence) == [(3.0, 6.0)]
    assert [round(start) for start, _ in spans(facts, Tone)] == [0, 6]


def test_sound_that_overlaps_itself_is_told_and_left_out() -> None:
    order = Order(False, True, None)
    sounds = Sounds(order)
    facts: list[Fact] = []
    for start, seconds in ((0.0, 5.0), (4.2, 5.8)):
        for at, frame in frames_of(tone(seconds)):
            facts += sounds.feed(frame, start + at)
    facts += sounds.finish()
    [overlap] = order.faults.take(10.0)
    assert (overlap.kind, round(overlap.start, 1), round(overlap.end, 1)) == ("overlap", 4.2, 5.0)
    assert sounds.end == pytest.approx(10.0, abs=0.1)
    assert max(end for _, end in spans(facts, Tone)) == pytest.approx(10.0, abs=0.3)


def frames_of(sound: Sound) -> list[tuple[float, AudioFrame]]:
    found = []
    for at in range(0, sound.shape[1], 1024):
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, at : at + 1024]), format="fltp", layout="mono")
        frame.sample_rate = RATE
        found.append((at / RATE, frame))
    return found


@pytest.mark.parametrize("stretch", [0.95, 1.05])
def test_sound_is_told_by_its_timestamps(tmp_path: Path, stretch: float) -> None:
    """A recorder whose sound card is too fast or too slow: counted samples drift away from the time."""
    path = tmp_path / "a.mkv"
    seconds = 10.0 / stretch
    mixed = np.hstack([tone(seconds * 0.8), quiet(seconds * 0.2)])
    apart(path, [], mixed, stretch)
    _, facts = told(path)
    [*_, (start, end)] = spans(facts, Silence)
    assert (start, end) == (pytest.approx(8.0, abs=0.2), pytest.approx(10.0, abs=0.2))
    assert faults(facts) == []


def apart(path: Path, parts: list[tuple[float, float]], mixed: Sound | None = None, stretch: float = 1.0) -> None:
    """Write 10 s of red, with tones at some times, or with a sound whose timestamps are stretched."""
    with av.open(str(path), "w") as container:
        video, audio = add_picture(container), add_sound(container, codec="pcm_s16le")
        packets = picture_packets(video, steadily(10, (10.0, plain(RED))), 10.0)
        for start, seconds in parts:
            packets += sound_packets(audio, tone(seconds), start, last=False)
        if mixed is not None:
            packets += sound_packets(audio, mixed, 0.0, stretch, last=False)
        mux(container, packets)
