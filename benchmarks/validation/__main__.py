"""How runs scale: ``python -m benchmarks.validation [--memory MINUTES]``. Real PostgreSQL, Redis and workers.

The ML engine is a stand-in (``stand_in.py``): what is measured is the workflow and not a model. Exit code 1: a target
was missed.
"""

import os
import sys

import pytest


def main(arguments: list[str]) -> int:
    """Measure with the servers of the tests."""
    if arguments[:1] == ["--memory"]:
        os.environ["VRU_BENCHMARK_MINUTES"] = arguments[1]
        chosen = "memory"
    else:
        chosen = "workers"
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-s", "-k", chosen, "-o", "timeout=3600"]
    return int(pytest.main([*options, "benchmarks/validation/measure.py"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
