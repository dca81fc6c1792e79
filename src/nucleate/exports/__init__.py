"""Networks as files that others run: ONNX and safetensors, each run again before anyone relies on it."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.exports.files import Export, check_export_path, export, time_inference
    from nucleate.exports.graph import has_onnx_form, onnx_bytes, raw_rows
    from nucleate.exports.predicting import Predictions, predict
    from nucleate.exports.session import Session

_HOMES = {
    "files": ("Export", "check_export_path", "export", "time_inference"),
    "graph": ("has_onnx_form", "onnx_bytes", "raw_rows"),
    "predicting": ("Predictions", "predict"),
    "session": ("Session",),
}

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

__getattr__ = loader(__name__, _HOMES)
