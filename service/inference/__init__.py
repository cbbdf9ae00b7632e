"""ONNX Runtime: reads, verifies and runs an artifact. Knows neither requests nor HTTP."""

import os

# The published builds of ONNX Runtime send usage events to their vendor. The runtime reads this
# variable once, before the first session; ORT_DISABLE_TELEMETRY=0 turns the events on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
