"""A picture as a whole is told to be of a group where all looks together find it likely."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.facts.things import BY_NAME
from engine.recognise.tagger import GROUPS, LEAST, SIZE, Tag, load, tags_in
from engine.senses import missing_spotter
from engine.weights import TAGS
from tests.engine.conftest import true_things

TABBY, EGYPTIAN, BUS, ACCORDION = 281, 285, 779, 401


class Scripted:
    """A network that gives classes their chances, look by look."""

    def __init__(self, *looks: dict[int, float]) -> None:
        self.looks = list(looks)
        self.asked: list[NDArray[np.float32]] = []

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        chances = np.zeros((len(pixels), 1000), dtype=np.float32)
        for number, chance in self.looks[len(self.asked)].items():
            chances[:, number] = chance
        self.asked.append(pixels)
        return chances


def picture(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), dtype=np.uint8)


def tags(*looks: dict[int, float]) -> list[Tag]:
    return tags_in(picture(), Scripted(*looks))


def test_the_chances_of_a_group_are_added_up() -> None:
    look = {TABBY: 0.3, EGYPTIAN: 0.3}
    assert tags(look, look) == [Tag("cat", 0.6)]


def test_what_is_likely_at_first_and_not_mirrored_is_no_tag() -> None:
    assert tags({BUS: 0.5}, {BUS: 0.3}) == []


def test_what_is_unlikely_is_looked_at_once() -> None:
    network = Scripted({BUS: 0.3})
    assert tags_in(picture(), network) == []
    assert len(network.asked) == 1


def test_what_is_dark_and_gold_is_no_musical_instrument() -> None:
    look = {ACCORDION: 0.9}
    assert tags(look, look) == []


def test_two_groups_are_told_the_likelier_first() -> None:
    look = {TABBY: 0.46, BUS: 0.5}
    assert [one.kind for one in tags(look, look)] == ["vehicle", "cat"]


def test_the_whole_and_its_middle_are_looked_at_and_then_mirrored() -> None:
    wide = picture(200, 100)
    wide[:, :50] = 255  # left of the middle
    network = Scripted({BUS: 0.9}, {BUS: 0.9})
    tags_in(wide, network)
    [(whole, middle), (mirrored, _)] = network.asked
    assert whole.shape == (3, SIZE, SIZE)
    assert (whole[:, :, :50].mean(), whole[:, :, -50:].mean()) == (1.0, pytest.approx(-127 / 128))
    assert middle.mean() == pytest.approx(-127 / 128)
    assert (mirrored == whole[..., ::-1]).all()


def _numbers(groups: Sequence[tuple[int, ...]]) -> list[int]:
    return [number for classes in groups for number in classes]


def test_each_group_is_a_kind_and_no_class_is_in_two() -> None:
    numbers = _numbers(list(GROUPS.values()))
    assert set(GROUPS) <= set(BY_NAME)
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 1000 for number in numbers)
    assert LEAST > 0


@pytest.mark.slow
def test_the_true_network_finds_nothing_in_a_plain_picture() -> None:
    if missing_spotter() or not TAGS.lie_in(true_things()):
        pytest.skip("the weights for pictures as a whole are not on this machine: `fanlight models fetch things`")
    assert tags_in(picture(), load(true_things() / "lite0.onnx")) == []
