"""What was found in a model: the measures of every layer, and what of it was not measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from nucleate._wording import aligned, card, count, plain
from nucleate.inspection.measuring import Picture

SCHEMA = {
    "layer": pl.String,
    "kind": pl.String,
    "units": pl.Int64,
    "measure": pl.String,
    "value": pl.Float64,
    "null": pl.Float64,
    "error": pl.Float64,
    "head": pl.Int64,
}
LEFT_OUT = {"parameter": pl.String, "reason": pl.String}
SHOWN = (
    "directions",
    "condensed_pairs",
    "effective_neurons",
    "stable_rank",
    "effective_rank",
    "norm",
    "relative_distance",
)
"""The measures of a layer's line."""
_MOST_LINES = 24

Place = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Inspection:
    """What `inspect` found in a model.

    Parameters
    ----------
    name : str
        Of the model, or of its file.
    table : polars DataFrame
        A row a layer and measure, with the columns ``layer``, ``kind`` (what its units are), ``units`` (how many),
        ``measure``, ``value``, ``null`` (what a random matrix of the same shape and row norms gives, one draw but for
        condensed pairs, where it is the expectation), ``error`` (the standard error of a value of more than 2,000 units
        that samples estimate) and ``head`` (of a single head its number).
    left_out : polars DataFrame
        ``parameter`` and ``reason``: everything that was not measured.
    notes : tuple of str
        What was decided where the model does not say it.
    pictures : mapping of (str, str) to Picture
        Of each layer and kind the cosines between up to 48 evenly spaced units, biases included, how long these are,
        and the largest singular values.
    """

    name: str
    table: pl.DataFrame
    left_out: pl.DataFrame
    notes: tuple[str, ...] = ()
    pictures: Mapping[Place, Picture] = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> pl.DataFrame:
        """A row a layer, without single heads: its measures, and beside some what is random."""
        return layers_in(self.table)

    @property
    def heads(self) -> int:
        """How many single heads of attention are in the table, those of queries, keys, values and outputs each."""
        return heads_in(self.table)

    def __repr__(self) -> str:
        return "\n".join([f"Inspection of {plain(self.name)}: {self._said}", *first_lines(self.layers)])

    @property
    def _said(self) -> str:
        heads = f", {count(self.heads, 'single head')}" if self.heads else ""
        return f"{count(len(self.layers), 'layer')}{heads}, {count(len(self.left_out), 'parameter')} left out"

    def _repr_html_(self) -> str:
        layers = self.layers.head(_MOST_LINES)
        rows = {
            f"{row['layer']} ({row['kind']})": ", ".join(
                said for measure in SHOWN if measure in row and (said := _beside(measure, row))
            )
            for row in layers.iter_rows(named=True)
        }
        return card(f"Inspection of {self.name}", {"in all": self._said, **rows})

    def plot(self) -> Any:
        """The cosines between the units of up to 12 layers, and for every layer two measures beside what is random.

        Returns
        -------
        matplotlib Figure
        """
        from nucleate.inspection.drawing import draw

        return draw(self.name, self.table, self.pictures)


def heads_in(table: pl.DataFrame) -> int:
    """How many single heads of attention an inspection's table has."""
    return table.filter(pl.col("head").is_not_null()).select("layer", "kind", "head").n_unique()


def layers_in(table: pl.DataFrame) -> pl.DataFrame:
    """A row a layer of an inspection's table, without single heads."""
    whole = table.filter(pl.col("head").is_null())
    order = whole.select("layer", "kind", "units").unique(maintain_order=True)
    for measure in SHOWN:
        rows = whole.filter(pl.col("measure") == measure)
        if rows.is_empty():
            continue
        named = rows.select("layer", "kind", pl.col("value").alias(measure), pl.col("null").alias(f"{measure}_null"))
        order = order.join(named, on=["layer", "kind"], how="left", maintain_order="left")
    return order.select(column for column in order if column.null_count() < len(order))


_BESIDE = {"directions": "{:.0f}", "condensed_pairs": "{:.2%}", "norm": "{:.3g}", "relative_distance": "{:.3g}"}


def _beside(measure: str, row: Mapping[str, Any]) -> str:
    """A measure with what is random in brackets."""
    value, null, said = row[measure], row.get(f"{measure}_null"), _BESIDE.get(measure, "{:.1f}")
    if value is None:
        return ""
    return said.format(value) + ("" if null is None else f" ({said.format(null)})")


def first_lines(layers: pl.DataFrame) -> list[str]:
    """`as_lines` of the first 24 layers, and how many more there are."""
    more = len(layers) - _MOST_LINES
    return as_lines(layers.head(_MOST_LINES)) + ([f"... and {more} more; .layers has them all"] if more > 0 else [])


def as_lines(layers: pl.DataFrame) -> list[str]:
    """The table of `Inspection.layers` as text, with what is random in brackets."""
    measures = [name for name in SHOWN if name in layers.columns]
    cells = [["layer", "kind", "units", *(name.replace("_", " ") for name in measures)]]
    for row in layers.iter_rows(named=True):
        cells.append([plain(row["layer"]), row["kind"], str(row["units"]), *(_beside(name, row) for name in measures)])
    return aligned(cells, 2)
