"""The network, on tiny random weights: its structure, not its sense."""

import math
from pathlib import Path

import numpy as np
import pytest

from engine.sentences.bert import Bert, gelu
from engine.sentences.encoder import Encoder
from engine.sentences.weights import HEADS, LONGEST
from tests.engine.tiny import DIMENSIONS, tensors, write_model

NETWORK = Bert(tensors(), HEADS)
TEXTS = [[2, 5, 3], [2, 4, 5, 6, 7, 3], [2, 3], [2, 6, 5, 4, 3]]


def plain(made: dict[str, np.ndarray], text: list[int]) -> np.ndarray:
    """The same network written out word by word, in double precision."""
    at = {name: tensor.astype(np.float64) for name, tensor in made.items()}

    def dense(name: str, row: np.ndarray) -> np.ndarray:
        return at[f"{name}.weight"] @ row + at[f"{name}.bias"]

    def norm(row: np.ndarray) -> np.ndarray:
        return (row - row.mean()) / math.sqrt(row.var() + 1e-12)

    rows = [
        norm(
            at["embeddings.word_embeddings.weight"][number]
            + at["embeddings.position_embeddings.weight"][place]
            + at["embeddings.token_type_embeddings.weight"][0]
        )
        for place, number in enumerate(text)
    ]
    size = DIMENSIONS // HEADS
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        own = f"{layer}.attention.self"
        queries, keys, values = ([dense(f"{own}.{part}", row) for row in rows] for part in ("query", "key", "value"))
        after = []
        for row, query in zip(rows, queries, strict=True):
            seen = []
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                scores = np.array([math.exp(query[part] @ key[part] / math.sqrt(size)) for key in keys])
                seen.append(sum(w * value[part] for w, value in zip(scores / scores.sum(), values, strict=True)))
            row = norm(row + dense(f"{layer}.attention.output.dense", np.concatenate(seen)))
            wide = dense(f"{layer}.intermediate.dense", row)
            bent = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in wide])
            after.append(norm(row + dense(f"{layer}.output.dense", bent)))
        rows = after
    mean = np.mean(rows, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("text", TEXTS)
def test_it_computes_what_the_definition_says(text: list[int]) -> None:
    assert NETWORK.encode([text])[0] == pytest.approx(plain(tensors(), text), abs=2e-6)


def test_neighbours_in_a_batch_do_not_change_a_vector() -> None:
    together = NETWORK.encode(TEXTS)
    assert together == pytest.approx(np.concatenate([NETWORK.encode([text]) for text in TEXTS]), abs=1e-6)


def test_vectors_are_floats_of_length_one() -> None:
    vectors = NETWORK.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((4, DIMENSIONS), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert NETWORK.encode([]).shape == (0, DIMENSIONS)


def test_order_of_words_counts() -> None:
    assert NETWORK.encode([[2, 5, 6, 3]])[0] != pytest.approx(NETWORK.encode([[2, 6, 5, 3]])[0], abs=1e-3)


def test_weights_that_lack_a_part_are_refused() -> None:
    made = tensors()
    del made["encoder.layer.1.output.dense.bias"]
    with pytest.raises(KeyError):
        Bert(made, HEADS)


def test_the_bend_is_the_exact_one() -> None:
    xs = np.linspace(-8, 8, 4001, dtype=np.float32)
    exact = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in xs.astype(np.float64)])
    assert gelu(xs[None])[0] == pytest.approx(exact, abs=2e-6)


def test_an_encoder_reads_its_files_and_gives_each_text_its_own_vector(tmp_path: Path) -> None:
    encoder = Encoder.load(write_model(tmp_path / "w"))
    texts = ["a green ball", "", "rolls " * 200, *["green"] * 200]
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), DIMENSIONS)
    for text, vector in zip(texts[:4], vectors, strict=False):
        assert vector == pytest.approx(encoder.encode([text])[0], abs=1e-6)
    assert (encoder.length("a ball"), encoder.length("rolls " * 200)) == (4, LONGEST + 1)
