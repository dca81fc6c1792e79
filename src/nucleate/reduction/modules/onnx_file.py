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
from jaxtyping import Float

from nucleate._wording import say_error
from nucleate.errors import ArchitectureError
from nucleate.exports.session import on_one_thread
from nucleate.pytorch.exchange import import_extra, import_torch
from nucleate.reduction.modules.rows import Rows, output_of

_TRACED = 3
"""Rows that a module is traced on: not one, which a trace takes for a constant."""


class OnnxFile:
    """An ONNX file that onnxruntime runs on one thread."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._session = on_one_thread(content)

    @classmethod
    def of(cls, module: Any, rows: Rows, metadata: Mapping[str, str] | None = None) -> "OnnxFile":
        """A module in evaluation mode on the CPU, traced on a few of the rows and written for any number of them."""
        torch = import_torch()
        import_extra("onnxscript", "onnxscript, with which PyTorch writes ONNX,")
        names, values = _arguments(rows.take(torch.as_tensor(np.resize(np.arange(len(rows)), _TRACED))))
        try:
            with _quietly():
                program = torch.onnx.export(
                    _outputs_only(torch, module, names if isinstance(rows.inputs, dict) else None),
                    tuple(values),
                    dynamo=True,
                    verbose=False,
                    dynamic_shapes={"given": ({0: torch.export.Dim("rows")},) * len(values)},
                    input_names=names,
                    output_names=["output"],
                )
                model = program.model_proto
            _strip(model.graph)
            onnx.helper.set_model_props(model, dict(metadata or {}))
            return cls(model.SerializeToString())
        except Exception as error:
            raise ArchitectureError(
                f"The {type(module).__name__} cannot be written as ONNX for any number of rows "
                f"({say_error(error.__cause__ or error)[:200]}); write a .safetensors file, or replace what PyTorch or "
                "onnxruntime cannot take."
            ) from None

    def quantized(self) -> "OnnxFile":
        """The same with the weights of matrix products and convolutions as whole numbers of 8 bits.

        What enters these is quantized while it runs, by its own range in each call ("dynamic").
        """
        from onnxruntime.quantization import QuantType, quantize_dynamic

        try:
            with tempfile.TemporaryDirectory() as folder, _quietly():
                done = Path(folder, "quantized.onnx")
                # Signed ones overflow on processors without VNNI, where the file would do something else than here.
                quantize_dynamic(
                    onnx.load_from_string(self.content), done, per_channel=True, weight_type=QuantType.QUInt8
                )
                return OnnxFile(done.read_bytes())
        except Exception as error:
            raise ArchitectureError(
                f"onnxruntime cannot quantize the file ({say_error(error)[:200]}); export it without quantize=True."
            ) from None

    def saying(self, metadata: Mapping[str, str]) -> "OnnxFile":
        """The same with these metadata alone."""
        model = onnx.load_from_string(self.content)
        onnx.helper.set_model_props(model, dict(metadata))
        return OnnxFile(model.SerializeToString())

    def call_of(self, rows: Rows) -> Callable[[], Float[np.ndarray, "n *c"]]:
        """A call for these rows, of no arguments."""
        feeds = {name: value.numpy() for name, value in zip(*_arguments(rows), strict=True)}
        return lambda: self._session.run(None, feeds)[0]

    def outputs(self, rows: Rows) -> Float[np.ndarray, "n *c"]:
        """The outputs for all rows."""
        return np.concatenate([self.call_of(batch)() for batch in rows.batches()])


def _outputs_only(torch: Any, module: Any, names: list[str] | None) -> Any:
    """A module around another one that takes inputs by their places and returns the outputs alone."""

    class Outputs(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *given: Any) -> Any:
            return output_of(
                self.inner(*given) if names is None else self.inner(**dict(zip(names, given, strict=True)))
            )

    return Outputs().eval()


def _strip(graph: Any) -> None:
    """Take out what the exporter tells of the machine it ran on: for each step the lines of code it is from."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for inner in (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")):
        _strip(inner)


def _arguments(rows: Rows) -> tuple[list[str], list[Any]]:
    """The names of the inputs in a file, and their values."""
    if isinstance(rows.inputs, dict):
        return [*rows.inputs], [*rows.inputs.values()]
    values = list(rows.inputs) if isinstance(rows.inputs, tuple) else [rows.inputs]
    return ["x"] if len(values) == 1 else [f"x{at + 1}" for at in range(len(values))], values


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters say of themselves; a failure is told in one sentence."""
    root = logging.getLogger()
    handlers, before = list(root.handlers), root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.handlers[:] = handlers
