"""Sightings in single pictures become things that are there for a time."""

from hypothesis import given
from hypothesis import strategies as st

from engine.facts.facts import WHOLE, Thing
from engine.facts.things import BY_NAME, KINDS, kinds_for, told_as
from engine.recognise.detector import NAMES, Spot
from engine.recognise.spots import Spots
from engine.recognise.tagger import GROUPS, Tag

BOX = (0.1, 0.1, 0.5, 0.5)


def seen(*names: str, score: float = 0.6) -> list[Spot]:
    return [Spot(name, score, BOX) for name in names]


def merged(looks: dict[float, list[Spot]], *cuts: float, end: float = 60.0) -> list[Thing]:
    spots = Spots()
    for time, found in looks.items():
        spots.look(time, found)
    for cut in cuts:
        spots.cut(cut)
    return spots.finish(end)


def spans(looks: dict[float, list[Spot]], *cuts: float, end: float = 60.0) -> list[tuple[str, float, float]]:
    return [(one.name, one.start, one.end) for one in merged(looks, *cuts, end=end)]


def test_two_sightings_are_a_thing_until_a_second_after_the_last() -> None:
    assert spans({3.0: seen("bird"), 4.0: seen("bird")}) == [("bird", 3.0, 5.0)]


def test_one_sighting_is_none() -> None:
    assert spans({3.0: seen("bird", "bird")}) == []


def test_two_faint_sightings_are_none() -> None:
    assert spans({3.0: seen("bird", score=0.49), 4.0: seen("bird", score=0.49)}) == []


def test_sightings_in_two_shots_are_not_added_up() -> None:
    assert spans({3.0: seen("bird"), 4.0: seen("bird")}, 3.5) == []


def test_a_thing_ends_with_its_shot_and_with_the_clip() -> None:
    looks = {3.0: seen("bird"), 4.0: seen("bird")}
    assert spans(looks, 4.2) == [("bird", 3.0, 4.2)]
    assert spans(looks, end=4.5) == [("bird", 3.0, 4.5)]


def test_a_thing_that_is_missed_once_stands_on_and_one_that_is_gone_comes_anew() -> None:
    there = seen("person")
    times = [1.0, 3.0, 4.0, 9.0, 10.0]
    assert spans(dict.fromkeys(times, there)) == [("person", 1.0, 5.0), ("person", 9.0, 11.0)]


def test_so_many_are_told_as_half_of_the_pictures_show() -> None:
    [people] = merged({1.0: seen(*["person"] * 4), 2.0: seen("person", "person"), 3.0: seen("person")})
    assert people.most == 2


def test_the_clearest_sighting_is_told() -> None:
    looks = {1.0: [Spot("cat", 0.5, BOX)], 2.0: [Spot("cat", 0.8, (0.2, 0.2, 0.3, 0.3))]}
    [cat] = merged(looks)
    assert (cat.score, cat.box) == (0.8, (0.2, 0.2, 0.3, 0.3))


def test_names_that_are_told_as_one_are_added_up() -> None:
    assert spans({1.0: seen("chair"), 2.0: seen("couch")}) == [("seat", 1.0, 3.0)]


def test_what_a_picture_is_of_as_a_whole_is_held_to_the_same_rule() -> None:
    spots = Spots()
    for time, score in {1.0: 0.5, 2.0: 0.45, 8.0: 0.9}.items():
        spots.look(time, [], [Tag("building", score)])
    [building] = spots.finish(60.0)
    assert building == Thing(1.0, 3.0, "building", 0.5, WHOLE, 1, "efficientnet-lite0")


def test_who_was_surest_is_the_source_and_pictures_as_a_whole_add_to_no_number() -> None:
    spots = Spots()
    spots.look(1.0, seen("bird", "bird"), [Tag("bird", 0.5)])
    spots.look(2.0, seen("bird", "bird"), [Tag("bird", 0.9)])
    spots.look(3.0, [], [Tag("bird", 0.8)])
    [birds] = spots.finish(60.0)
    assert (birds.source, birds.box, birds.most, birds.end) == ("efficientnet-lite0", WHOLE, 2, 4.0)


def test_every_name_of_the_network_is_told_as_one_kind() -> None:
    assert {told_as(name) for name in NAMES} | set(GROUPS) == set(BY_NAME)
    assert sum(len(kind.named) for kind in KINDS) == len(NAMES) == 80


def test_words_ask_for_kinds() -> None:
    assert kinds_for(["people"]) == ("person",)
    assert kinds_for(["Animals"]) == ("bird", "cat", "dog", "horse", "animal")
    assert kinds_for(["nothing of ours"]) == ()


looks = st.dictionaries(
    st.integers(0, 20).map(float),
    st.lists(st.builds(Spot, st.sampled_from(["person", "car", "cup"]), st.sampled_from([0.45, 0.6]), st.just(BOX))),
).map(lambda found: dict(sorted(found.items())))


@given(looks, st.lists(st.floats(0, 20), max_size=3))
def test_every_thing_was_seen_in_two_pictures_of_its_time(found: dict[float, list[Spot]], cuts: list[float]) -> None:
    for told in merged(found, *cuts, end=21.0):
        inside = [row for time, row in found.items() if told.start <= time <= told.end]
        assert sum(any(told_as(one.name) == told.name for one in row) for row in inside) >= 2
        assert told.start < told.end <= 21.0
        assert not any(told.start < cut < told.end for cut in cuts)
