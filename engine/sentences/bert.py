"""A BERT encoder in numpy: numbers of pieces in, one vector of length 1 for each text out.

Texts of a batch are laid end to end in one matrix, so that each weight is read once for
all of them; only attention, which must not look into a neighbour, goes text by text.
Nothing is padded, so there is no mask. numpy gives the interpreter lock back in all of
the heavy steps.

Source: Devlin et al. 2018 for the encoder; mean over all pieces and length 1 as the model's
``1_Pooling`` and ``2_Normalize`` say.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Tensors = Mapping[str, NDArray[Any]]

_EPSILON = 1e-12  # the model's layer_norm_eps


class Bert:
    """An encoder over given weights; its sizes are read off their shapes.

    Args:
        tensors: by the names that Hugging Face's ``BertModel`` gives them.
        heads: of attention; the one size that no shape shows.

    Raises:
        KeyError, ValueError: tensors are missing, or do not fit each other.
    """

    def __init__(self, tensors: Tensors, heads: int) -> None:
        self._words: Matrix = tensors["embeddings.word_embeddings.weight"]
        # Texts come alone, never in pairs: all pieces are of the first kind.
        self._places: Matrix = (
            tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _Norm(tensors, "embeddings.LayerNorm")
        count = sum(name.endswith(".attention.self.query.weight") for name in tensors)
        self._layers = [_Layer(tensors, f"encoder.layer.{number}", heads) for number in range(count)]

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return int(self._words.shape[1])

    def encode(self, texts: Sequence[Sequence[int]]) -> Matrix:
        """Return one row a text: float32 of shape (texts, dimensions), each of length 1.

        Args:
            texts: numbers of pieces; none is empty, nor longer than the model has places.
        """
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        ends = np.cumsum([len(text) for text in texts])
        spans = [slice(int(end) - len(text), int(end)) for end, text in zip(ends, texts, strict=True)]
        rows = self._words[np.concatenate([np.asarray(text, np.intp) for text in texts])]
        rows = self._norm(rows + np.concatenate([self._places[: len(text)] for text in texts]))
        for layer in self._layers:
            rows = layer(rows, spans)
        means = np.stack([rows[span].mean(axis=0) for span in spans])
        vectors: Matrix = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors


class _Dense:
    def __init__(self, tensors: Tensors, name: str) -> None:
        self._weight = tensors[f"{name}.weight"].T
        self._bias = tensors[f"{name}.bias"]

    def __call__(self, rows: Matrix) -> Matrix:
        result: Matrix = rows @ self._weight
        result += self._bias
        return result


class _Norm:
    def __init__(self, tensors: Tensors, name: str) -> None:
        self._scale = tensors[f"{name}.weight"]
        self._shift = tensors[f"{name}.bias"]

    def __call__(self, rows: Matrix) -> Matrix:
        centred = rows - rows.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(_EPSILON))
        result: Matrix = centred / spread * self._scale + self._shift
        return result


class _Layer:
    def __init__(self, tensors: Tensors, name: str, heads: int) -> None:
        self._heads = heads
        self._query, self._key, self._value = (
            _Dense(tensors, f"{name}.attention.self.{part}") for part in ("query", "key", "value")
        )
        self._joined = _Dense(tensors, f"{name}.attention.output.dense")
        self._after_attention = _Norm(tensors, f"{name}.attention.output.LayerNorm")
        self._wide = _Dense(tensors, f"{name}.intermediate.dense")
        self._narrow = _Dense(tensors, f"{name}.output.dense")
        self._after = _Norm(tensors, f"{name}.output.LayerNorm")

    def __call__(self, rows: Matrix, spans: list[slice]) -> Matrix:
        queries, keys, values = self._query(rows), self._key(rows), self._value(rows)
        seen = np.concatenate([self._attend(queries[span], keys[span], values[span]) for span in spans])
        rows = self._after_attention(rows + self._joined(seen))
        return self._after(rows + self._narrow(gelu(self._wide(rows))))

    def _attend(self, queries: Matrix, keys: Matrix, values: Matrix) -> Matrix:
        query, key, value = (
            one.reshape(len(one), self._heads, -1).transpose(1, 0, 2) for one in (queries, keys, values)
        )
        weights = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[2]))
        weights = np.exp(weights - weights.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        seen: Matrix = (weights @ value).transpose(1, 0, 2).reshape(len(queries), -1)
        return seen


def gelu(rows: Matrix) -> Matrix:
    """Return x * Phi(x), the exact form that the model was trained with, to about 1e-6.

    numpy has no error function; Abramowitz and Stegun 7.1.26 gives it to 1.5e-7.
    """
    distance = np.abs(rows) * np.float32(math.sqrt(0.5))
    step = np.float32(1) / (1 + np.float32(0.3275911) * distance)
    curve: Matrix = np.full_like(rows, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        curve = curve * step + np.float32(factor)
    error = 1 - curve * step * np.exp(-distance * distance)
    result: Matrix = np.float32(0.5) * rows * (1 + np.copysign(error, rows))
    return result
