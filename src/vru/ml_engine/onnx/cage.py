"""Read and try an unknown ONNX file in a child process: what is in it cannot take this one down."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from vru.domain import VruError
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.facts import FileFacts

SECONDS = 60
"""Of processor time that a trial may take."""
# Of wall clock it may take more: other programs run too.
_PATIENCE = 5
_FIX = "Export the model again; if it is from somebody else, do not use it."


def inspect(file: Path) -> FileFacts:
    """What a file says of itself.

    Raises:
        VruError: it is missing, no ONNX model, or unfit; see ``read_facts``.
    """
    return FileFacts.model_validate(_ask(file, None)["facts"])


def trial(parameters: OnnxParameters, folder: Path) -> FileFacts:
    """Load the model of a card and let it look at three pictures.

    Raises:
        VruError: it is unfit, does not fit its card, or brought the child down.
    """
    file = folder / parameters.file
    answer = _ask(file, parameters.model_dump(mode="json"))
    return FileFacts.model_validate(answer["facts"])


def _ask(file: Path, parameters: dict[str, Any] | None) -> dict[str, Any]:
    if not file.is_file():
        raise VruError(f"{file} cannot be read: there is no such file.", "Put the weights beside the card.")
    question = {"file": str(file.resolve()), "parameters": parameters, "seconds": SECONDS}
    # Nothing of this process's environment: it holds secrets. One thread each, as memory is limited.
    environment = {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "vru.ml_engine.onnx.trial"],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=_PATIENCE * SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VruError(f"{file} did not end its trial within {_PATIENCE * SECONDS} s.", _FIX) from None
    if child.returncode == -signal.SIGXCPU or child.returncode == -signal.SIGKILL:
        raise VruError(f"{file} took more time or memory in its trial than it may ({SECONDS} s).", _FIX)
    if child.returncode != 0:
        raise VruError(f"{file} broke its trial ({_ending(child)}).", _FIX)
    answer: dict[str, Any] = json.loads(child.stdout)
    if "message" in answer:
        raise VruError(answer["message"], answer["fix"])
    return answer


def _ending(child: "subprocess.CompletedProcess[bytes]") -> str:
    if child.returncode < 0:
        return signal.Signals(-child.returncode).name
    lines = child.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {child.returncode}"
