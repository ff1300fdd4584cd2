"""Vectors kept beside the words: made once, by which weights, and gone with what they stand for."""

import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.store.library import Library
from engine.work.vectors import Vectors

SHA = "0" * 64
# How far each text is turned from the first, in degrees.
ANGLES = {"observatory": 0, "telescope": 30, "stars": 60, "bread": 85}


class TurnedMeaning:
    """Texts as directions in a plane."""

    available = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        turns = [math.radians(ANGLES[text]) for text in texts]
        return np.array([[math.cos(one), math.sin(one)] for one in turns], np.float32)


class NoMeaning:
    available = False


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    opened = Library(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def add(library: Library, *texts: str, sha256: str = SHA, kind: str = "transcription") -> None:
    def write(db: sqlite3.Connection) -> None:
        rows = [(sha256, kind, place, place + 1, text) for place, text in enumerate(texts)]
        db.executemany('INSERT INTO passages (sha256, kind, start, "end", text) VALUES (?, ?, ?, ?, ?)', rows)

    await library.together(write)


async def test_what_means_alike_is_found_the_nearest_first_and_the_unlike_is_not(library: Library) -> None:
    vectors = Vectors(library, TurnedMeaning())  # type: ignore[arg-type]
    await add(library, "bread", "stars", "telescope")
    await add(library, "telescope", sha256="1" * 64)
    await vectors.fill(None)
    assert [row.text for row in await vectors.nearest("observatory", [SHA])] == ["telescope", "stars"]
    assert await vectors.nearest("observatory", []) == []


async def test_a_vector_is_made_once_and_only_of_what_was_said(library: Library) -> None:
    meaning = TurnedMeaning()
    vectors = Vectors(library, meaning)  # type: ignore[arg-type]
    await add(library, *["stars"] * 20)
    await add(library, "silence", kind="audio")
    for _ in range(2):
        await vectors.fill(SHA)
    assert meaning.asked == ["stars"] * 20
    assert [row.start for row in await vectors.of(SHA)] == list(range(20))


async def test_without_weights_nothing_is_made_or_found(library: Library) -> None:
    vectors = Vectors(library, NoMeaning())  # type: ignore[arg-type]
    await add(library, "stars")
    await vectors.open()
    await vectors.fill(SHA)
    assert await vectors.nearest("stars", [SHA]) == []
    assert await library.rows("SELECT * FROM vectors") == []
    await vectors.close()


async def test_weights_that_are_given_later_fill_in_what_others_made_or_left(library: Library) -> None:
    meaning = TurnedMeaning()
    vectors = Vectors(library, meaning)  # type: ignore[arg-type]
    await add(library, "stars", "bread")
    await library.write("INSERT INTO vectors VALUES (1, 'others', x'00')")
    assert await vectors.nearest("stars", [SHA]) == []  # no others' vector is compared
    await vectors.fill(None)
    assert sorted(meaning.asked) == ["bread", "stars", "stars"]
    assert [row.text for row in await vectors.nearest("stars", [SHA])] == ["stars", "bread"]


async def test_a_vector_goes_with_its_passage(library: Library) -> None:
    vectors = Vectors(library, TurnedMeaning())  # type: ignore[arg-type]
    await add(library, "stars")
    await vectors.fill(None)
    await library.drop_unused([SHA])
    assert await library.rows("SELECT * FROM vectors") == []


async def test_a_passage_that_was_replaced_meanwhile_keeps_no_vector_of_the_old_one(library: Library) -> None:
    class Interrupted(TurnedMeaning):
        async def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if not self.asked:
                await library.write("UPDATE passages SET text = 'bread' WHERE text = 'stars'")
            return await super().vectors(texts)

    vectors = Vectors(library, Interrupted())  # type: ignore[arg-type]
    await add(library, "stars")
    await vectors.fill(None)
    assert await vectors.nearest("observatory", [SHA]) == []


async def test_more_passages_than_fit_one_page_are_all_compared(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.vectors.PAGE", 3)
    vectors = Vectors(library, TurnedMeaning())  # type: ignore[arg-type]
    await add(library, *["stars"] * 7)
    await vectors.fill(None)
    assert len(await vectors.nearest("stars", [SHA])) == 7
