"""Decoding: order, spans, and files that are damaged in the middle."""

import math
import random
from pathlib import Path

from engine.errors import ApiError
from engine.facts.facts import Fact, Level, Seen, Shot, Silence
from engine.measure.examine import Damage, Order, examine
from engine.measure.media import open_media, read_clip


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
    damage = Damage()
    facts = facts_of(path, Order(True, True, None, damage=damage))
    assert damage.packets > 0
    assert any(isinstance(fact, Shot) for fact in facts)


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
