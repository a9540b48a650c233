"""What an ONNX file says of itself."""

from pydantic import BaseModel


class TensorFacts(BaseModel):
    """An input or output. A dimension without a fixed length is None."""

    name: str
    dtype: str
    shape: list[int | None]


class FileFacts(BaseModel):
    """What a file says of itself. ``names`` are those of its classes, where its metadata hold them."""

    inputs: list[TensorFacts]
    outputs: list[TensorFacts]
    metadata: dict[str, str]
    names: dict[int, str]
    opset: int
    producer: str
