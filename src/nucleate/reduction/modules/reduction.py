"""What a reduction of a PyTorch module is."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nucleate._wording import aligned, card, in_digits, say_share
from nucleate.baselines import Baseline
from nucleate.problems import Metric
from nucleate.reduction.certificate import Certificate
from nucleate.reduction.modules.beside import say_narrow
from nucleate.reduction.modules.judging import LOSS, Judge
from nucleate.reduction.modules.preparing import working_copy
from nucleate.reduction.modules.rows import Parts, outputs_of
from nucleate.reduction.reduction import BeforeAfter

if TYPE_CHECKING:
    from nucleate.reduction.modules.costs import Timing
    from nucleate.reduction.modules.exports import ModuleExport


@dataclass(frozen=True, eq=False)
class ModuleReduction:
    """A PyTorch module, the smaller one that does its work, and how sure that is.

    Parameters
    ----------
    module : torch.nn.Module
        The smaller one: an ordinary module of the same class, called as the original is.
    original : torch.nn.Module
        The one that was given, unchanged.
    layers : tuple of (str, str, int, int)
        Of each set of units that could be fewer: the first layer that makes them, their kind, and how many there were
        and are.
    left_whole : tuple of (str, str)
        Layers that keep all their units, and why.
    metric : Metric
        The name and direction of what modules were judged by.
    parameters, bytes, flops : BeforeAfter of int
        Bytes are those of parameters and buffers; FLOPs are for one row, as PyTorch counts them.
    validation, test : BeforeAfter of float
        The metric; on the certification rows it was computed once, after the search.
    certificate : Certificate
    asked : str
        What was asked for, such as "keep=0.25".
    notes : tuple of str
        What else to know of how it was made.
    rows : tuple of int
        For calibration, validation and certification.
    parts : Parts
        These rows.
    judge : Judge
        What the metric is computed by.
    narrow : Baseline or None
        A module of the reduced widths that ``train`` trained directly, held against the reduced one.
    """

    module: Any
    original: Any
    layers: tuple[tuple[str, str, int, int], ...]
    left_whole: tuple[tuple[str, str], ...]
    metric: Metric
    parameters: BeforeAfter[int]
    bytes: BeforeAfter[int]
    flops: BeforeAfter[int]
    validation: BeforeAfter[float]
    test: BeforeAfter[float]
    certificate: Certificate
    asked: str
    notes: tuple[str, ...]
    rows: tuple[int, int, int]
    parts: Parts
    judge: Judge
    narrow: Baseline | None = None

    @property
    def widths(self) -> pl.DataFrame:
        """The table of `layers`: layer, kind, before, after."""
        schema = {"layer": pl.String, "kind": pl.String, "before": pl.Int64, "after": pl.Int64}
        return pl.DataFrame(list(self.layers), schema=schema, orient="row")

    @property
    def share_kept(self) -> float:
        """The share of the parameters that is left."""
        return self.parameters.after / self.parameters.before

    @cached_property
    def timings(self) -> "tuple[Timing, ...]":
        """Seconds of a call before and after, by PyTorch and by onnxruntime, for 1 row and for 64; measured when asked.

        Both modules are in float32 (or float64) on the CPU, on one thread, and called in turn.

        Raises
        ------
        ArchitectureError
            If a module cannot be written as ONNX.
        """
        # Timing and export load onnxruntime, which most reductions never need.
        from nucleate.reduction.modules.costs import measure

        original, small = (working_copy(one)[0] for one in (self.original, self.module))
        return measure(original, small, self.parts.certification)

    def export(self, path: str | Path, quantize: bool = False) -> "ModuleExport":
        """Write the smaller module to a file that says what was guaranteed, and run that on the certification rows.

        An ONNX file takes the inputs of the module, for any number of rows. A safetensors file holds its numbers, to
        be loaded into a module of the same widths; these are in its metadata.

        Parameters
        ----------
        path : path
            Of a .onnx or a .safetensors file.
        quantize : bool
            Whether the weights of an ONNX file are to be whole numbers of 8 bits.

        Returns
        -------
        ModuleExport

        Raises
        ------
        SpecError
            For a path where no such file can go, or a .safetensors file that is to be quantized.
        ArchitectureError
            If the module cannot be written as ONNX, or quantized.
        NucleateError
            If the file cannot be written, or does not answer as the module does.
        """
        from nucleate.reduction.modules.exports import export_module

        return export_module(self.module, self.parts.certification, path, quantize, self._judge, self._guarantee)

    def _judge(self, module: Any, answers: Any) -> tuple[BeforeAfter[float] | None, Certificate]:
        """The metric of what a module or its file answers on the certification rows, and how far from the original.

        No metric, where a module itself says it, which a file does not.
        """
        judge, rows = self.judge, self.parts.certification
        original, _ = working_copy(self.original)
        test = None if judge.metric is LOSS else BeforeAfter(self.test.after, judge.value(module, rows, answers))
        return test, judge.certify(self.parts, outputs_of(original, rows), answers)

    def _guarantee(self, test: BeforeAfter[float] | None, certificate: Certificate) -> dict[str, str]:
        """What is kept with a file of the smaller module: what it was, and how sure that is."""
        after = self.test.after if test is None else test.after
        widths = {layer: {"before": before, "after": after} for layer, _, before, after in self.layers}
        return {
            "module": type(self.original).__name__,
            "asked": self.asked,
            "widths": json.dumps(widths),
            f"test_{self.metric.name}": json.dumps({"before": self.test.before, "after": after}),
            **certificate.metadata,
        }

    def __repr__(self) -> str:
        before, after = self.parameters.before, self.parameters.after
        return f"ModuleReduction({type(self.module).__name__}, {before:,} to {after:,} parameters)"

    def __str__(self) -> str:
        table = [("layer", "units", "before", "after")]
        table += [(layer, kind, str(before), str(after)) for layer, kind, before, after in self.layers]
        lines = [f"{name}: {value}" for name, value in self._said().items()]
        if self.layers:
            lines += ["", *aligned(table, 2)]
        if self.left_whole:
            left = (f"Left whole: {layer or 'the module itself'}, for {reason}." for layer, reason in self.left_whole)
            lines += ["", *left]
        beside = [] if self.narrow is None else [say_narrow(self.narrow, self.metric.name)]
        timed = map(str, self.__dict__.get("timings", ()))
        return "\n".join([*lines, "", str(self.certificate), *beside, *timed, *self.notes])

    def _said(self) -> dict[str, str]:
        name = self.metric.name
        return {
            "parameters": f"{self.parameters.before:,} → {self.parameters.after:,} ({say_share(self.share_kept)})",
            "FLOPs a row": f"{self.flops.before:,} → {self.flops.after:,}",
            "bytes": f"{self.bytes.before:,} → {self.bytes.after:,}",
            f"test {name}": f"{in_digits(self.test.before, 5)} → {in_digits(self.test.after, 5)}",
            "asked for": self.asked,
        }

    def _repr_html_(self) -> str:
        return card(f"Reduction of {type(self.module).__name__}", self._said())
