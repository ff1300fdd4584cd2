"""EfficientNet-Lite0 as its package carries it, a file of PyTorch's from before 2020, turned into ONNX; once.

The file is five pickles and then raw numbers. It is read without PyTorch, by a reader that knows the four names that
such a file takes and refuses every other, so nothing in it can run. The graph is not in the file; it is written here.
"""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from engine.onnx_file import Array, OnnxFile

SIZE, VIEWS, CLASSES = 224, 2, 1000
TAKEN, GIVEN = "pixels", "chances"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# Of the sixteen blocks these halve the picture.
_HALVING = frozenset({1, 3, 5, 11})
_EPSILON = 1e-3
_CEILING = np.array(6.0, dtype=np.float32)


class NotTheseWeights(Exception):
    """The file is not the one that is known here."""


def convert(weights: Path, target: Path) -> None:
    """Write the ONNX file: pixels of two views in, the chances of ImageNet's classes out.

    Raises:
        NotTheseWeights: the file is no such file, or lacks a weight.
    """
    try:
        with weights.open("rb") as file:
            tensors = _tensors(file)
        target.write_bytes(_Network(tensors).encoded())
    except (KeyError, IndexError, ValueError, TypeError, EOFError, struct.error, pickle.UnpicklingError) as exc:
        raise NotTheseWeights(f"{weights.name}: {exc!r}") from exc


class _Place(NamedTuple):
    """Where a tensor's numbers lie in its storage; they need not lie in a row."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _place(storage: str, offset: int, shape: Any, strides: Any, *_: Any) -> _Place:
    return _Place(storage, offset, tuple(shape), tuple(strides))


_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _place,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class _Reader(pickle.Unpickler):
    """Reads the four names alone; remembers of which kind each storage is."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.kinds: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not expected") from None

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, *_ = pid
        self.kinds[key] = kind
        return str(key)


def _tensors(file: BinaryIO) -> dict[str, Array]:
    """Read the tensors by name."""
    if (_Reader(file).load(), _Reader(file).load()) != (_MAGIC, _PROTOCOL):
        raise NotTheseWeights("not a file of PyTorch's")
    _Reader(file).load()  # what its machine was like
    reader = _Reader(file)
    places = reader.load()
    storages = {}
    for key in _Reader(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        kind = reader.kinds[key]
        storages[key] = np.frombuffer(file.read(count * kind.itemsize), dtype=kind, count=count)
    return {name: _laid_out(place, storages[place.storage]) for name, place in places.items()}


def _laid_out(place: _Place, storage: Array) -> Array:
    last = place.offset + sum((size - 1) * step for size, step in zip(place.shape, place.strides, strict=True))
    if not 0 <= place.offset <= last < len(storage):
        raise ValueError("a tensor leaves its storage")
    steps = [step * storage.itemsize for step in place.strides]
    return np.lib.stride_tricks.as_strided(storage[place.offset :], place.shape, steps)


class _Network:
    """The layers, each named by what it gives."""

    def __init__(self, tensors: dict[str, Array]) -> None:
        self._tensors = tensors
        self._file = OnnxFile()
        self._file.tensor("floor", np.array(0.0, dtype=np.float32))
        self._file.tensor("ceiling", _CEILING)
        at = self._bounded(self._normed(self._conv(TAKEN, "_conv_stem", 2), "_bn0"))
        for number in range(16):
            at = self._block(at, f"_blocks.{number}.", 2 if number in _HALVING else 1)
        self._end(self._bounded(self._normed(self._conv(at, "_conv_head"), "_bn1")))

    def encoded(self) -> bytes:
        return self._file.encoded("lite0", TAKEN, (VIEWS, 3, SIZE, SIZE), [GIVEN])

    def _block(self, taken: str, name: str, stride: int) -> str:
        at = taken
        if f"{name}_expand_conv.weight" in self._tensors:
            at = self._bounded(self._normed(self._conv(at, f"{name}_expand_conv"), f"{name}_bn0"))
        at = self._bounded(self._normed(self._conv(at, f"{name}_depthwise_conv", stride, deep=True), f"{name}_bn1"))
        at = self._normed(self._conv(at, f"{name}_project_conv"), f"{name}_bn2")
        kernel = self._tensors[f"{name}_project_conv.weight"]
        widened = kernel.shape[0] != self._taken_by(name)
        return at if stride == 2 or widened else self._node("Add", [taken, at], f"{name}sum")

    def _taken_by(self, name: str) -> int:
        """Return how many channels a block takes."""
        expands = self._tensors.get(f"{name}_expand_conv.weight")
        return int(expands.shape[1] if expands is not None else self._tensors[f"{name}_depthwise_conv.weight"].shape[0])

    def _end(self, at: str) -> None:
        at = self._node("GlobalAveragePool", [at], "pooled")
        at = self._node("Flatten", [at], "flat")
        at = self._node("Gemm", [at, self._weight("_fc.weight"), self._weight("_fc.bias")], "scores", transB=1)
        self._node("Softmax", [at], GIVEN, axis=1)

    def _conv(self, at: str, name: str, stride: int = 1, *, deep: bool = False) -> str:
        groups = int(self._tensors[f"{name}.weight"].shape[0]) if deep else 1
        return self._node(
            "Conv", [at, self._weight(f"{name}.weight")], name,
            auto_pad="SAME_UPPER", strides=[stride, stride], group=groups,
        )  # fmt: skip

    def _normed(self, at: str, name: str) -> str:
        parts = [self._weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self._node("BatchNormalization", [at, *parts], name, epsilon=_EPSILON)

    def _bounded(self, at: str) -> str:
        return self._node("Clip", [at, "floor", "ceiling"], f"{at}/bounded")

    def _weight(self, name: str) -> str:
        self._file.tensor(name, self._tensors[name])
        return name

    def _node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._file.node(op, inputs, [output], **attributes)
        return output
