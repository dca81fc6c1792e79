"""Pictures of the whole grid of a study: losses, neurons at start and end, the phase map, what was forecast."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nucleate.errors import StudyError
from nucleate.figures.run import snapshots_of, unit_vectors
from nucleate.figures.style import colors, cosine_map, for_print, panels
from nucleate.init_scale import InitScale
from nucleate.observe import cosine_similarity, neurons
from nucleate.studies import Study, summarize, tables
from nucleate.studies.summary import finished_runs, measured_layers
from nucleate.training import BLOWN_UP


@for_print
def loss_by_scale(study: Study) -> Figure:
    """Training loss over time, a panel a learning rate and a color an init scale; thin lines runs, thick ones medians.

    Where there are several weight decays, each rate has a panel for each of them.

    Runs that diverged or became NaN are left out.

    Parameters
    ----------
    study : Study

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        If no run is finished.
    """
    spec = study.spec
    runs = finished_runs(study).select("run", *spec.axes, "status").filter(~pl.col(tables.STATUS).is_in(BLOWN_UP))
    curves = study.trajectories_of(runs["run"].to_list(), [tables.TRAIN_LOSS]).join(runs, on="run")
    beside = _others(study, spec.convention)
    figure, axes = panels(len(beside), width=2.1, height=2.3, beside=0.9, sharey=True)
    by_scale = colors(len(spec.scales))
    for panel, others in zip(axes, beside, strict=True):
        for scale, color in zip(spec.ordered_scales, by_scale, strict=True):
            cell = curves.filter(*_are(others), pl.col(spec.convention) == spec.in_tables(scale))
            for _, run in cell.group_by("run", maintain_order=True):
                panel.plot(run["step"] + 1, run["train_loss"], color=color, lw=0.5, alpha=0.5)
            median = cell.group_by("step").agg(pl.col("train_loss").median()).sort("step")
            panel.plot(median["step"] + 1, median["train_loss"], color=color, lw=1.3, label=f"{scale:g}")
        panel.set(title=_named(others), xlabel="step + 1", xscale="log", yscale="log")
    axes[0].set_ylabel("training loss")
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, title=spec.convention, loc="outside right center", frameon=False)
    return figure


@for_print
def cosine_heat_maps(study: Study, lr: float | None = None, weight_decay: float | None = None) -> Figure:
    """Cosine similarity of the neurons of each layer, at start and end, for the smallest and the largest scale.

    All neurons of a network are shown; of another model those of the first and the last snapshot, at most 48 a layer.
    Each map is ordered by its leading eigenvector.

    Parameters
    ----------
    study : Study
    lr, weight_decay : float, optional
        Those of the runs shown, of which it is the first seed's; by default those of the lowest validation loss in the
        study.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        If no run of that learning rate and the first seed is finished, no snapshots of it are kept, or the study's
        model has no measured layers.
    """
    spec, layers = study.spec, measured_layers(study)
    given = {tables.LR: lr} if lr is not None else {}
    given |= {tables.WEIGHT_DECAY: weight_decay} if weight_decay is not None and len(spec.weight_decays) > 1 else {}
    chosen = _best(study, given) | given
    first = finished_runs(study).filter(*_are(chosen), pl.col("seed") == spec.seeds[0])
    runs = sorted(first.rows(named=True), key=lambda run: -InitScale(spec.convention, run[spec.convention]).smallness)
    if not runs:
        raise StudyError(f"{study.path} has no finished run of {_named(chosen)} and the first seed.")
    figure = Figure(figsize=(3.1 * len(layers) + 0.7, 3.5), layout="constrained")
    axes = figure.subplots(2, 2 * len(layers), squeeze=False)
    for row, run in zip(axes, (runs[0], runs[-1]), strict=True):
        start, end = _incoming(study, run["run"])
        maps = [
            (f"layer {layer}, {when}", vectors[index])
            for index, layer in enumerate(layers)
            for when, vectors in (("start", start), ("end", end))
        ]
        for panel, (title, vectors) in zip(row, maps, strict=True):
            image = cosine_map(panel, cosine_similarity(vectors))
            panel.set_title(title)
        row[0].set_ylabel(f"{spec.convention} {spec.from_tables(run[spec.convention]):g}", fontsize="medium")
    figure.colorbar(image, ax=axes, label="cosine similarity", shrink=0.7)
    figure.suptitle(f"Neurons' input directions, {_named(chosen)}, seed {spec.seeds[0]}")
    return figure


@for_print
def phase_map(study: Study) -> Figure:
    """Init scale against learning rate, colored by the fewest effective neurons over training; a panel a layer.

    Where there are several weight decays, they take the place of the learning rates, and each rate has its panels.

    Medians over the seeds that trained; a cell in which none did is hatched and says what happened.

    Parameters
    ----------
    study : Study

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        If no run is finished, or the study's model has no measured layers.
    """
    spec, layers = study.spec, measured_layers(study)
    finished_runs(study)
    summary = summarize(study)
    upright = tables.WEIGHT_DECAY if tables.WEIGHT_DECAY in spec.axes else tables.LR
    below = _others(study, spec.convention, upright)
    scales, values = spec.ordered_scales, sorted(spec.axes[upright])
    figure = Figure(
        figsize=(0.6 + 0.48 * len(scales) * len(layers) + 0.7, 0.55 + len(below) * (0.35 + 0.35 * len(values))),
        layout="constrained",
    )
    grid = figure.subplots(len(below), len(layers), sharey=True, squeeze=False)
    norm = LogNorm(1, max(*layers.values(), 2))
    for (others, layer), panel in zip(itertools.product(below, layers), grid.flat, strict=True):
        counts = np.full((len(values), len(scales)), np.nan)
        for cell in summary.filter(*_are(others)).iter_rows(named=True):
            row, column = values.index(cell[upright]), scales.index(spec.from_tables(cell[spec.convention]))
            value = cell[tables.fewest_effective_neurons(layer)]
            if value is None:
                panel.add_patch(_hatched(row, column))
                panel.text(column, row, cell["status"].split()[-1], ha="center", va="center", fontsize=6)
                continue
            counts[row, column] = value
            # Text is dark on the light end of the color map.
            color = "black" if norm(max(value, 1.0)) > 0.6 else "white"
            panel.text(column, row, f"{value:.1f}", ha="center", va="center", color=color)
        image = panel.imshow(np.maximum(counts, 1.0), norm=norm, cmap="viridis", origin="lower", aspect="auto")
        panel.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
        panel.set_yticks(range(len(values)), [f"{value:g}" for value in values])
    for (layer, width), top, bottom in zip(layers.items(), grid[0], grid[-1], strict=True):
        top.set_title(f"hidden layer {layer} of width {width}")
        bottom.set_xlabel(f"init scale ({spec.convention})")
    for others, first in zip(below, grid[:, 0], strict=True):
        first.set_ylabel(_AXIS_NAMES[upright] + (f"\n({_named(others)})" if len(below) > 1 else ""))
    figure.colorbar(image, ax=grid, label="fewest effective neurons")
    return figure


@for_print
def forecast_against_measured(study: Study) -> Figure:
    """The step at which the loss had fallen by 10 %: measured against forecast, a point a run, with its interval.

    Filled points are runs in the theory's regime.

    Parameters
    ----------
    study : Study

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        If the study has no forecasts, with the reason, or none came to pass yet.
    """
    spec, forecasts = study.spec, study.forecasts
    if forecasts.is_empty():
        raise StudyError(f"{study.path} holds no forecasts. {study.no_forecast or 'Their files are gone.'}")
    names = {"forecast": "drop_10_percent", "lower": "lower_10", "upper": "upper_10"}
    expected = forecasts.select("run", "in_regime", **{name: pl.col(column) for name, column in names.items()})
    results = finished_runs(study).select("run", spec.convention, measured="drop_10_percent")
    runs = results.join(expected, on="run").drop_nulls(["forecast", "measured"])
    if runs.is_empty():
        raise StudyError(
            f"{study.path} has no run whose loss fell by 10 % as forecast; train longer or with less noise."
        )
    figure, (panel,) = panels(1, width=3.5, height=2.7)
    scales = spec.ordered_scales
    inner = set(map(spec.from_tables, runs.filter("in_regime")[spec.convention]))
    for scale, color in zip(scales, colors(len(scales)), strict=True):
        for inside in (True, False):
            some = runs.filter((pl.col(spec.convention) == spec.in_tables(scale)) & (pl.col("in_regime") == inside))
            if some.is_empty():
                continue
            expected_steps = some["forecast"].to_numpy()
            panel.errorbar(
                expected_steps,
                some["measured"],
                xerr=np.abs(some.select("lower", "upper").to_numpy().T - expected_steps),
                fmt="o",
                color=color,
                markerfacecolor=color if inside else "none",
                ms=3.5,
                lw=0.8,
                label=f"{scale:g}" if inside or scale not in inner else None,
            )
    steps = runs.select("forecast", "measured").to_numpy()
    ends = [max(1, int(steps.min())), int(steps.max())]
    panel.plot(ends, ends, color="0.5", lw=0.8, zorder=0)
    panel.set(xscale="log", yscale="log", xlabel="step forecast", ylabel="step measured", title="Loss down by 10 %")
    if not runs["in_regime"].all():
        panel.errorbar(
            [], [], xerr=[], fmt="o", color="0.4", markerfacecolor="none", ms=3.5, label="outside\nthe regime"
        )
    figure.legend(title=spec.convention, loc="outside right upper", frameon=False)
    return figure


def _incoming(study: Study, run: int) -> list[list[np.ndarray]]:
    """The incoming vectors of a run's layers at its start and its end."""
    if study.spec.model is None:
        ends = [study.network(run, at) for at in ("initial", "final")]
        return [[neurons(network, layer + 1) for layer in range(len(network.hidden))] for network in ends]
    taken = snapshots_of(study, run)
    return [
        [unit_vectors([snapshot], layer)[0] for layer in range(len(snapshot.directions))]
        for snapshot in (taken[0], taken[-1])
    ]


def _best(study: Study, given: Mapping[str, float]) -> dict[str, float]:
    """Of the cells that are as given, all but the init scale of the one of the lowest validation loss."""
    others = _others(study, study.spec.convention)
    summary = summarize(study).filter(*_are(given)).drop_nulls("best_validation_loss").sort("best_validation_loss")
    return dict(others[0]) if summary.is_empty() else summary.select(*others[0]).row(0, named=True)


_AXIS_NAMES = {tables.LR: "learning rate", tables.WEIGHT_DECAY: "weight decay"}


def _others(study: Study, *axes: str) -> list[dict[str, Any]]:
    """Every combination of the values on the grid's other axes."""
    others = {axis: values for axis, values in study.spec.axes.items() if axis not in axes}
    return [dict(zip(others, values, strict=True)) for values in itertools.product(*others.values())]


def _are(values: Mapping[str, float]) -> list[pl.Expr]:
    return [pl.col(axis) == value for axis, value in values.items()] or [pl.lit(True)]


def _named(values: Mapping[str, float]) -> str:
    return ", ".join(f"{_AXIS_NAMES[axis]} {value:g}" for axis, value in values.items())


def _hatched(row: int, column: int) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="0.92", edgecolor="0.6", hatch="///", linewidth=0)
