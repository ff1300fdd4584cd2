"""The process that names things: what goes in, what comes out, and what happens when it dies."""

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ApiError
from engine.facts.facts import Fact, Spotted, Thing
from engine.measure.examine import Order, examine
from engine.measure.media import read_clip
from engine.measure.opening import open_media
from engine.recognise.pictures import HEAD
from engine.recognise.spotter import spot
from engine.recognise.spotting import Spotter
from tests.engine.conftest import shared_clip, true_things
from tests.engine.recognise.test_detector import Scripted
from tests.engine.recognise.test_tagger import Scripted as Tagging


def block(time: float) -> bytes:
    content = HEAD.pack(time, 64, 48) + np.zeros((48, 64, 3), dtype=np.uint8).tobytes()
    return len(content).to_bytes(8, "little") + content


def test_each_picture_is_answered_and_the_row_ends() -> None:
    sink = io.BytesIO()
    spot(io.BytesIO(block(0.5) + block(1.5) + bytes(8)), sink, Scripted(), None)
    answers = [json.loads(one) for one in sink.getvalue().splitlines()]
    assert answers == [{"spotted": [0.5, [], []]}, {"spotted": [1.5, [], []]}, {"done": True}]


def test_a_picture_is_answered_with_what_it_is_of_as_a_whole_too() -> None:
    sink = io.BytesIO()
    look = {281: 0.9}
    spot(io.BytesIO(block(0.5) + bytes(8)), sink, Scripted(), Tagging(look, look))
    assert json.loads(sink.getvalue().splitlines()[0]) == {"spotted": [0.5, [], [["cat", 0.9]]]}


def test_a_near_end_that_is_gone_gets_no_farewell() -> None:
    sink = io.BytesIO()
    spot(io.BytesIO(block(0)[:-1]), sink, Scripted(), None)
    assert sink.getvalue() == b""


def facts_of(path: Path, spotter: Spotter, start: float = 0.0) -> list[Fact]:
    with open_media(path) as container:
        return list(examine(container, read_clip(container), Order(True, False, None, None, spotter, start)))


def test_a_spotter_that_cannot_start_ends_the_job_with_a_reason(tmp_path: Path, sample_clip: Path) -> None:
    spotter = Spotter(tmp_path)
    with pytest.raises(ApiError, match="spotter of things ended unexpectedly"):
        facts_of(sample_clip, spotter)
    spotter.close()


@pytest.fixture
def spotter() -> Iterator[Spotter]:
    spotter = Spotter(true_things())
    yield spotter
    spotter.close()


def test_a_killed_spotter_ends_the_job_with_a_reason(spotter: Spotter, sample_clip: Path) -> None:
    os.kill(spotter.pid, signal.SIGKILL)
    with pytest.raises(ApiError, match="spotter of things ended unexpectedly"):
        facts_of(sample_clip, spotter)


# What is told of the shared clips, from and to, in whole seconds. All of it is true (MEDIA.md).
TOLD = {
    "reel.mp4": [("clock", 15, 18, 1), ("person", 15, 20, 3)],
    "bunny.mp4": [("bird", 16, 20, 1)],
    "webb.mp4": [("person", 6, 8, 1)],
    "flower.mp4": [],
    "flower.webm": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_nothing_false_is_told_of_the_shared_clips(name: str, spotter: Spotter) -> None:
    facts = facts_of(shared_clip(name), spotter)
    assert isinstance(facts[-1], Spotted)
    things = [(one.name, round(one.start), round(one.end), one.most) for one in facts if isinstance(one, Thing)]
    assert things == TOLD[name]


@pytest.mark.slow
@pytest.mark.parametrize("start", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["reel.mp4", "bunny.mp4", "webb.mp4"])
def test_nothing_false_is_told_when_other_pictures_are_looked_at(name: str, start: float, spotter: Spotter) -> None:
    most = {kind: number for kind, _, _, number in TOLD[name]}
    told = [one for one in facts_of(shared_clip(name), spotter, start) if isinstance(one, Thing)]
    assert all(one.most <= most.get(one.name, 0) for one in told), told
