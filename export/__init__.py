"""Nets to ONNX files, proved against PyTorch, published as an artifact. Never serves."""

import os

# The published builds of ONNX Runtime report events to their maker, and look at this once, before
# the first session. ORT_DISABLE_TELEMETRY=0 turns it on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
