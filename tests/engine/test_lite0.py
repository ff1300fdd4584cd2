"""What a file of PyTorch's becomes as ONNX: the very numbers in it, or an error."""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.lite0 import NotTheseWeights, convert
from engine.models import from_package
from engine.weights import TAGS

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def saved(path: Path, table: bytes, keys: list[str], *storages: np.ndarray[Any, Any]) -> Path:
    """Write a file as PyTorch wrote them: five pickles, then each storage with its length."""
    parts = [pickle.dumps(one, protocol=2) for one in (MAGIC, PROTOCOL, {"little_endian": True})]
    rows = [struct.pack("<q", one.size) + one.tobytes() for one in storages]
    path.write_bytes(b"".join([*parts, table, pickle.dumps(keys, protocol=2), *rows]))
    return path


def test_what_is_not_expected_in_a_file_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    table = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    with pytest.raises(NotTheseWeights, match=r"os\.system is not expected"):
        convert(saved(tmp_path / "x.pth", table, []), tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.pth"]


@pytest.mark.parametrize("body", [b"", b"x", pickle.dumps(1), pickle.dumps(MAGIC) + pickle.dumps(1)])
def test_a_file_that_is_none_of_pytorch_is_an_error(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(body)
    with pytest.raises(NotTheseWeights):
        convert(tmp_path / "x.pth", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_without_the_weights_is_an_error(tmp_path: Path) -> None:
    table = pickle.dumps(OrderedDict(), protocol=2)
    with pytest.raises(NotTheseWeights, match="_conv_stem"):
        convert(saved(tmp_path / "x.pth", table, []), tmp_path / "out.onnx")


def tensor(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A table with one tensor, ``_conv_stem.weight``, as PyTorch pickles it."""
    numbers = b"".join(b"(" + b"".join(b"I%d\n" % one for one in row) + b"t" for row in (shape, strides))
    storage = b"(S'storage'\nctorch\nFloatStorage\nS'7'\nS'cpu'\nI4\nNtQ"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n" % offset + numbers + b"I00\nNtR"
    return b"(dS'_conv_stem.weight'\n" + made + b"s."


def test_a_tensor_that_leaves_its_storage_is_an_error(tmp_path: Path) -> None:
    storage = np.arange(4, dtype="<f4")
    with pytest.raises(NotTheseWeights, match="leaves its storage"):
        convert(saved(tmp_path / "x.pth", tensor(1, (2, 2), (2, 1)), ["7"], storage), tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("strides", "numbers"), [((2, 1), [[0.0, 1.0], [2.0, 3.0]]), ((1, 2), [[0.0, 2.0], [1.0, 3.0]])]
)
def test_numbers_lie_as_their_strides_say(tmp_path: Path, strides: tuple[int, int], numbers: list[list[float]]) -> None:
    from engine.lite0 import _tensors

    path = saved(tmp_path / "x.pth", tensor(0, (2, 2), strides), ["7"], np.arange(4, dtype="<f4"))
    with path.open("rb") as file:
        assert _tensors(file)["_conv_stem.weight"].tolist() == numbers


@pytest.mark.slow
def test_the_true_file_becomes_the_expected_one(tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    from_package(TAGS, tmp_path / "fresh")
    TAGS.check(tmp_path / "fresh")
