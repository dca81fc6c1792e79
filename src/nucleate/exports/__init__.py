"""Networks as files that others run: ONNX and safetensors, each run again before anyone relies on it."""

from nucleate.exports.files import Export, check_export_path, export, time_inference

__all__ = [
    "Export",
    "check_export_path",
    "export",
    "time_inference",
]
