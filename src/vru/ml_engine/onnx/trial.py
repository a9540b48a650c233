"""Read an unknown ONNX file, and run it for the first time. Runs in the sandbox, which it may bring down."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.random import default_rng
from onnx import TensorProto, helper

from vru.domain import VruError
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.onnx.facts import FileFacts
from vru.ml_engine.onnx.reading import read_facts

_SIZES = ((360, 640), (97, 61))


def inspect(path: Path, name: str) -> dict[str, Any]:
    """What a file, which is called ``name``, says of itself: ``FileFacts`` as plain data.

    Raises:
        VruError: it is no ONNX model, or unfit; see ``read_facts``.
    """
    return _facts(path, name).model_dump()


def try_out(path: Path, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """As ``inspect``, and let the model look at a grey picture and two of noise, as its card says.

    Raises:
        VruError: it is unfit, or does not fit its card.
    """
    facts = _facts(path, name)
    _tried(path, name, parameters, 1)
    return facts.model_dump()


def passed(path: Path, name: str, parameters: dict[str, Any], threads: int) -> OnnxDetector:
    """As ``try_out``; what it returns is the model, with ``threads`` threads for a picture."""
    _facts(path, name)
    return _tried(path, name, parameters, threads)


def _tried(path: Path, name: str, parameters: dict[str, Any], threads: int) -> OnnxDetector:
    try:
        detector = OnnxDetector(OnnxParameters.model_validate(parameters), path, threads)
        noise = default_rng(0)
        for height, width in _SIZES:
            detector.detect(noise.integers(0, 256, (height, width, 3), np.uint8))
    except VruError as error:
        # It knows the file by its descriptor only.
        raise VruError(error.message.replace(str(path), name), error.fix) from error
    return detector


def _facts(path: Path, name: str) -> FileFacts:
    return read_facts(Path(name), path.read_bytes())


def _load_everything() -> None:
    """Run the smallest model there is. What libraries fetch when they are first needed is there afterwards."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    same = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [same])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.zeros(1, np.float32)})


_load_everything()
