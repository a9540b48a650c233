"""Detectors in ONNX files: what their cards say, how they are tried, run and read."""

import os

# onnxruntime's own builds for Linux report their use to their maker, and keep an id of the machine below ~/.cache. Not
# from here. It reads this when it is first imported, which nothing outside of this folder does.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
