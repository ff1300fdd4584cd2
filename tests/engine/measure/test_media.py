"""Which files are opened, and what is said of those that cannot be used."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import ApiError
from engine.facts.facts import Clip
from engine.measure.media import check_limits, probe, read_clip
from engine.measure.opening import open_media
from tests.engine.conftest import shared_clip


def code_of(path: Path) -> str:
    with pytest.raises(ApiError) as caught:
        probe(path)
    assert caught.value.status == 400
    return caught.value.code


def write_clip(path: Path, width: int, height: int, seconds: float, codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(round(seconds * 5)):
            frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_clip_is_described_from_its_headers(sample_clip: Path) -> None:
    clip, container = probe(sample_clip)
    assert (clip.width, clip.height, clip.fps, clip.channels) == (640, 360, 25.0, 1)
    assert clip.duration == pytest.approx(8.0, abs=0.1)
    assert "mp4" in container


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 5000, b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n"])
def test_what_is_no_media_is_called_broken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert code_of(path) == "video_file_broken"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ffconcat", "ffconcat version 1.0\nfile {clip}\n"),
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("a.sdp", "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
    ],
)
def test_a_playlist_opens_nothing(tmp_path: Path, sample_clip: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content.format(clip=sample_clip))
    assert code_of(path) == "video_file_broken"


def test_a_clip_cut_off_in_its_header_is_broken(tmp_path: Path, sample_clip: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(sample_clip.read_bytes()[:1500])
    assert code_of(path) == "video_file_broken"


@pytest.mark.parametrize(
    ("clip", "code"),
    [
        (Clip(3.9, 640, 360), "video_duration_too_short"),
        (Clip(3600.5, 640, 360), "video_duration_too_long"),
        (Clip(60, 358, 640), "video_resolution_too_low"),
        (Clip(60, 5186, 2160), "video_resolution_too_high"),
        (Clip(60, 3000, 2200), "video_resolution_too_high"),
        (Clip(60, 2000, 800), "video_resolution_invalid_aspect_ratio"),
        (Clip(60, 800, 2000), "video_resolution_invalid_aspect_ratio"),
        (Clip(3, audio_codec="flac"), "video_duration_too_short"),
    ],
)
def test_limits_have_codes_of_their_own(clip: Clip, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_limits(clip)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "clip",
    [
        Clip(4, 360, 360),
        Clip(3600, 5184, 2160),
        Clip(60, 360, 864),
        Clip(60, audio_codec="aac"),
        Clip(0, 10, 10, still_image=True),
    ],
)
def test_what_is_within_the_limits_is_taken(clip: Clip) -> None:
    check_limits(clip)


def test_limits_are_judged_on_real_files(tmp_path: Path) -> None:
    assert code_of(write_clip(tmp_path / "small.mp4", 320, 240, 5)) == "video_resolution_too_low"
    assert code_of(write_clip(tmp_path / "short.mp4", 640, 360, 2)) == "video_duration_too_short"
    assert code_of(write_clip(tmp_path / "wide.mp4", 1000, 360, 5)) == "video_resolution_invalid_aspect_ratio"


def test_a_file_without_a_length_in_its_header_is_read_for_it(tmp_path: Path) -> None:
    """What a browser records is a matroska stream that never learned its own end."""
    path = tmp_path / "live.webm"
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(np.zeros((360, 640, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_media(path) as container:
        assert not container.duration
        assert read_clip(container).duration == pytest.approx(6.0, abs=0.3)


def test_a_picture_is_an_image_without_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip, container_name = probe(path)
    assert clip.still_image
    assert container_name == "png_pipe"


def test_the_shared_clips_are_judged_as_they_should_be() -> None:
    assert code_of(shared_clip("too-short.mp4")) == "video_duration_too_short"
    clip, _ = probe(shared_clip("jfk.flac"))
    assert not clip.has_picture
    clip, _ = probe(shared_clip("flower.webm"))
    assert (clip.width, clip.video_codec) == (960, "vp8")


def test_what_a_clip_is_wanted_for_decides_how_long_it_may_be() -> None:
    check_limits(Clip(7000, 640, 360), longest_s=7200)
    with pytest.raises(ApiError, match="at most 3600 s"):
        check_limits(Clip(7000, 640, 360))
