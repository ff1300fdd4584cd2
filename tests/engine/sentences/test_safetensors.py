"""A file of weights: read as it is, or refused."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from engine.sentences.safetensors import Malformed, read_safetensors
from tests.engine.tiny import tensors, write_safetensors


def test_what_was_written_is_read(tmp_path: Path) -> None:
    made = {**tensors(), "places": np.arange(4, dtype=np.int64)}
    write_safetensors(tmp_path / "w", made)
    read = read_safetensors(tmp_path / "w")
    assert read.keys() == made.keys()
    assert all(np.array_equal(read[name], made[name]) for name in made)


def test_what_is_read_cannot_be_written(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "w", {"a": np.zeros(4, np.float32)})
    with pytest.raises(ValueError):
        read_safetensors(tmp_path / "w")["a"][0] = 1


def entry(**changes: object) -> bytes:
    return json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}).encode()


@pytest.mark.parametrize(
    "header",
    [
        b"", b"[]", b"no json", b"[" * 100_000, b'{"a": 1}', entry(dtype="F16"), entry(dtype=["F32"]),
        entry(shape=[5]), entry(shape=[-4]), entry(shape="4"), entry(shape=[True]),
        entry(data_offsets=[0, 8]), entry(data_offsets=[4, 20]), entry(data_offsets=[16, 0]), entry(data_offsets=[0]),
        entry(shape=[2], data_offsets=[0, 8]), entry(data_offsets=[0, 1 << 60]),
    ],
)  # fmt: skip
def test_a_header_that_does_not_describe_the_file_is_refused(tmp_path: Path, header: bytes) -> None:
    write_safetensors(tmp_path / "w", {"a": np.zeros(4, np.float32)}, header)
    with pytest.raises(Malformed):
        read_safetensors(tmp_path / "w")


def test_tensors_that_share_bytes_are_refused(tmp_path: Path) -> None:
    place = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    write_safetensors(tmp_path / "w", {"a": np.zeros(4, np.float32)}, json.dumps({"a": place, "b": place}).encode())
    with pytest.raises(Malformed):
        read_safetensors(tmp_path / "w")


@pytest.mark.parametrize("content", [b"short", struct.pack("<Q", 1 << 40), struct.pack("<Q", (1 << 64) - 1) + b"{}"])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(Malformed):
        read_safetensors(tmp_path / "w")


def test_a_header_past_the_bound_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "w", {}, b"{" + b" " * (1 << 20) + b"}")
    with pytest.raises(Malformed, match="a header of"):
        read_safetensors(tmp_path / "w")
