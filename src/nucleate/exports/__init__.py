"""Networks as files that others run: ONNX and safetensors, each run again before anyone relies on it."""

from nucleate.exports.files import Export, check_export_path, export, time_inference
from nucleate.exports.graph import Session, has_onnx_form, onnx_bytes, raw_rows
from nucleate.exports.predicting import Predictions, predict

__all__ = [
    "Export",
    "Predictions",
    "Session",
    "check_export_path",
    "export",
    "has_onnx_form",
    "onnx_bytes",
    "predict",
    "raw_rows",
    "time_inference",
]
