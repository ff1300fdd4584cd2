"""Videos in pieces for a player: every packet in one of them, each piece of use by itself."""

import io
import itertools
from pathlib import Path

import av
import pytest

from engine.errors import ApiError
from engine.measure.remux import PIECE_S, piece, plan
from tests.engine.conftest import shared_clip


def packets(source: object) -> dict[str, int]:
    with av.open(source) as container:  # type: ignore[call-overload]
        counts: dict[str, int] = {}
        for packet in container.demux():
            if packet.size:
                counts[packet.stream.type] = counts.get(packet.stream.type, 0) + 1
        return counts


def pieces_of(path: Path) -> list[bytes]:
    places = plan(path)
    last = len(places) - 1
    return [piece(path, begin if n else None, end if n < last else None) for n, (begin, end) in enumerate(places)]


def check_pieces(path: Path) -> None:
    whole = pieces_of(path)
    told = packets(str(path))
    assert packets(io.BytesIO(b"".join(whole))) == told
    for one in whole:
        with av.open(io.BytesIO(one)) as container:
            first = next(container.decode(video=0))
            assert first.key_frame


def test_the_sample_is_whole_in_its_pieces(sample_clip: Path) -> None:
    check_pieces(sample_clip)


@pytest.mark.parametrize("name", ["reel.mp4", "bunny.mp4", "webb.mp4", "flower.mp4"])
def test_a_real_clip_is_whole_in_its_pieces(name: str) -> None:
    check_pieces(shared_clip(name))


def test_pictures_of_a_matroska_are_whole_in_its_pieces(sample_clip: Path, tmp_path: Path) -> None:
    """It has no times of decoding for the first packets that are read at a place: these were lost."""
    path = tmp_path / "a.mkv"
    with av.open(str(sample_clip)) as source, av.open(str(path), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    check_pieces(path)


def pictures(one: bytes) -> list[float]:
    """When a piece's pictures are due, in seconds."""
    with av.open(io.BytesIO(one)) as container:
        return sorted(packet.pts / 90_000 for packet in container.demux(video=0) if packet.pts is not None)


@pytest.mark.parametrize("name", ["reel.mp4", "bunny.mp4", "webb.mp4"])
def test_times_go_on_from_piece_to_piece(name: str) -> None:
    clip = shared_clip(name)
    times = [pictures(one) for one in pieces_of(clip)]
    lead = times[0][0]
    assert 0 < lead < 0.1  # what is due before 0 is decoded first
    for (begin, end), due in zip(plan(clip), times, strict=True):
        assert due[0] == pytest.approx(begin + lead, abs=0.001)
        assert due[-1] < end + lead


def test_pieces_lie_side_by_side_and_are_about_as_long_as_wished(sample_clip: Path) -> None:
    places = plan(sample_clip)
    assert places[0][0] == 0.0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(places))
    assert all(end - begin >= PIECE_S for begin, end in places[:-1])


def test_a_codec_that_no_piece_can_carry_is_refused() -> None:
    with pytest.raises(ApiError, match="vp8"):
        plan(shared_clip("flower.webm"))


def test_what_is_no_media_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(b"\0" * 5000)
    with pytest.raises(ApiError) as caught:
        plan(path)
    assert caught.value.code == "video_file_broken"
