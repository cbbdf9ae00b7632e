"""Exports nets to ONNX, verifies them against PyTorch and publishes an artifact. Never serves."""

import os

# The published builds of ONNX Runtime send telemetry to Microsoft; they read this variable once,
# before the first session. ORT_DISABLE_TELEMETRY=0 turns telemetry on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
