"""NanoDet as its package carries it, a TensorFlow.js graph, turned into ONNX; once, when it is fetched.

Weights are 16 bit floats, one after the other in the order of the manifest; convolutions are NHWC. The graph is small
and known, so each of its operations is written here, and any other is an error.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.onnx_file import Array, OnnxFile

Attributes = dict[str, Any]
SIZE = 416
# Scores, then distances, of the three levels: strides of 8, 16 and 32 pixels.
OUTPUTS = ("Identity", "Identity_3", "Identity_1", "Identity_4", "Identity_2", "Identity_5")
# Taken where they are used, or numbers that only shapes are made of.
_TAKEN_WHERE_USED = frozenset({"Const", "Placeholder", "SparseToDense", "AddV2"})


class NotThisGraph(Exception):
    """The files are not the graph that is known here."""


def convert(graph: Path, weights: Path, target: Path) -> None:
    """Write the ONNX file.

    Raises:
        NotThisGraph: an operation or a weight is not as expected.
    """
    told = json.loads(graph.read_text(encoding="utf-8"))
    try:
        made = _Graph(_weights(told["weightsManifest"][0]["weights"], weights.read_bytes()))
        for node in _in_order(told["modelTopology"]["node"]):
            made.add(node)
    except (KeyError, IndexError, ValueError, TypeError) as exc:
        raise NotThisGraph(f"{graph.name}: {exc!r}") from exc
    target.write_bytes(made.encoded())


def _weights(manifest: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, Array]:
    found, at = {}, 0
    for one in manifest:
        kind = one.get("quantization", {}).get("dtype", one["dtype"])
        array = np.frombuffer(data, dtype=np.dtype(kind), count=int(np.prod(one["shape"])), offset=at)
        at += array.nbytes
        found[one["name"]] = array.reshape(one["shape"]).astype(np.float32 if one["dtype"] == "float32" else np.int64)
    return found


def _in_order(nodes: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Nodes after those that they take from."""
    by_name = {node["name"]: node for node in nodes}
    done: set[str] = set()
    for name in by_name:
        waiting = [name]
        while waiting:
            node = by_name[waiting[-1]]
            ahead = [each.partition(":")[0] for each in node.get("input", ())]
            missing = [each for each in ahead if each not in done]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if node["name"] not in done:
                done.add(node["name"])
                yield node


class _Graph:
    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights
        self._file = OnnxFile()

    def add(self, node: dict[str, Any]) -> None:
        """Write a node, whose inputs were written before it.

        Raises:
            NotThisGraph: its operation is not one of NanoDet's.
        """
        op = node["op"]
        if op in _TAKEN_WHERE_USED:
            return
        if op not in _HOW:
            raise NotThisGraph(f"no operation of NanoDet's: {op}")
        _HOW[op](self, node["name"], node.get("input", []), node.get("attr", {}))

    def _pad(self, name: str, inputs: list[str], _: Attributes) -> None:
        pads = self._weights[inputs[1]]
        value = float(self._weights[inputs[2]]) if len(inputs) > 2 else 0.0
        self._file.tensor(f"{name}/pads", np.concatenate((pads[:, 0], pads[:, 1])))
        self._file.tensor(f"{name}/value", np.array(value, dtype=np.float32))
        self._file.node("Pad", [inputs[0], f"{name}/pads", f"{name}/value"], [name])

    def _transpose(self, name: str, inputs: list[str], _: Attributes) -> None:
        self._file.node("Transpose", inputs[:1], [name], perm=self._weights[inputs[1]].tolist())

    def _pool(self, name: str, inputs: list[str], attributes: Attributes) -> None:
        kernel, strides = _ints(attributes["ksize"]), _ints(attributes["strides"])
        self._channels_first(name, inputs[0], "MaxPool", [], kernel_shape=kernel[1:3], strides=strides[1:3])

    def _sum(self, name: str, inputs: list[str], _: Attributes) -> None:
        for each in inputs:
            if each in self._weights:
                self._file.tensor(each, self._weights[each])
        self._file.node("Add", inputs, [name])

    def _leaky_relu(self, name: str, inputs: list[str], attributes: Attributes) -> None:
        self._file.node("LeakyRelu", inputs, [name], alpha=float(attributes["alpha"]["f"]))

    def _concat(self, name: str, inputs: list[str], _: Attributes) -> None:
        self._file.node("Concat", inputs[:-1], [name], axis=int(self._weights[inputs[-1]]))

    def _split(self, name: str, inputs: list[str], _: Attributes) -> None:
        self._file.tensor(f"{name}/sizes", self._weights[inputs[1]])
        axis = int(self._weights[inputs[2]])
        self._file.node("Split", [inputs[0], f"{name}/sizes"], [name, f"{name}:1"], axis=axis)

    def _reshape(self, name: str, inputs: list[str], _: Attributes) -> None:
        # To [1, channels, places]; the channels are what the split before it left.
        self._file.tensor(f"{name}/shape", np.array([1, 80 if ":" not in inputs[0] else 44, -1]))
        self._file.node("Reshape", [inputs[0], f"{name}/shape"], [name])

    def _sigmoid(self, name: str, inputs: list[str], _: Attributes) -> None:
        self._file.node("Sigmoid", inputs, [name])

    def _identity(self, name: str, inputs: list[str], _: Attributes) -> None:
        self._file.node("Identity", inputs, [name])

    def _conv(self, name: str, inputs: list[str], attributes: Attributes) -> None:
        if base64.b64decode(attributes["padding"]["s"]) != b"VALID":
            raise NotThisGraph("a convolution pads")
        kernel = self._weights[inputs[1]]
        self._file.tensor(f"{name}/kernel", np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        strides = _ints(attributes["strides"])[1:3]
        self._channels_first(name, inputs[0], "Conv", [f"{name}/kernel"], strides=strides)

    def _resize(self, name: str, inputs: list[str], attributes: Attributes) -> None:
        if not attributes["half_pixel_centers"]["b"]:
            raise NotThisGraph("a picture is resized otherwise")
        height, width = self._weights[inputs[1]].tolist()
        self._file.tensor(f"{name}/sizes", np.array([height, width]))
        # Batch and channels stay: their sizes are taken from the picture itself.
        self._channels_first(name, inputs[0], "Resize", ["", "", f"{name}/all"], before=f"{name}/sizes", mode="linear")

    def _channels_first(
        self, name: str, picture: str, op: str, more: list[str], *, before: str = "", **attributes: Any
    ) -> None:
        """An operation that ONNX knows for NCHW alone; the runtime takes most of the turns away again."""
        self._file.node("Transpose", [picture], [f"{name}/in"], perm=[0, 3, 1, 2])
        if before:
            self._file.node("Shape", [f"{name}/in"], [f"{name}/shape"], end=2)
            self._file.node("Concat", [f"{name}/shape", before], [f"{name}/all"], axis=0)
        self._file.node(op, [f"{name}/in", *more], [f"{name}/out"], **attributes)
        self._file.node("Transpose", [f"{name}/out"], [name], perm=[0, 2, 3, 1])

    def encoded(self) -> bytes:
        return self._file.encoded("nanodet", "input_1", (1, 3, SIZE, SIZE), OUTPUTS)


_HOW: dict[str, Callable[[_Graph, str, list[str], Attributes], None]] = {
    "Pad": _Graph._pad,
    "PadV2": _Graph._pad,
    "Transpose": _Graph._transpose,
    "Conv2D": _Graph._conv,
    "MaxPool": _Graph._pool,
    "ResizeBilinear": _Graph._resize,
    "Add": _Graph._sum,
    "LeakyRelu": _Graph._leaky_relu,
    "ConcatV2": _Graph._concat,
    "SplitV": _Graph._split,
    "Reshape": _Graph._reshape,
    "Sigmoid": _Graph._sigmoid,
    "Identity": _Graph._identity,
}


def _ints(attribute: Mapping[str, Any]) -> list[int]:
    return [int(one) for one in attribute["list"]["i"]]
