"""ONNX Runtime, told before it is loaded to keep what happens here to itself.

Since 1.31 its Linux wheels report use to Microsoft by default; the switch is read when the library
is loaded, and the call turns off what may be on all the same.
"""

import os

os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime", "onnxruntime_pybind11_state"]
