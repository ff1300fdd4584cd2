"""A sentence model of a few kilobytes with random weights: the right shapes, and no meaning at all."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sentences.weights import TENSORS, VOCABULARY

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "green", "ball", "roll", "##s", "##ing", "!", "cafe", "漢"]
DIMENSIONS, WIDE, PLACES = 24, 32, 256  # as many heads and places as the true ones have


def tensors(layers: int = 2, seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """Random weights by the names that the true ones have."""
    random = np.random.default_rng(seed)
    made: dict[str, NDArray[np.float32]] = {}

    def add(name: str, *shape: int) -> None:
        made[name] = random.normal(0, 0.5, shape).astype(np.float32)

    def add_dense(name: str, inner: int, outer: int) -> None:
        add(f"{name}.weight", outer, inner)
        add(f"{name}.bias", outer)

    def add_norm(name: str) -> None:
        made[f"{name}.weight"] = np.ones(DIMENSIONS, np.float32)
        made[f"{name}.bias"] = np.zeros(DIMENSIONS, np.float32)

    add("embeddings.word_embeddings.weight", len(WORDS), DIMENSIONS)
    add("embeddings.position_embeddings.weight", PLACES, DIMENSIONS)
    add("embeddings.token_type_embeddings.weight", 2, DIMENSIONS)
    add_norm("embeddings.LayerNorm")
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            add_dense(f"{layer}.attention.self.{part}", DIMENSIONS, DIMENSIONS)
        add_dense(f"{layer}.attention.output.dense", DIMENSIONS, DIMENSIONS)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_dense(f"{layer}.intermediate.dense", DIMENSIONS, WIDE)
        add_dense(f"{layer}.output.dense", WIDE, DIMENSIONS)
        add_norm(f"{layer}.output.LayerNorm")
    return made


def write_model(directory: Path) -> Path:
    """Write a whole model, as a directory of weights; only its hashes are wrong."""
    directory.mkdir()
    write_safetensors(directory / TENSORS, tensors())
    (directory / VOCABULARY).write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return directory


def write_safetensors(path: Path, made: dict[str, Any], header: bytes | None = None) -> None:
    """Write a file as the format says; ``header`` puts another in place of the true one."""
    entries, data = {}, b""
    for name, tensor in made.items():
        raw = tensor.tobytes()
        kind = "F32" if tensor.dtype == np.float32 else "I64"
        entries[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode() if header is None else header
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)
