"""Read a safetensors file: a bounded JSON header, then plain numbers, mapped and never copied.

Source: the format's description in the README of huggingface/safetensors. Nothing in such
a file can run; what is left to check is that it describes only itself.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_HEADER_BYTES = 1 << 20
_LENGTH_BYTES = 8
_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


class Malformed(ValueError):
    """The file is no safetensors file, or one of a kind that is not read here."""


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Map a file's tensors, by name; they are read-only and loaded as they are touched.

    Raises:
        Malformed: the header is too long, no JSON, or says what the file does not hold.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size < _LENGTH_BYTES:
        raise Malformed("the file is shorter than its head")
    # A plain array over the map: numpy's memmap type would follow every result around.
    whole = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    length = int.from_bytes(whole[:_LENGTH_BYTES].tobytes(), "little")
    start = _LENGTH_BYTES + length
    if length > _MOST_HEADER_BYTES or start > size:
        raise Malformed(f"a header of {length} bytes")
    header = _header(whole[_LENGTH_BYTES:start].tobytes())
    _check_cover([entry["data_offsets"] for entry in header.values()], size - start)
    return {name: _tensor(name, entry, whole[start:]) for name, entry in header.items()}


def _header(raw: bytes) -> dict[str, dict[str, Any]]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise Malformed("the header is no JSON") from exc
    if not isinstance(header, dict):
        raise Malformed("the header is no object")
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if not isinstance(entry, dict) or str(entry.get("dtype")) not in _TYPES:
            raise Malformed(f"{name} has no type that is read here")
        if not _are_sizes(entry.get("shape")) or not _are_sizes(entry.get("data_offsets"), 2):
            raise Malformed(f"{name} has no shape or no place")
    return header


def _are_sizes(value: Any, count: int | None = None) -> bool:
    return (
        isinstance(value, list)
        and (count is None or len(value) == count)
        and all(type(one) is int and 0 <= one < 1 << 48 for one in value)
    )


def _check_cover(places: list[list[int]], size: int) -> None:
    """Tensors lie one after the other and fill the file: no byte twice, none unaccounted for."""
    at = 0
    for begin, end in sorted(places):
        if begin != at or end < begin:
            raise Malformed(f"the tensors overlap or leave a gap at byte {at}")
        at = end
    if at != size:
        raise Malformed(f"the tensors take {at} bytes of {size}")


def _tensor(name: str, entry: dict[str, Any], data: NDArray[np.uint8]) -> NDArray[Any]:
    dtype, shape = _TYPES[entry["dtype"]], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise Malformed(f"{name} takes {end - begin} bytes, which is not its shape")
    tensor: NDArray[Any] = np.frombuffer(data[begin:end], dtype)
    return tensor.reshape(shape)
