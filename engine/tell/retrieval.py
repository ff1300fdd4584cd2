"""What was said about something: by the forms of its words, and by meaning where there are weights.

Words are told apart as the search tells them (SQLite FTS5, stems); two texts mean alike
when their vectors are near enough.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.facts.intent import Intent
from engine.facts.words import WORDS_TABLE, word_query

if TYPE_CHECKING:
    from engine.sentences.bert import Matrix

Encode = Callable[[Sequence[str]], "Matrix"]

# Cosine from which a passage is about what is asked (docs/engine.md: how it was found).
ALIKE = 0.3


def encode_for(intent: Intent, weights: Path | None) -> Encode | None:
    """Return what makes vectors, where an answer needs one and there are weights.

    Args:
        weights: their directory; None for words only.
    """
    if weights is None or not intent.about:
        return None
    # Loaded only for such an answer: it is 91 MB of numbers.
    from engine.sentences.encoder import Encoder

    return Encoder.load(weights).encode


class About:
    """Judge texts by whether they are about a subject.

    Args:
        encode: texts to vectors of length 1; None to go by words alone.
    """

    def __init__(self, subject: str, encode: Encode | None = None) -> None:
        self.subject = subject
        self._query = word_query(subject)
        self._encode = encode
        self._vector = encode([subject])[0] if encode else None
        self._words = sqlite3.connect(":memory:", check_same_thread=False)
        self._words.execute(WORDS_TABLE)

    @property
    def by_meaning(self) -> bool:
        return self._encode is not None

    def fits(self, text: str) -> bool:
        return self._shares_words(text) or self._means_alike(text)

    def _shares_words(self, text: str) -> bool:
        self._words.execute("DELETE FROM passage_words")
        self._words.execute("INSERT INTO passage_words VALUES (?)", [text])
        sql = "SELECT 1 FROM passage_words WHERE passage_words MATCH ?"
        return self._words.execute(sql, [self._query]).fetchone() is not None

    def _means_alike(self, text: str) -> bool:
        if self._encode is None:
            return False
        return float(self._encode([text])[0] @ self._vector) >= ALIKE
