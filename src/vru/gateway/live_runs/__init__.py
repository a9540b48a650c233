"""Live camera runs: a source of signals is captured, recorded, and validated as a camera run."""
