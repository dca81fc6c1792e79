"""What the page's script draws: loss curves and snapshots of the neurons, small enough to travel inside the page."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from nucleate.devices import single_blas_thread
from nucleate.figures.run import in_plane, unit_vectors
from nucleate.observe import Snapshot, cosine_similarity, leading_order
from nucleate.observe.snapshots import spaced
from nucleate.reporting.words import Texts, name_cell
from nucleate.studies import Cell, Findings, tables
from nucleate.training import evaluation_steps

SNAPSHOT_CHARACTERS = 2_500_000
"""About how much of the page the snapshots of all cells may take; it decides how many neurons are shown."""
MOST_NEURONS, FEWEST_NEURONS = 48, 8
MOST_RUNS, FEWEST_OF_CELL = 2000, 3
"""How many runs the page draws and lists, and of a cell at least; its sentences and maps are about all of them."""


def payload(findings: Findings, texts: Texts) -> dict[str, Any]:
    """The curves of the runs shown and the snapshots of every cell's first seed, for the page's script."""
    study, spec = findings.study, findings.study.spec
    shown = runs_shown(findings)
    columns = [tables.TRAIN_LOSS, tables.VALIDATION_LOSS]
    curves = study.trajectories_of([run for runs in shown for run in runs], columns).partition_by("run", as_dict=True)
    taken = [study.snapshots(cell.runs[0]) for cell in findings.cells]
    neurons = neurons_shown(sum(map(len, taken)) * len(findings.layers))
    forecasts, name = study.forecasts, texts["runs"]["layer_option"]
    with single_blas_thread():
        cells = [
            {
                "name": name_cell(spec, cell, texts),
                "curves": [_curve(curves[run,]) for run in runs],
                "forecast": _forecast(forecasts, cell),
                "snapshots": _snapshots(snapshots, neurons) if snapshots else None,
            }
            for cell, runs, snapshots in zip(findings.cells, shown, taken, strict=True)
        ]
    return {
        "texts": {**texts["script"], **{name: texts["runs"][name] for name in ("directions", "directions_polar")}},
        "steps": evaluation_steps(spec.steps, spec.evaluations).tolist(),
        "last": spec.steps,
        "selected": findings.cells.index(findings.recommended) if findings.trained else 0,
        "layers": [name.format(layer=layer, width=width) for layer, width in findings.layers.items()],
        "names": list(findings.layers),
        "cells": cells,
    }


def runs_shown(findings: Findings) -> list[tuple[int, ...]]:
    """Of each cell the runs that the page draws and lists: all, or where they are many the first seeds."""
    of_cell = max(FEWEST_OF_CELL, MOST_RUNS // len(findings.cells))
    return [cell.runs[:of_cell] for cell in findings.cells]


def neurons_shown(layers_and_snapshots: int) -> int:
    """As many neurons as the characters allow, each three numbers and a cosine with every other."""
    bytes_each = 0.75 * SNAPSHOT_CHARACTERS / max(layers_and_snapshots, 1)
    return int(np.clip((2 * bytes_each + 6.25) ** 0.5 - 2.5, FEWEST_NEURONS, MOST_NEURONS))


def _curve(run: pl.DataFrame) -> list[list[float]]:
    """Empty for a run whose loss is NaN at its start: JSON has no NaN."""
    losses = (run[name].drop_nans() for name in ("train_loss", "validation_loss"))
    return [[float(f"{loss:.5g}") for loss in of_kind] for of_kind in losses]


def _forecast(forecasts: pl.DataFrame, cell: Cell) -> dict[str, Any] | None:
    """When the plateau was forecast to end, and the widest interval, over the cell's seeds."""
    if forecasts.is_empty():
        return None
    rows = forecasts.filter(pl.col("run").is_in(cell.runs)).drop_nulls("drop_1_percent")
    if rows.is_empty():
        return None
    ten = rows.drop_nulls("drop_10_percent")
    return {
        "end": rows["drop_1_percent"].median(),
        "interval": [ten["lower_10"].min(), ten["upper_10"].max()] if len(ten) else None,
        "sure": bool(rows["in_regime"].all()),
    }


def _snapshots(snapshots: Sequence[Snapshot], neurons: int) -> dict[str, Any]:
    layers = range(len(snapshots[0].directions))
    return {
        "steps": [int(taken.step) for taken in snapshots],
        "layers": [_layer(snapshots, layer, neurons) for layer in layers],
    }


def _layer(snapshots: Sequence[Snapshot], layer: int, neurons: int) -> dict[str, Any]:
    """One layer over time, its singular values relative to the largest."""
    rows = spaced(len(snapshots[0].directions[layer]), neurons)
    unit = unit_vectors(snapshots, layer)[:, rows]
    points, sizes = (values[:, rows] for values in in_plane(snapshots, layer))
    singular = np.stack([taken.singular_values[layer] for taken in snapshots])
    singular = singular / np.maximum(singular[:, :1], np.finfo(np.float32).tiny)
    return {"polar": unit.shape[2] == 2, **pictures(list(map(cosine_similarity, unit)), points, sizes, singular)}


def pictures(
    cosines: Sequence[Float[np.ndarray, "k k"]],
    points: Float[np.ndarray, "snapshots k 2"],
    sizes: Float[np.ndarray, "snapshots k"],
    singular: Float[np.ndarray, "snapshots r"],
) -> dict[str, Any]:
    """What is drawn of units over time; whole numbers of a byte each, a snapshot after the other.

    ``cosine``: the upper triangle without its diagonal, row by row, in units of 1/127. ``points``: two coordinates of
    each unit, in the same units. ``sizes``: amplitudes relative to the snapshot's largest, in units of 1/255.
    ``singular`` values are in float32.
    """
    upper = np.triu_indices(len(cosines[0]), 1)
    orders = map(leading_order, cosines)
    triangles = [cosine[np.ix_(order, order)][upper] for cosine, order in zip(cosines, orders, strict=True)]
    return {
        "neurons": len(cosines[0]),
        "cosine": encoded(np.rint(127 * np.array(triangles)).astype(np.int8)),
        "points": encoded(np.rint(127 * points).astype(np.int8)),
        "sizes": encoded(np.rint(255 * sizes).astype(np.uint8)),
        "singular": encoded(singular.astype("<f4")),
        "values": singular.shape[1],
    }


def encoded(numbers: np.ndarray) -> str:
    """The bytes of an array as text."""
    return b64encode(np.ascontiguousarray(numbers).tobytes()).decode()
