"""The child process in which an unknown ONNX file is read and run for the first time: ``python -m ...trial``.

It takes a question as JSON on standard input, and answers as JSON on standard output. It has no secrets in its
environment and narrow limits; if the file brings it down, that is the answer.
"""

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_GIB = 1024**3


def limit(file: Path, seconds: int) -> None:
    """Bound memory, processor time, files and processes of this process, for good."""
    memory = 4 * _GIB + 8 * file.stat().st_size
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    # Where memory runs out all the same, the kernel is to end this process and not the engine. A kernel that does not
    # let itself be told so has the limits above all the same.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The facts of the file; with ``parameters`` also a trial of its card, on two pictures of noise."""
    import hashlib

    import numpy as np

    from vru.domain import VruError
    from vru.ml_engine.onnx.card import OnnxParameters
    from vru.ml_engine.onnx.detector import OnnxDetector
    from vru.ml_engine.onnx.reading import read_facts

    file = Path(question["file"])
    try:
        content = file.read_bytes()
        facts = read_facts(file, content)
        found = {"facts": facts.model_dump(), "sha256": hashlib.sha256(content).hexdigest()}
        del content
        if question["parameters"] is not None:
            detector = OnnxDetector(OnnxParameters.model_validate(question["parameters"]), file.parent)
            noise = np.random.default_rng(0)
            for height, width in ((360, 640), (97, 61)):
                detector.detect(noise.integers(0, 256, (height, width, 3), np.uint8))
    except VruError as error:
        return {"message": error.message, "fix": error.fix}
    except OSError as error:
        return {"message": f"{file} cannot be read: {error.strerror}.", "fix": "Put the weights beside the card."}
    except MemoryError:
        return {"message": f"{file} needs more memory than a trial may have.", "fix": "Use a smaller model."}
    return found


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    # Results leave by a descriptor of their own: libraries may write to standard output.
    out = os.dup(1)
    os.dup2(2, 1)
    limit(Path(question["file"]), question["seconds"])
    os.write(out, json.dumps(answer(question)).encode())


if __name__ == "__main__":
    main()
