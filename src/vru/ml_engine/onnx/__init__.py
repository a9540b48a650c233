"""Detectors in ONNX files: what their cards say, how they are tried, run and read."""
