"""What a position is, and what it is worth: rules, networks and chess engines."""

import os

# ONNX Runtime reports its use to its maker, unless this is set before it is imported; only this package imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
