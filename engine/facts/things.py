"""The kinds of things that can be told, and the words that ask for them.

One network finds things of eighty names (COCO's). Those that it takes for each other, and that nobody would miss, are
told as one: a group is right more often than a name. Another one says what a picture as a whole is of, in groups alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

VEHICLE, ANIMAL, FURNITURE = ("vehicle", "vehicles"), ("animal", "animals"), ("furniture",)
COASTS = ("mountain", "mountains", "shore", "shores", "beach", "beaches")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing.

    Attributes:
        name: what it is told as; ``plural`` for several.
        named: what the network that finds things calls it; nothing where the other one alone knows it.
        also: further words that ask for it, and for others too, perhaps.
    """

    name: str
    plural: str
    named: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, self.plural, *self.named, *self.also)


def _group(name: str, *also: str, plural: str = "") -> Kind:
    """A kind that no thing in the picture is found for, but the picture as a whole is."""
    return Kind(name, plural or f"{name}s", (), also)


def _kind(name: str, *also: str, named: str = "", plural: str = "") -> Kind:
    return Kind(name, plural or f"{name}s", tuple(named.split(", ")) if named else (name,), also)


_SPORTS = "frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard"
_FOOD = "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake"
KINDS = (
    _kind("person", "persons", "human", "humans", "somebody", "someone", "anybody", "anyone", plural="people"),
    _kind("bicycle", "bike", "bikes", *VEHICLE),
    _kind("car", *VEHICLE),
    _kind("motorcycle", "motorbike", "motorbikes", *VEHICLE),
    _kind("airplane", "aeroplane", "aeroplanes", "aircraft", *VEHICLE),
    _kind("bus", *VEHICLE, plural="buses"),
    _kind("train", *VEHICLE),
    _kind("truck", "lorry", "lorries", *VEHICLE),
    _kind("boat", "ship", "ships", *VEHICLE),
    _kind("traffic light"),
    _kind("fire hydrant"),
    _kind("stop sign"),
    _kind("parking meter"),
    _kind("bird", *ANIMAL),
    _kind("cat", *ANIMAL),
    _kind("dog", *ANIMAL),
    _kind("horse", *ANIMAL),
    _kind("animal", named="sheep, cow, elephant, bear, zebra, giraffe"),
    _kind("bag", named="backpack, handbag, suitcase"),
    _kind("umbrella"),
    _kind("tie"),
    _kind("piece of sports gear", plural="pieces of sports gear", named=f"{_SPORTS}, tennis racket"),
    _kind("bottle"),
    _kind("cup or glass", named="wine glass, cup", plural="cups or glasses"),
    _kind("piece of cutlery", "cutlery", named="fork, knife, spoon", plural="pieces of cutlery"),
    _kind("bowl"),
    _kind("piece of food", "food", named=_FOOD, plural="pieces of food"),
    _kind("seat", *FURNITURE, named="bench, chair, couch"),
    _kind("potted plant"),
    _kind("bed", *FURNITURE),
    _kind("table", *FURNITURE, named="dining table"),
    _kind("toilet"),
    _kind("television", "tv", "tvs", named="tv"),
    _kind("computer part", "laptop", "laptops", named="laptop, mouse, keyboard, remote"),
    _kind("phone", named="cell phone"),
    _kind("kitchen appliance", named="microwave, oven, toaster, refrigerator"),
    _kind("sink"),
    _kind("book"),
    _kind("clock"),
    _kind("vase"),
    _kind("scissors", plural="scissors"),
    _kind("toy", named="teddy bear"),
    _kind("hair dryer", named="hair drier"),
    _kind("toothbrush", plural="toothbrushes"),
    _group("vehicle"),
    _group("food", plural="food"),
    _group("building"),
    _group("mountain or shore", *COASTS, plural="mountains or shores"),
    _group("flower"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
_BY_NAMED = {named: kind.name for kind in KINDS for named in kind.named}
# These ask for whatever was seen.
ANY = ("thing", "things", "object", "objects", "anything", "something")


def told_as(named: str) -> str:
    """Return what a name of the network's is told as."""
    return _BY_NAMED[named]


def _words() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {word: [kind.name for kind in KINDS] for word in ANY}
    for kind in KINDS:
        for word in dict.fromkeys((*kind.words, *(f"{named}s" for named in kind.named))):
            found.setdefault(word, []).append(kind.name)
    return {word: tuple(names) for word, names in found.items()}


# The kinds that each word asks for.
ASKED_BY = _words()
# The longest first: a hot dog is no dog.
WORDS = "|".join(re.escape(word) for word in sorted(ASKED_BY, key=lambda word: (-len(word), word)))


def kinds_for(words: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the kinds that some words ask for, in the order of the table; none stands for all."""
    asked = {name for word in words for name in ASKED_BY.get(word.lower(), ())}
    return () if len(asked) == len(KINDS) else tuple(kind.name for kind in KINDS if kind.name in asked)
