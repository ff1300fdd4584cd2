"""Texts to vectors: the tokeniser and the network over the weights of a directory. Blocks while it works."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.sentences.bert import Bert, Matrix
from engine.sentences.safetensors import read_safetensors
from engine.sentences.weights import HEADS, LONGEST, TENSORS, VOCABULARY
from engine.sentences.wordpiece import WordPiece

# Pieces computed together: more gain nothing, and each takes 20 KB while it is computed.
_BATCH_PIECES = 1024


class Encoder:
    """A sentence model.

    Args:
        longest: pieces of a text that are read, with the two that mark its ends.
    """

    def __init__(self, pieces: WordPiece, network: Bert, longest: int = LONGEST) -> None:
        self._pieces = pieces
        self._network = network
        self._longest = longest

    @classmethod
    def load(cls, directory: Path) -> "Encoder":
        """Map the weights of a directory that ``engine.weights.MEANING`` has approved."""
        return cls(WordPiece.load(directory / VOCABULARY), Bert(read_safetensors(directory / TENSORS), HEADS))

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return a vector of length 1 for each text: float32 of shape (texts, dimensions).

        Pieces past the longest text that the model reads are ignored.
        """
        numbers = [self._pieces.encode(text, self._longest) for text in texts]
        parts = [self._network.encode(batch) for batch in _batches(numbers)]
        return np.concatenate(parts) if parts else self._network.encode([])

    def length(self, text: str) -> int:
        """Return how many pieces a text has, its two ends included; at most one more than are read."""
        return len(self._pieces.encode(text, self._longest + 1))


def _batches(texts: list[list[int]]) -> list[list[list[int]]]:
    batches: list[list[list[int]]] = []
    room = 0
    for text in texts:
        if len(text) > room:
            batches.append([])
            room = _BATCH_PIECES
        batches[-1].append(text)
        room -= len(text)
    return batches
