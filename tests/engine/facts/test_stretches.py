"""Stretches of a record, and what they hold."""

import base64

import pytest

from engine.facts.kept import to_wire
from engine.facts.stretches import by_shots, fixed, sketches_in, words_in
from tests.engine.conftest import shot, spoken

KEPT = {
    "facts": [
        to_wire(one)
        for one in (shot(0, 3), shot(3, 4), shot(4, 9), shot(9, 10), spoken(1.0, "a b c d"), spoken(6.0, "x y", 0.1))
    ],
    "sketches": [[at, base64.b64encode(bytes([at])).decode()] for at in range(0, 10, 2)],
}


@pytest.mark.parametrize(
    ("span", "length", "shortest", "spans"),
    [
        ((0, 12), 5, 0, [(0, 5), (5, 10), (10, 12)]),
        ((0, 31), 6, 2, [(0, 6), (6, 12), (12, 18), (18, 24), (24, 30)]),
        ((0, 12), 6, 2, [(0, 6), (6, 12)]),
        ((2, 3), 6, 0, [(2, 3)]),
    ],
)
def test_fixed_stretches_follow_each_other(
    span: tuple[float, float], length: float, shortest: float, spans: list[tuple[float, float]]
) -> None:
    assert fixed(*span, length, shortest) == spans


@pytest.mark.parametrize(
    ("span", "shortest", "spans"),
    [
        ((0, 10), 1, [(0, 3), (3, 4), (4, 9), (9, 10)]),
        ((0, 10), 3, [(0, 3), (3, 10)]),
        ((2, 10), 2, [(2, 4), (4, 10)]),
        ((5, 6), 4, [(5, 6)]),
    ],
)
def test_stretches_change_with_the_shots_and_none_is_too_short(
    span: tuple[float, float], shortest: float, spans: list[tuple[float, float]]
) -> None:
    assert by_shots(KEPT, *span, shortest) == spans


def test_a_word_belongs_where_its_middle_is_and_only_if_it_was_understood() -> None:
    assert words_in(KEPT, [(0, 1.2), (1.2, 2), (2, 4), (0, 10)]) == [[], ["a", "b"], ["c", "d"], ["a", "b", "c", "d"]]


def test_a_stretch_has_the_sketches_taken_in_it_or_the_one_before() -> None:
    assert sketches_in(KEPT, [(0, 3), (4.5, 5.5), (0, 10)]) == [b"\x00\x02", b"\x04", b"\x00\x02\x04\x06\x08"]
