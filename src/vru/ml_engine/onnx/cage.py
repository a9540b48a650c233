"""Have an unknown ONNX file read and tried in the sandbox: what is in it cannot take this process down."""

from pathlib import Path
from typing import Any

from vru.domain import VruError
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.facts import FileFacts
from vru.sandbox.errors import FileUnreadableError, naming
from vru.sandbox.limits import Limits
from vru.sandbox.pool import Sandbox

SECONDS = 60
"""Of processor time that a trial may take."""
# Of wall clock it may take more: other programs run too.
_PATIENCE = 5
_GIB = 1024**3
FIX = "Export the model again; if it is from somebody else, do not use it."


def inspect(file: Path) -> FileFacts:
    """What a file says of itself.

    Raises:
        VruError: it is missing, no ONNX model, or unfit; see ``read_facts``.
    """
    return _ask("inspect", file)


def trial(parameters: OnnxParameters, folder: Path) -> FileFacts:
    """Load the model of a card and let it look at three pictures.

    Raises:
        VruError: it is unfit, does not fit its card, or brought the child down.
    """
    return _ask("try_out", folder / parameters.file, parameters=parameters.model_dump(mode="json"))


def load_limits(size_bytes: int) -> Limits:
    """What loading a file of this size, and trying it, may take."""
    return Limits(memory_bytes=4 * _GIB + 8 * size_bytes, cpu_s=SECONDS, wall_s=_PATIENCE * SECONDS)


def _ask(function: str, file: Path, **arguments: Any) -> FileFacts:
    if not file.is_file():
        raise VruError(f"{file} cannot be read: there is no such file.", "Put the weights beside the card.")
    limits = load_limits(file.stat().st_size)
    # One child for each file, so that no file can have an effect on what is said of the next one.
    sandbox = Sandbox(["vru.ml_engine.onnx.trial"], children=1, spare=0, niceness=0)
    try:
        reader = f"vru.ml_engine.onnx.trial:{function}"
        with naming(file):
            facts = sandbox.call(reader, file, dict[str, Any], limits=limits, name=str(file), **arguments)
    except FileUnreadableError as error:
        raise VruError(error.message, FIX) from error
    except OSError as error:
        raise VruError(f"{file} cannot be read: {error.strerror}.", "Put the weights beside the card.") from error
    finally:
        sandbox.close()
    return FileFacts.model_validate(facts)
