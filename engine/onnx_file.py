"""ONNX files, written as the few protobuf messages that they take (onnx.proto3).

A package for that alone would be eight times as large as the models that are turned into ONNX here.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_OPSET, _IR = 15, 8
_FLOAT, _INT64 = 1, 7


class OnnxFile:
    """A graph in the making: its nodes come in order, its tensors whenever they are known."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []

    def tensor(self, name: str, array: Array) -> None:
        """Add numbers: 32 bit floats stay, all others become 64 bit integers."""
        kind = _FLOAT if array.dtype == np.float32 else _INT64
        data = np.ascontiguousarray(array, dtype=np.float32 if kind == _FLOAT else np.int64).tobytes()
        dims = b"".join(_number(1, size) for size in array.shape)
        self._tensors.append(dims + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, data))

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add an operation; an attribute is a float, an integer, a text or a row of integers."""
        body = b"".join(_bytes(1, each.encode()) for each in inputs)
        body += b"".join(_bytes(2, each.encode()) for each in outputs)
        body += _bytes(3, outputs[0].encode()) + _bytes(4, op.encode())
        self._nodes.append(body + b"".join(_bytes(5, _attribute(*each)) for each in attributes.items()))

    def encoded(self, name: str, taken: str, shape: Sequence[int], given: Sequence[str]) -> bytes:
        """Return the file's bytes: equal ones for equal graphs.

        Args:
            taken: the input, of this shape.
            given: the outputs.
        """
        graph = b"".join(_bytes(1, node) for node in self._nodes) + _bytes(2, name.encode())
        graph += b"".join(_bytes(5, tensor) for tensor in self._tensors)
        graph += _bytes(11, _value(taken, shape))
        graph += b"".join(_bytes(12, _value(each, ())) for each in given)
        return _number(1, _IR) + _bytes(7, graph) + _bytes(8, _number(2, _OPSET))


def _attribute(name: str, value: Any) -> bytes:
    body = _bytes(1, name.encode())
    match value:
        case float():
            return body + b"\x15" + struct.pack("<f", value) + _number(20, 1)
        case int():
            return body + _number(3, value) + _number(20, 2)
        case str():
            return body + _bytes(4, value.encode()) + _number(20, 3)
    return body + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _value(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, _FLOAT) + (_bytes(2, dims) if shape else b"")
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & (1 << 64) - 1)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*made, value))
