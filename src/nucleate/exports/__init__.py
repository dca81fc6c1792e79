"""Networks as files that others run: ONNX and safetensors, each run again before anyone relies on it."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.exports.files import Export, export, time_inference
    from nucleate.exports.graph import onnx_bytes
    from nucleate.exports.predicting import Predictions, predict
    from nucleate.exports.session import Session

_HOMES = {
    "files": ("Export", "export", "time_inference"),
    "graph": ("onnx_bytes",),
    "predicting": ("Predictions", "predict"),
    "session": ("Session",),
}

__all__ = ["Export", "Predictions", "Session", "export", "onnx_bytes", "predict", "time_inference"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
