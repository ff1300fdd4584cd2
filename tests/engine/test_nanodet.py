"""What a graph of TensorFlow.js becomes as ONNX: the same numbers, or an error."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.nanodet import NotThisGraph, convert


def graph(home: Path, *nodes: dict[str, Any], **weights: np.ndarray[Any, Any]) -> tuple[Path, Path]:
    weighed = [node(name, "Const") for name in weights]
    told = {
        "modelTopology": {"node": [node("input_1", "Placeholder"), *weighed, *nodes]},
        "weightsManifest": [
            {
                "weights": [
                    {"name": name, "shape": list(one.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
                    for name, one in weights.items()
                ]
            }
        ],
    }
    (home / "nanodet.json").write_text(json.dumps(told))
    (home / "nanodet.bin").write_bytes(b"".join(one.astype("<f2").tobytes() for one in weights.values()))
    return home / "nanodet.json", home / "nanodet.bin"


def node(name: str, op: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def test_an_operation_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotThisGraph, match="Sqrt"):
        convert(*graph(tmp_path, node("a", "Sqrt", "input_1")), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_convolution_that_pads_is_an_error(tmp_path: Path) -> None:
    padding = {"s": base64.b64encode(b"SAME").decode()}
    files = graph(tmp_path, node("a", "Conv2D", "input_1", "k", padding=padding), k=np.zeros((1, 1, 3, 2)))
    with pytest.raises(NotThisGraph, match="pads"):
        convert(*files, tmp_path / "out.onnx")


def test_files_that_are_no_graph_are_an_error(tmp_path: Path) -> None:
    files = graph(tmp_path, node("a", "Transpose", "input_1", "nowhere"))
    with pytest.raises(NotThisGraph, match="nowhere"):
        convert(*files, tmp_path / "out.onnx")


def test_equal_files_become_equal_files(tmp_path: Path) -> None:
    files = graph(tmp_path, node("a", "LeakyRelu", "input_1", alpha={"f": 0.1}))
    convert(*files, tmp_path / "one.onnx")
    convert(*files, tmp_path / "other.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
