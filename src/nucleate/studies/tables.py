"""The three tables of a study: what their columns are called, and which types they have.

Whoever reads or writes a column takes its name from here. A table's schema depends on the study alone, never on what
its runs reached, so that the files of all chunks are one data set.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import polars as pl

from nucleate._files import CHECKSUM, mark, seal
from nucleate.training import engine

RUN, LR, WEIGHT_DECAY, SEED = "run", "lr", "weight_decay", "seed"
"""Of every table but the trajectories', which have the first alone; the init scale's column is its convention.

Weight decay has a column where a study has several.
"""

STATUS, STAGE, STEPS, NOTES = "status", "stage", "steps", "notes"
MACHINE = "machine"
"""The kind of machine that made a run: where kinds differ, the last bits may."""
TRAIN_LOSS, VALIDATION_LOSS = "train_loss", "validation_loss"
BEST_VALIDATION_LOSS, BEST_STEP = "best_validation_loss", "best_step"
PLATEAU_END, DESCENT_END = "plateau_end", "descent_end"
STEP = "step"

IN_REGIME, CONDENSED_SHARE = "in_regime", "condensed_share"
GAP, AXIS_COSINE = "gap", "axis_cosine"
"""The second singular value as a share of the first; how near a start's axis is to the target direction."""
MEASURED_CONDENSED_SHARE, SAME_SIDES = "measured_condensed_share", "same_sides"
LOWER, UPPER = "lower_10", "upper_10"
"""The interval in which the loss is forecast to be down by 10 %."""

DROPS = engine.DROPS
"""The falls of the training loss, as shares of its start, whose steps are forecast and noted."""


def measured(measure: str, layer: str | int) -> str:
    """The column of a measure of a layer, both by their names, as `nucleate.observe.measure` calls it.

    >>> measured("stable_rank", 2)
    'stable_rank_2'
    """
    return f"{measure}_{layer}"


def effective_neurons(layer: str | int) -> str:
    """The column of a layer's effective neurons: in the results those at the end."""
    return measured("effective_neurons", layer)


def fewest_effective_neurons(layer: str | int) -> str:
    """The column of the fewest effective neurons that a layer had over training."""
    return measured("fewest_effective_neurons", layer)


def directions(layer: str | int) -> str:
    """The column of the number of a layer's directions: in the results those at the end."""
    return measured("directions", layer)


def drop(share: float) -> str:
    """The column of the step at which the loss is down by one of `DROPS`: measured in the results, expected in the
    forecasts.

    >>> drop(0.1)
    'drop_10_percent'
    """
    return f"drop_{share * 100:g}_percent"


def measured_drop(share: float) -> str:
    """The column of the step that was measured, where it stands beside the one forecast."""
    return f"measured_{share * 100:g}_percent"


def metric_on_validation(metric: str) -> str:
    """The column of the metric on the validation rows, at the best validated evaluation."""
    return f"validation_{metric}"


def metric_on_test(metric: str) -> str:
    """The column of the metric on the test rows, at the best validated evaluation."""
    return f"test_{metric}"


def results_schema(
    axes: Mapping[str, pl.DataType], layers: Sequence[str], metric: str, measures: Sequence[str] = ()
) -> pl.Schema:
    """One row a finished run; ``axes`` tell its cell (`StudySpec.axis_types`), and ``measures`` are the study's own."""
    families = ("effective_neurons", "fewest_effective_neurons", "directions", *measures)
    return pl.Schema(
        {
            RUN: pl.Int64(),
            **axes,
            SEED: pl.Int64(),
            STATUS: pl.String(),
            **{measured(family, layer): pl.Float64() for family in families for layer in layers},
            TRAIN_LOSS: pl.Float64(),
            VALIDATION_LOSS: pl.Float64(),
            BEST_VALIDATION_LOSS: pl.Float64(),
            BEST_STEP: pl.Int64(),
            metric_on_validation(metric): pl.Float64(),
            metric_on_test(metric): pl.Float64(),
            STEPS: pl.Int64(),
            STAGE: pl.String(),
            PLATEAU_END: pl.Float64(),
            DESCENT_END: pl.Float64(),
            **{drop(share): pl.Int64() for share in DROPS},
            NOTES: pl.String(),
            MACHINE: pl.String(),
        }
    )


def trajectories_schema(layers: Sequence[str], measures: Sequence[str]) -> pl.Schema:
    """One row an evaluation of a finished run, with all measures of the measured layers."""
    return pl.Schema(
        {
            RUN: pl.Int64(),
            STEP: pl.Int64(),
            TRAIN_LOSS: pl.Float64(),
            VALIDATION_LOSS: pl.Float64(),
            **{measured(measure, layer): pl.Float64() for measure in measures for layer in layers},
        }
    )


def forecasts_schema(axes: Mapping[str, pl.DataType], *, with_outcomes: bool = False) -> pl.Schema:
    """One row a run: what was forecast before it was trained, and ``with_outcomes`` what was measured beside it.

    The axes are as of `results_schema`.
    """
    outcomes = {
        **{measured_drop(share): pl.Int64() for share in DROPS},
        MEASURED_CONDENSED_SHARE: pl.Float64(),
        SAME_SIDES: pl.Float64(),
    }
    return pl.Schema(
        {
            RUN: pl.Int64(),
            **axes,
            SEED: pl.Int64(),
            IN_REGIME: pl.Boolean(),
            drop(0.01): pl.Int64(),
            drop(0.1): pl.Int64(),
            LOWER: pl.Int64(),
            UPPER: pl.Int64(),
            drop(0.3): pl.Int64(),
            CONDENSED_SHARE: pl.Float64(),
            GAP: pl.Float64(),
            AXIS_COSINE: pl.Float64(),
            **(outcomes if with_outcomes else {}),
        }
    )


def table_to_bytes(table: pl.DataFrame, place: str = "") -> bytes:
    """A Parquet file's bytes, with a checksum among its metadata that says in which place of its study it is."""
    buffer = BytesIO()
    table.write_parquet(buffer, metadata={CHECKSUM: mark(place)})
    return seal(buffer.getvalue(), place)


def table_from_bytes(
    content: bytes, schema: pl.Schema, rows: int, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """A table of this schema and at most so many rows, or some of its columns, the rest not being decoded.

    A ValueError says what is wrong with other bytes.
    """
    try:
        # A small file can declare more rows than fit into memory.
        found = pl.Schema(pl.read_parquet_schema(BytesIO(content)))
        wanted = None if columns is None else [name for name in found if name in columns]
        table = pl.read_parquet(BytesIO(content), columns=wanted, n_rows=rows + 1)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise ValueError(f"it is not readable Parquet: {' '.join(str(error).split())}") from None
    if len(table) > rows:
        raise ValueError(f"it has more than {rows} rows")
    if found != schema:
        wrong = [name for name in {**schema, **found} if schema.get(name) != found.get(name)]
        raise ValueError(f"its columns are others in {wrong[0]!r}" if wrong else "its columns are in another order")
    return table
