"""Decoding: order, spans, and files that are damaged in the middle."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ApiError
from engine.facts.facts import Fact, Fault, Level, Seen, Shot, Silence
from engine.measure.examine import Order, examine
from engine.measure.media import read_clip
from engine.measure.opening import open_media
from tests.engine.clips import RED, plain, steadily, tone, write


def facts_of(path: Path, order: Order) -> list[Fact]:
    with open_media(path) as container:
        return list(examine(container, read_clip(container), order))


def test_facts_are_told_in_order_of_their_ends(sample_clip: Path) -> None:
    facts = facts_of(sample_clip, Order(True, True, None))
    ends = [fact.end for fact in facts]
    assert ends == sorted(ends)
    assert [fact.end for fact in facts[-2:]] == [math.inf, math.inf]


def test_nothing_ends_after_the_clip(sample_clip: Path) -> None:
    with open_media(sample_clip) as container:
        duration = read_clip(container).duration
    assert max(fact.end for fact in facts_of(sample_clip, Order(True, True, None)) if fact.end < math.inf) <= duration


def test_only_what_is_ordered_is_examined(sample_clip: Path) -> None:
    assert not any(isinstance(fact, Level | Silence) for fact in facts_of(sample_clip, Order(True, False, None)))
    assert not any(isinstance(fact, Shot) for fact in facts_of(sample_clip, Order(False, True, None)))


def test_a_span_is_examined_alone(sample_clip: Path) -> None:
    facts = facts_of(sample_clip, Order(True, True, None, start=3.0, end=5.0))
    shots = [fact for fact in facts if isinstance(fact, Shot)]
    assert [(round(shot.start, 1), round(shot.end, 1)) for shot in shots] == [(3.0, 4.4), (4.4, 5.0)]


def test_what_was_told_does_not_wait_for_the_end(sample_clip: Path) -> None:
    with open_media(sample_clip) as container:
        facts = examine(container, read_clip(container), Order(True, True, None))
        first = next(fact for fact in facts if isinstance(fact, Shot))
        assert first.end == 2.0
        assert any(isinstance(fact, Seen) for fact in facts)  # and so the clip was not over yet


def test_damage_is_passed_over_and_counted(sample_clip: Path, tmp_path: Path) -> None:
    content = bytearray(sample_clip.read_bytes())
    noise = random.Random(1)
    for _ in range(2000):
        content[noise.randrange(len(content) // 2, len(content))] = noise.randrange(256)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    order = Order(True, True, None)
    facts = facts_of(path, order)
    assert order.faults.packets > 0
    assert any(isinstance(fact, Shot) for fact in facts)


def halved(path: Path, to: Path) -> Path:
    content = path.read_bytes()
    to.write_bytes(content[: len(content) // 2])
    return to


def faults(facts: list[Fact]) -> list[tuple[str, str]]:
    return [(one.kind, one.track) for one in facts if isinstance(one, Fault)]


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    """20 s whose bytes lie evenly in the file."""
    noise = np.random.default_rng(1)
    pictures = [(index / 5, noise.integers(0, 255, (360, 640, 3)).astype(np.uint8)) for index in range(100)]
    return write(tmp_path / "long.mp4", pictures, 20.0, tone(20.0), movflags="faststart")


def test_what_is_announced_and_not_there_is_told_until_where_it_was_there(long_clip: Path, tmp_path: Path) -> None:
    facts = facts_of(halved(long_clip, tmp_path / "half.mp4"), Order(True, True, None))
    assert [one for one in faults(facts) if one[0] == "missing"] == [("missing", "picture"), ("missing", "sound")]
    picture = next(one for one in facts if isinstance(one, Fault) and one.track == "picture")
    assert 7.0 < picture.start < 13.0
    assert picture.end == pytest.approx(20.0, abs=0.1)
    last = [one for one in facts if isinstance(one, Shot)][-1]
    assert last.end == picture.start


def test_what_is_announced_and_cannot_be_decoded_is_told_in_the_same_way(long_clip: Path, tmp_path: Path) -> None:
    content = bytearray(long_clip.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(content)
    order = Order(True, True, None)
    facts = facts_of(path, order)
    assert faults(facts) == [("missing", "picture"), ("missing", "sound")]
    assert order.faults.packets > 10


def test_a_moment_that_is_missing_shows_no_picture_from_before(long_clip: Path, tmp_path: Path) -> None:
    facts = facts_of(halved(long_clip, tmp_path / "half.mp4"), Order(True, True, None, start=16.0, end=19.0))
    assert not any(isinstance(one, Shot) for one in facts)
    assert ("missing", "picture") in faults(facts)


def test_a_track_that_merely_ends_is_not_missing(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts"):
        path = write(tmp_path / f"a.{suffix}", steadily(5, (4.0, plain(RED))), 4.0, tone(9.0))
        facts = facts_of(path, Order(True, True, None))
        assert faults(facts) == []
        [shot] = [one for one in facts if isinstance(one, Shot)]
        assert shot.end == pytest.approx(9.0, abs=0.15)


def test_a_matroska_that_is_cut_off_says_so(long_clip: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    pictures = [(index / 5, noise.integers(0, 255, (360, 640, 3)).astype(np.uint8)) for index in range(100)]
    whole = write(tmp_path / "a.mkv", pictures, 20.0, tone(20.0))
    facts = facts_of(halved(whole, tmp_path / "half.mkv"), Order(True, True, None))
    assert ("missing", "picture") in faults(facts)
    assert ("missing", "sound") in faults(facts)


@pytest.mark.parametrize(("suffix", "codec"), [("flv", "aac"), ("flac", "flac")])
def test_a_file_that_is_shorter_than_its_header_says_so(tmp_path: Path, suffix: str, codec: str) -> None:
    pictures = [] if suffix == "flac" else steadily(5, (10.0, plain(RED)))
    whole = write(tmp_path / f"a.{suffix}", pictures, 10.0, tone(10.0), sound_codec=codec)
    assert faults(facts_of(whole, Order(True, True, None))) == []
    facts = facts_of(halved(whole, tmp_path / f"half.{suffix}"), Order(True, True, None))
    assert ("missing", "sound") in faults(facts)


def test_damaged_packets_are_told_with_their_place(long_clip: Path, tmp_path: Path) -> None:
    content = bytearray(long_clip.read_bytes())
    noise = random.Random(1)
    for _ in range(40):  # about the middle
        content[noise.randrange(len(content) * 45 // 100, len(content) * 55 // 100)] = noise.randrange(256)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    facts = facts_of(path, Order(True, True, None))
    damage = [one for one in facts if isinstance(one, Fault) and one.kind == "damaged"]
    assert damage
    assert all(7.0 < one.start <= one.end < 13.0 and one.packets > 0 for one in damage)
    ends = [fact.end for fact in facts]
    assert ends == sorted(ends)


def test_a_whole_file_has_no_faults(sample_clip: Path) -> None:
    assert faults(facts_of(sample_clip, Order(True, True, None))) == []


def test_no_damage_breaks_the_examination_otherwise_than_by_an_api_error(sample_clip: Path, tmp_path: Path) -> None:
    content, noise = sample_clip.read_bytes(), random.Random(2)
    for attempt in range(8):
        changed = bytearray(content)
        for _ in range(noise.choice([20, 500])):
            changed[noise.randrange(len(changed))] = noise.randrange(256)
        path = tmp_path / f"{attempt}.mp4"
        path.write_bytes(changed[: noise.choice([len(changed), len(changed) // 2])])
        try:
            facts_of(path, Order(True, True, None))
        except ApiError as exc:
            assert exc.status == 400
