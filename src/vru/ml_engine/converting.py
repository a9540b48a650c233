"""``python -m vru.ml_engine.converting IN.tflite OUT.onnx``: TensorFlow Lite to ONNX, the same bytes each time."""

import sys
from pathlib import Path

import onnx


def in_one_order(model: onnx.ModelProto) -> bytes:
    """The model as bytes, with weights and nodes in an order of their names: converters leave it to chance."""
    graph = model.graph
    weights = sorted(graph.initializer, key=lambda tensor: tensor.name)
    shapes = sorted(graph.value_info, key=lambda value: value.name)
    waiting = sorted(graph.node, key=lambda node: node.output[0])
    known = {tensor.name for tensor in weights} | {value.name for value in graph.input} | {""}
    nodes = []
    while waiting:
        # Each node comes after those whose outputs it takes; StopIteration would mean a circle.
        node = next(node for node in waiting if known.issuperset(node.input))
        waiting.remove(node)
        nodes.append(node)
        known.update(node.output)
    for field, values in (("initializer", weights), ("value_info", shapes), ("node", nodes)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    return bytes(model.SerializeToString(deterministic=True))


def main(source: Path, target: Path) -> None:
    """Convert one file."""
    import tflite2onnx

    tflite2onnx.convert(str(source), str(target))
    target.write_bytes(in_one_order(onnx.load(target, load_external_data=False)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
