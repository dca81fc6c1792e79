"""What a reduction of a PyTorch module is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nucleate._wording import aligned, card
from nucleate.problems import Metric
from nucleate.reduction.certificate import Certificate
from nucleate.reduction.reduction import BeforeAfter

if TYPE_CHECKING:
    import polars as pl


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

    @property
    def widths(self) -> "pl.DataFrame":
        """The table of `layers`: layer, kind, before, after."""
        import polars as pl

        schema = {"layer": pl.String, "kind": pl.String, "before": pl.Int64, "after": pl.Int64}
        return pl.DataFrame(list(self.layers), schema=schema, orient="row")

    @property
    def share_kept(self) -> float:
        """The share of the parameters that is left."""
        return self.parameters.after / self.parameters.before

    def __repr__(self) -> str:
        before, after = self.parameters.before, self.parameters.after
        return f"ModuleReduction({type(self.module).__name__}, {before:,} to {after:,} parameters)"

    def __str__(self) -> str:
        table = [("layer", "units", "before", "after")]
        table += [(layer, kind, str(before), str(after)) for layer, kind, before, after in self.layers]
        lines = [f"{name}: {value}" for name, value in self._said().items()]
        if self.layers:
            lines += ["", *aligned(table, 2)]
        lines += (
            ["", *(f"Left whole: {layer or 'the module itself'}, for {reason}." for layer, reason in self.left_whole)]
            if self.left_whole
            else []
        )
        return "\n".join([*lines, "", str(self.certificate), *self.notes])

    def _said(self) -> dict[str, str]:
        name = self.metric.name
        return {
            "parameters": f"{self.parameters.before:,} → {self.parameters.after:,} ({100 * self.share_kept:.2g} %)",
            "FLOPs a row": f"{self.flops.before:,} → {self.flops.after:,}",
            "bytes": f"{self.bytes.before:,} → {self.bytes.after:,}",
            f"test {name}": f"{self.test.before:.5g} → {self.test.after:.5g}",
            "asked for": self.asked,
        }

    def _repr_html_(self) -> str:
        return card(f"Reduction of {type(self.module).__name__}", self._said())
