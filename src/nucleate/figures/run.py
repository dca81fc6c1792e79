"""Pictures of one run over time: measures, singular values, directions."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from nucleate._arrays import is_whole
from nucleate.errors import StudyError
from nucleate.figures.style import BLUE, GREEN, GREY, ORANGE, colors, for_print, legend, panels
from nucleate.observe import Snapshot
from nucleate.observe.snapshots import spaced
from nucleate.studies import Study, study_findings, tables
from nucleate.studies.summary import finished_runs, measured_layers


@for_print
def trajectory(study: Study, run: int | None = None) -> Figure:
    """Loss, effective neurons and ranks of a run over time, with the forecast end of its plateau.

    Parameters
    ----------
    study : Study
    run : int, optional
        Its number; by default the first run of the cell that the report recommends.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        If that run is not finished, or the study's model has no measured layers.
    """
    layers = measured_layers(study)
    run, name = _chosen(study, run)
    course = study.trajectories_of([run])
    steps = course["step"] + 1
    figure, (loss, neurons, rank) = panels(3, width=7 / 3, height=2.3)
    loss.plot(steps, course["train_loss"], color=BLUE, label="training")
    loss.plot(steps, course["validation_loss"], color=ORANGE, ls=":", label="validation")
    forecasts = study.forecasts
    if not forecasts.is_empty():
        for step in forecasts.filter(pl.col("run") == run)["drop_1_percent"].drop_nulls().to_list():
            loss.axvline(step + 1, color=GREEN, ls="--", lw=1, label="forecast end\nof plateau")
    loss.set(yscale="log", ylabel="loss")
    legend(loss)
    for layer, color in zip(layers, colors(len(layers)), strict=True):
        neurons.plot(steps, course[tables.effective_neurons(layer)], color=color, label=f"layer {layer}")
        rank.plot(steps, course[tables.measured("stable_rank", layer)], color=color)
    neurons.set(yscale="log", ylabel="effective neurons")
    legend(neurons)
    rank.set(ylabel="stable rank of the weights")
    for panel in (loss, neurons, rank):
        panel.set(xscale="log", xlabel="step + 1")
    figure.suptitle(name)
    return figure


@for_print
def singular_values(study: Study, run: int | None = None) -> Figure:
    """The largest singular values of each measured layer's weights over time.

    Parameters
    ----------
    study : Study
    run : int, optional
        As of `trajectory`.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        As `trajectory`, and if no snapshots of that run are kept.
    """
    layers = measured_layers(study)
    run, name = _chosen(study, run)
    taken = snapshots_of(study, run)
    steps = np.array([int(snapshot.step) for snapshot in taken]) + 1
    figure, axes = panels(len(layers), width=2.9, height=2.3, beside=0.5)
    for index, (layer, panel) in enumerate(zip(layers, axes, strict=True)):
        values = np.stack([snapshot.singular_values[index] for snapshot in taken])
        for column, color in zip(values.T, colors(values.shape[1]), strict=True):
            panel.plot(steps, column, color=color, lw=1.2)
        panel.set(xscale="log", yscale="log", xlabel="step + 1", title=f"hidden layer {layer}")
        if index == 0:
            panel.set_ylabel(f"{values.shape[1]} largest singular values")
    figure.suptitle(name)
    return figure


@for_print
def neuron_directions(study: Study, run: int | None = None) -> Figure:
    """The directions of the neurons, a row a measured layer, at four steps.

    Unit vectors in the plane of their two principal directions over the run; the dots grow with the amplitude.

    Parameters
    ----------
    study : Study
    run : int, optional
        As of `trajectory`.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        As `trajectory`, and if no snapshots of that run are kept.
    """
    layers = measured_layers(study)
    run, name = _chosen(study, run)
    taken = snapshots_of(study, run)
    shown = spaced(len(taken), 4)
    figure = Figure(figsize=(1.7 * len(shown) + 0.2, 1.8 * len(layers) + 0.3), layout="constrained")
    grid = figure.subplots(len(layers), len(shown), squeeze=False, subplot_kw={"aspect": "equal"})
    for index, (layer, row) in enumerate(zip(layers, grid, strict=True)):
        points, sizes = in_plane(taken, index)
        for panel, number in zip(row, shown, strict=True):
            panel.add_patch(Circle((0, 0), 1, fill=False, color=GREY, lw=0.6))
            panel.scatter(*points[number].T, s=2 + 26 * sizes[number], color=BLUE, alpha=0.5, lw=0)
            panel.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            if index == 0:
                panel.set_title(f"step {int(taken[number].step)}", fontsize="medium")
        row[0].set_ylabel(f"layer {layer}")
    figure.suptitle(name)
    return figure


def in_plane(
    snapshots: Sequence[Snapshot], layer: int
) -> tuple[Float[np.ndarray, "snapshots k 2"], Float[np.ndarray, "snapshots k"]]:
    """The unit vectors of a layer's neurons in the plane of their two principal directions over all snapshots.

    Where they have two entries they are themselves, and the distance from the middle shows the amplitude. Layers count
    from 0. The points lie inside the unit circle; their sizes are amplitudes relative to the snapshot's largest.
    """
    unit = unit_vectors(snapshots, layer)
    sizes = np.stack([taken.amplitudes[layer] for taken in snapshots]).astype(np.float64)
    sizes /= np.maximum(sizes.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    if unit.shape[2] == 1:
        return np.concatenate([unit, np.zeros_like(unit)], axis=2), sizes
    if unit.shape[2] == 2:
        return unit * sizes[..., None], sizes
    # The amplitude weighs, so that the plane is that of the neurons that do the work.
    weighted = (unit * sizes[..., None]).reshape(-1, unit.shape[2])
    return unit @ np.linalg.svd(weighted, full_matrices=False).Vh[:2].T, sizes


def unit_vectors(snapshots: Sequence[Snapshot], layer: int) -> Float[np.ndarray, "snapshots k fan_in"]:
    """The directions of a layer, from 0, in all snapshots, in float64."""
    return np.stack([taken.directions[layer] for taken in snapshots]).astype(np.float64)


def snapshots_of(study: Study, run: int) -> Sequence[Snapshot]:
    """A run's snapshots, one at least."""
    taken = study.snapshots(run)
    if not taken:
        raise StudyError(
            f"{study.path} keeps no snapshots of run {run}: they are kept of the first seed of every cell of the grid."
        )
    return taken


def _chosen(study: Study, run: int | None) -> tuple[int, str]:
    """The number of a run, or else of the first one of the recommended cell, and its name."""
    results = finished_runs(study)
    if run is None:
        findings = study_findings(study)
        run = findings.recommended.runs[0] if findings and findings.trained else int(results["run"][0])
    row = results.filter(pl.col("run") == run) if is_whole(run) else results.clear()
    if row.is_empty():
        raise StudyError(f"{study.path} has no finished run {run!r:.60}; its runs are 0 to {study.planned - 1}.")
    cell = row.row(0, named=True)
    convention = study.spec.convention
    scale = study.spec.from_tables(cell[convention])
    decay = f", weight decay {cell[tables.WEIGHT_DECAY]:g}" if tables.WEIGHT_DECAY in cell else ""
    return run, f"{convention} {scale:g}, learning rate {cell['lr']:g}{decay}, seed {cell['seed']}"
