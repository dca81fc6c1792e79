"""A PyTorch module as an ONNX file, and that file run."""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from nucleate._wording import first_line, say_error
from nucleate.errors import ArchitectureError, SpecError
from nucleate.pytorch import import_torch
from nucleate.reduction.modules.rows import Rows, output_of

_TRACED = 3
"""Rows that a module is traced on: another number than any that means something to it."""


class File:
    """An ONNX file that is run by onnxruntime on one thread.

    Parameters
    ----------
    content : bytes
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    @classmethod
    def of(cls, module: Any, rows: Rows, metadata: Mapping[str, str] | None = None) -> "File":
        """A module written for any number of rows.

        Parameters
        ----------
        module : torch.nn.Module
            In evaluation mode, on the CPU.
        rows : Rows
            A few that it is traced on.
        metadata : mapping of str to str, optional

        Raises
        ------
        ArchitectureError
            If it cannot be traced for any number of rows, or uses what ONNX or onnxruntime has not.
        SpecError
            If onnxscript is not installed.
        """
        torch = import_torch()
        name = type(module).__name__
        few = rows.take(torch.as_tensor(np.resize(np.arange(len(rows)), _TRACED)))
        named = few.inputs if isinstance(few.inputs, dict) else {}
        values = () if named else (few.inputs if isinstance(few.inputs, tuple) else (few.inputs,))
        batch = {0: torch.export.Dim.DYNAMIC}
        shapes: Any = {"values": (batch,) * len(values), "named": dict.fromkeys(named, batch)}
        try:
            import onnxscript  # noqa: F401
        except ImportError:
            raise SpecError(
                "onnxscript, by which PyTorch writes ONNX files, is not installed; install it by: pip install "
                "'nucleate[torch]'."
            ) from None
        try:
            with _quietly():
                program = torch.onnx.export(
                    _Outputs.around(module),
                    values,
                    kwargs=named,
                    dynamo=True,
                    verbose=False,
                    dynamic_shapes=shapes,
                    input_names=[*named] or (["x"] if len(values) == 1 else [f"x{at + 1}" for at in range(len(values))]),
                    output_names=["output"],
                )
                model = program.model_proto
            onnx.helper.set_model_props(model, dict(metadata or {}))
            return cls(model.SerializeToString())
        except Exception as error:
            cause = error.__cause__ or error
            raise ArchitectureError(
                f"The {name} cannot be written as ONNX ({say_error(cause)[:200]}); write a .safetensors file, or replace "
                "what PyTorch or onnxruntime cannot export."
            ) from None
