"""Reading pictures: which are worth reading, and what a reader makes of them."""

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.errors import ApiError
from engine.facts.facts import Read, Writing
from engine.measure.examine import Order, examine
from engine.measure.media import read_clip
from engine.measure.opening import open_media
from engine.recognise.pictures import HEAD, Picture
from engine.recognise.reader import cells_of, changed, read, read_lines
from engine.recognise.sight import Eyes
from engine.senses import missing_reader
from tests.engine.conftest import shared_clip


def blank(width: int = 64, height: int = 32, shade: int = 100) -> Picture:
    return np.full((height, width, 3), shade, dtype=np.uint8)


def lettered() -> Picture:
    picture = blank()
    picture[8:16, 8:14] = 255
    return picture


def test_coding_noise_is_no_change_and_a_letter_is_one() -> None:
    noisy = blank() + np.random.default_rng(1).integers(0, 4, (32, 64, 3), dtype=np.uint8)
    assert not changed(cells_of(blank()), cells_of(noisy))
    assert changed(cells_of(blank()), cells_of(lettered()))
    assert changed(None, cells_of(blank()))
    assert changed(cells_of(blank()), cells_of(blank(72)))


class Scripted:
    """A reader that finds one line, as rapidocr tells it, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, picture: Picture) -> Any:
        self.asked += 1
        corners = np.array([[[16, 8], [32, 8], [32, 16], [16, 16]]], dtype=np.float32)
        return SimpleNamespace(txts=("two  words",), boxes=corners, scores=(0.98762,))


def test_lines_come_with_boxes_as_shares() -> None:
    assert read_lines(Scripted(), blank()) == [("two words", [0.25, 0.25, 0.5, 0.5], 0.9876)]


def test_a_picture_without_text_has_no_lines() -> None:
    assert read_lines(lambda _: SimpleNamespace(txts=None), blank()) == []


def block(time: float, picture: Picture) -> bytes:
    height, width = picture.shape[:2]
    content = HEAD.pack(time, width, height) + picture.tobytes()
    return len(content).to_bytes(8, "little") + content


def test_only_pictures_that_changed_are_read() -> None:
    reader, sink = Scripted(), io.BytesIO()
    source = io.BytesIO(block(0, blank()) + block(1, blank()) + block(2, lettered()) + bytes(8))
    read(source, sink, reader)
    answers = [json.loads(one) for one in sink.getvalue().splitlines()]
    assert [next(iter(one)) for one in answers] == ["seen", "same", "seen", "done"]
    assert reader.asked == 2


def test_a_near_end_that_is_gone_gets_no_farewell() -> None:
    sink = io.BytesIO()
    read(io.BytesIO(block(0, blank())[:-1]), sink, Scripted())
    assert sink.getvalue() == b""


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    if missing := missing_reader():
        pytest.skip(f"the package {missing} (extra ocr) is not installed")
    eyes = Eyes()
    yield eyes
    eyes.close()


def writings(path: Path, eyes: Eyes, **span: float) -> list[Writing]:
    with open_media(path) as container:
        facts = list(examine(container, read_clip(container), Order(False, False, None, eyes, **span)))
    assert any(isinstance(fact, Read) for fact in facts)
    return [fact for fact in facts if isinstance(fact, Writing)]


def test_a_card_is_read_exactly_with_its_times(eyes: Eyes) -> None:
    [end] = writings(shared_clip("reel.mp4"), eyes, start=20.2)
    assert (end.text, end.start, end.end) == ("THE END", pytest.approx(20.2, abs=0.05), pytest.approx(23.04))
    assert end.confidence > 0.9


def test_a_killed_reader_ends_the_job_with_a_reason(eyes: Eyes, sample_clip: Path) -> None:
    os.kill(eyes.pid, signal.SIGKILL)
    with pytest.raises(ApiError, match="reader of on-screen text ended unexpectedly"):
        writings(sample_clip, eyes)
