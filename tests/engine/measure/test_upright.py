"""Pictures as they are shown: sizes, limits, motion, thumbnails and sketches of turned and widened pictures."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import ApiError
from engine.facts.facts import Motion
from engine.facts.sketches import distances, unpack
from engine.measure.examine import Order, examine
from engine.measure.media import probe, read_clip
from engine.measure.opening import open_media
from engine.measure.remux import plan
from engine.measure.stills import drawn_jpeg, still_sketch, thumbnail
from tests.engine.clips import GREY, Canvas, plain, steadily, turn, write

# Display matrices (a, b, c, d), and what they make of an array of pixels.
TURNS = {
    "quarter left": ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
    "half": ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
    "quarter right": ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, 3)),
    "mirrored": ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
    "mirrored and turned": ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
}


def corners() -> Canvas:
    """A picture whose corners differ: red, green, blue, grey, from the upper left on."""
    canvas = np.zeros((360, 640, 3), dtype=np.uint8)
    canvas[:180, :320], canvas[:180, 320:] = (250, 0, 0), (0, 250, 0)
    canvas[180:, :320], canvas[180:, 320:] = (0, 0, 250), GREY
    return canvas


def photo(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned."""
    jpeg = drawn_jpeg(av.VideoFrame.from_ndarray(corners(), format="rgb24"))
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize(("orientation", "quarters"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photo_is_looked_for_as_its_exif_turns_it(tmp_path: Path, orientation: int, quarters: int) -> None:
    (tmp_path / "a").write_bytes(photo(orientation))
    (tmp_path / "b").write_bytes(
        drawn_jpeg(av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(corners(), quarters)), format="rgb24"))
    )
    one, other = unpack(still_sketch(tmp_path / "a")), unpack(still_sketch(tmp_path / "b"))
    assert distances(one[0], other)[0] < 0.05


def corner_colours(pixels: np.ndarray) -> list[list[int]]:
    height, width = pixels.shape[:2]
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return [[round(int(value) / 125) for value in pixels[row, column]] for row in rows for column in columns]


def opened(jpeg: bytes) -> np.ndarray:
    with av.open(io.BytesIO(jpeg)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def motion_of(path: Path) -> Motion:
    with open_media(path) as container:
        [found] = [
            one for one in examine(container, read_clip(container), Order(True, False, None)) if isinstance(one, Motion)
        ]
        return found


def crossing() -> list[tuple[float, Canvas]]:
    """A square that goes from the left to the right."""
    pictures = []
    for index in range(60):
        canvas = plain(GREY)
        canvas[150:210, index * 9 : index * 9 + 60] = 250
        pictures.append((index / 10, canvas))
    return pictures


@pytest.mark.parametrize("name", TURNS)
def test_a_thumbnail_is_upright(tmp_path: Path, name: str) -> None:
    matrix, turned = TURNS[name]
    path = turn(write(tmp_path / "a.mp4", steadily(5, (4.0, corners())), 4.0), matrix)
    assert corner_colours(opened(thumbnail(path, 1.0))) == corner_colours(turned(corners()))


@pytest.mark.parametrize("name", TURNS)
def test_a_picture_is_looked_for_as_it_is_shown(tmp_path: Path, name: str) -> None:
    matrix, turned = TURNS[name]
    lying = turn(write(tmp_path / "a.mp4", steadily(5, (4.0, corners())), 4.0), matrix)
    upright = write(tmp_path / "b.mp4", steadily(5, (4.0, np.ascontiguousarray(turned(corners())))), 4.0)
    one, other = unpack(still_sketch(lying)), unpack(still_sketch(upright))
    assert distances(one[0], other)[0] < 0.05


@pytest.mark.parametrize(
    ("name", "size"), [("quarter left", (360, 640)), ("half", (640, 360)), ("quarter right", (360, 640))]
)
def test_a_size_is_told_as_shown(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    path = turn(write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY))), 4.0), TURNS[name][0])
    clip, _ = probe(path)
    assert (clip.width, clip.height) == size


@pytest.mark.parametrize(
    ("name", "origin", "goal"),
    [
        ("quarter left", "lower middle", "upper middle"),
        ("half", "right side", "left side"),
        ("quarter right", "upper middle", "lower middle"),
    ],
)
def test_motion_is_told_along_the_axis_that_is_seen(tmp_path: Path, name: str, origin: str, goal: str) -> None:
    path = turn(write(tmp_path / "a.mp4", crossing(), 6.0), TURNS[name][0])
    assert (motion_of(path).origin, motion_of(path).goal) == (origin, goal)


def test_pixels_that_are_not_square_widen_the_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY, 720, 576))), 4.0, aspect=Fraction(64, 45))
    clip, _ = probe(path)
    assert (clip.width, clip.height) == (1024, 576)
    assert opened(thumbnail(path, 1.0)).shape[:2] == (180, 320)


def test_pixels_that_are_not_square_are_turned_with_the_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY, 720, 576))), 4.0, aspect=Fraction(64, 45))
    clip, _ = probe(turn(path, TURNS["quarter left"][0]))
    assert (clip.width, clip.height) == (576, 1024)


def test_limits_are_judged_as_shown(tmp_path: Path) -> None:
    narrow = write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY, 320, 400))), 4.0, aspect=Fraction(2))
    assert probe(narrow)[0].width == 640
    wide = write(tmp_path / "b.mp4", steadily(5, (4.0, plain(GREY, 640, 360))), 4.0, aspect=Fraction(2))
    with pytest.raises(ApiError) as caught:
        probe(wide)
    assert caught.value.code == "video_resolution_invalid_aspect_ratio"


def test_text_is_read_in_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    class Eyes:
        done = True

        def __init__(self) -> None:
            self.seen: list[np.ndarray] = []
            self.next = 0.0

        def look(self, time: float, size: tuple[int, int], draw: object) -> None:
            self.seen.append(draw(*size))  # type: ignore[operator]
            self.next = time + 1.0

        def read(self, wait: bool = False) -> list[object]:
            return []

        def finish(self, end: float) -> None:
            pass

    matrix, turned = TURNS["quarter left"]
    path = turn(write(tmp_path / "a.mp4", steadily(5, (4.0, corners())), 4.0), matrix)
    eyes = Eyes()
    with open_media(path) as container:
        list(examine(container, read_clip(container), Order(False, False, None, eyes)))  # type: ignore[arg-type]
    assert eyes.seen[0].shape == (640, 360, 3)
    assert corner_colours(eyes.seen[0][..., ::-1]) == corner_colours(turned(corners()))


@pytest.mark.parametrize("name", TURNS)
def test_a_turned_picture_is_not_streamed_lying_down(tmp_path: Path, name: str) -> None:
    path = turn(write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY))), 4.0), TURNS[name][0])
    with pytest.raises(ApiError, match="turned"):
        plan(path)


def test_an_aspect_that_the_codec_tells_itself_is_streamed(tmp_path: Path) -> None:
    assert plan(write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY))), 4.0, aspect=Fraction(4, 3)))


def test_an_aspect_that_only_the_container_tells_is_not_streamed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", steadily(5, (4.0, plain(GREY))), 4.0, aspect=Fraction(4, 3))
    content = path.read_bytes()
    at = content.index(b"pasp") + 4
    path.write_bytes(content[:at] + (3).to_bytes(4, "big") + (2).to_bytes(4, "big") + content[at + 8 :])
    with pytest.raises(ApiError, match="widened"):
        plan(path)
