"""Files of a reduced module, each run again and held against the module before anyone relies on it."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._files import write_atomically
from nucleate._wording import say_error, shown
from nucleate.errors import NucleateError, SpecError
from nucleate.exports.files import check_export_path
from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.certificate import Certificate
from nucleate.reduction.modules.onnx_file import OnnxFile
from nucleate.reduction.modules.preparing import working_copy
from nucleate.reduction.modules.rows import Rows, outputs_of
from nucleate.reduction.reduction import BeforeAfter

Judged = tuple[BeforeAfter[float] | None, Certificate]
"""The metric of a file's answers before and after, if it has one, and how far they are from the original's."""

_ROUNDING = 1e-3
"""What another order of float32 operations may cost, over the outputs' root mean square; more is a fault."""


@dataclass(frozen=True)
class Quantized:
    """What 8 bits change.

    Parameters
    ----------
    bytes : BeforeAfter of int
        Of the file, without and with.
    test : BeforeAfter of float, or None
        The metric of the reduced module and of the file on the certification rows; None where a module itself says its
        metric, which a file does not.
    certificate : Certificate
        How far the file's outputs are from those of the original module.
    """

    bytes: BeforeAfter[int]
    test: BeforeAfter[float] | None
    certificate: Certificate


@dataclass(frozen=True)
class ModuleExport:
    """A file of a reduced module that was written and run.

    Parameters
    ----------
    path : Path
    rows : int
        The certification rows, on which it was run.
    largest_difference : float
        Between its outputs on them and those of the reduced module.
    bytes : int
        Of the file.
    quantized : Quantized or None
        What that changed, where it was asked for.

    Examples
    --------
    >>> print(ModuleExport(Path("small.onnx"), rows=100, largest_difference=1e-6, bytes=18054))
    small.onnx: 18,054 bytes, answers as the reduced module does on 100 rows, to 1e-06
    """

    path: Path
    rows: int
    largest_difference: float
    bytes: int
    quantized: Quantized | None = None

    def __str__(self) -> str:
        if self.quantized is None:
            return (
                f"{self.path}: {self.bytes:,} bytes, answers as the reduced module does on {self.rows} rows, to "
                f"{self.largest_difference:.1g}"
            )
        before, test = self.quantized.bytes.before, self.quantized.test
        judged = "" if test is None else f", and its metric on them is {test.after:.5g}, before {test.before:.5g}"
        return (
            f"{self.path}: {self.bytes:,} bytes in 8 bits, {before:,} without; on {self.rows} rows its outputs are up "
            f"to {self.largest_difference:.2g} from those of the reduced module{judged}. Against the original: "
            f"{self.quantized.certificate}"
        )


def export_module(
    module: Any,
    rows: Rows,
    path: str | Path,
    quantize: bool,
    judge: Callable[[Any, Any], Judged],
    guarantee: Callable[..., dict[str, str]],
) -> ModuleExport:
    """What `ModuleReduction.export` does: ``judge`` a module and its answers, and keep what is the ``guarantee``."""
    path = check_export_path(path)
    if not isinstance(quantize, bool):
        raise SpecError(f"`quantize` is {shown(quantize)}; it must be True or False.")
    if quantize and path.suffix != ".onnx":
        raise SpecError(f"The file {path} cannot be quantized, for onnxruntime runs it; choose one that ends in .onnx.")
    work, _ = working_copy(module)
    expected = outputs_of(work, rows)
    made = _onnx if path.suffix == ".onnx" else _safetensors
    # Of the module as it is now: a person may have trained it on.
    content, answers = made(work, rows, guarantee(*judge(work, expected)))
    difference = _largest(answers, expected)
    if not difference <= _ROUNDING * float(expected.double().square().mean().sqrt()):
        raise NucleateError(
            f"The file {path} would depart from the reduced module by {difference:.2g}, so it was not written; "
            "please report this, with the module."
        )
    quantized = None
    if quantize:
        whole, file = len(content), OnnxFile(content).quantized()
        answers = file.outputs(rows)
        difference = _largest(answers, expected)
        test, certificate = judge(work, import_torch().as_tensor(answers))
        content = file.saying({**guarantee(test, certificate), "quantized": "8 bits, dynamic"}).content
        quantized = Quantized(BeforeAfter(whole, len(content)), test, certificate)
    write_atomically(path, content)
    return ModuleExport(path, len(rows), difference, len(content), quantized)


def _onnx(module: Any, rows: Rows, metadata: Mapping[str, str]) -> tuple[bytes, np.ndarray]:
    file = OnnxFile.of(module, rows, metadata)
    try:
        return file.content, file.outputs(rows)
    except Exception as error:
        raise NucleateError(
            f"onnxruntime cannot run the {type(module).__name__} as PyTorch writes it ({say_error(error)[:160]}); "
            "write a .safetensors file."
        ) from None


def _safetensors(module: Any, rows: Rows, metadata: Mapping[str, str]) -> tuple[bytes, np.ndarray]:
    """The module's numbers, each once, and what a module says that has read them."""
    from safetensors.torch import load, save

    torch = import_torch()
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    values = {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    kept = {
        name: value.contiguous().clone()
        for name, value in values.items()
        if first.setdefault((value.data_ptr() if value.numel() else id(value), tuple(value.shape)), name) == name
    }
    content: bytes = save(kept, dict(metadata))
    again = deepcopy(module)
    with torch.no_grad():
        # Buffers that no file holds stay.
        for name, value in again.state_dict().items():
            if name in values:
                value.zero_()
    again.load_state_dict(load(content), strict=False)
    return content, outputs_of(again, rows).numpy()


def _largest(answers: np.ndarray, expected: Any) -> float:
    return float(np.abs(answers - expected.numpy()).max())
