"""Read an ONNX file without running anything of it: what it says of itself, and what makes it unfit."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from vru.domain import VruError
from vru.ml_engine.onnx.facts import FileFacts, TensorFacts

# Operators that onnxruntime brings along; all others would need a library of somebody else.
_KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
# It holds, or names, a compiled model of a hardware maker.
_FOREIGN = {"EPContext"}
_NAMES = ("names", "class_names", "classes", "labels")


def read_facts(file: Path, content: bytes) -> FileFacts:
    """The facts of a model.

    Raises:
        VruError: it is no ONNX model, needs other files or other people's operators, or has weights that are NaN.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise VruError(f"{file} is not an ONNX model, or is cut short.", "Export or copy it again.") from error
    if not model.graph.output or not model.graph.node:
        raise VruError(f"{file} is not an ONNX model: it has no graph.", "Export it again.")
    _refuse_operators(file, model)
    for name, tensor in _tensors(model):
        _refuse_tensor(file, name, tensor)
    weights = {tensor.name for tensor in model.graph.initializer}
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return FileFacts(
        inputs=[_tensor_facts(value) for value in model.graph.input if value.name not in weights],
        outputs=[_tensor_facts(value) for value in model.graph.output],
        metadata={key: value[:10_000] for key, value in metadata.items()},
        names=_names(metadata),
        opset=max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0),
        producer=model.producer_name,
    )


def _graphs(model: Any) -> Iterator[Any]:
    """Each list of nodes: of the graph, of functions, and of the branches and loops in them."""
    open_lists = [model.graph.node, *(function.node for function in model.functions)]
    while open_lists:
        nodes = open_lists.pop()
        yield nodes
        for node in nodes:
            for attribute in node.attribute:
                open_lists += [graph.node for graph in [attribute.g, *attribute.graphs] if graph.node]


def _refuse_operators(file: Path, model: Any) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for nodes in _graphs(model):
        for node in nodes:
            known = node.domain in _KNOWN_DOMAINS and node.op_type not in _FOREIGN
            if not known and (node.domain, node.op_type) not in own:
                raise VruError(
                    f"{file} uses the operator {node.op_type!r} of {node.domain!r}, which onnxruntime does not have.",
                    "Export the model with standard operators only.",
                )


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
        for tensor in graph.sparse_initializer:
            yield tensor.values.name, tensor.values
            yield tensor.values.name, tensor.indices
        for node in graph.node:
            for attribute in node.attribute:
                graphs += [part for part in [attribute.g, *attribute.graphs] if part.node]
                yield from ((node.name or node.op_type, part) for part in [attribute.t, *attribute.tensors])
    for function in model.functions:
        for node in function.node:
            for attribute in node.attribute:
                yield from ((node.name or node.op_type, part) for part in [attribute.t, *attribute.tensors])


def _refuse_tensor(file: Path, name: str, tensor: Any) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "another file")
        raise VruError(
            f"The weights {name!r} of {file} lie in {place!r}, outside of the file.",
            "Export the model as one file (onnx.save_model with save_as_external_data=False).",
        )
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
        return
    try:
        numbers = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise VruError(f"The weights {name!r} of {file} do not fit their own shape.", "Export it again.") from error
    if np.isnan(numbers).any():
        raise VruError(f"The weights {name!r} of {file} hold NaN.", "Train or export the model again.")


def _tensor_facts(value: Any) -> TensorFacts:
    kind = value.type.tensor_type
    shape = [one.dim_value if one.HasField("dim_value") and one.dim_value > 0 else None for one in kind.shape.dim]
    return TensorFacts(name=value.name, dtype=onnx.TensorProto.DataType.Name(kind.elem_type).lower(), shape=shape)


def _names(metadata: dict[str, str]) -> dict[int, str]:
    """Names of classes: a Python or JSON list or dictionary, or a text with a name a line or between commas."""
    for key in _NAMES:
        text = metadata.get(key, "").strip()
        if not text:
            continue
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = [part.strip() for part in text.replace(",", "\n").splitlines() if part.strip()]
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))
        if isinstance(value, dict) and all(str(number).isdigit() for number in value):
            return {int(number): str(name) for number, name in value.items()}
    return {}
