"""Pictures of one run over time: measures, singular values, directions."""

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from nucleate.errors import StudyError
from nucleate.figures.planes import in_plane
from nucleate.figures.style import BLUE, GREEN, GREY, ORANGE, colors, finished_runs, for_print, quiet
from nucleate.observe import Snapshot
from nucleate.studies import Study
from nucleate.studies.findings import find


@for_print
def trajectory(study: Study, run: int | None = None) -> Figure:
    """Loss, effective neurons and ranks of a run over time, with the forecast end of its plateau.

    Parameters
    ----------
    study : Study
    run : int, optional
        Its number; by default the first run of the cell that the report recommends.

    Raises
    ------
    StudyError
        If that run is not finished.
    """
    run, name = _chosen(study, run)
    course = study.trajectories.filter(pl.col("run") == run)
    steps = course["step"] + 1
    layers = range(1, len(study.spec.hidden) + 1)
    figure = Figure(figsize=(7.0, 2.3), layout="constrained")
    loss, neurons, rank = figure.subplots(1, 3)
    loss.plot(steps, course["train_loss"], color=BLUE, label="training")
    loss.plot(steps, course["validation_loss"], color=ORANGE, ls=":", label="validation")
    forecasts = study.forecasts
    if not forecasts.is_empty():
        for step in forecasts.filter(pl.col("run") == run)["drop_1_percent"].drop_nulls().to_list():
            loss.axvline(step + 1, color=GREEN, ls="--", lw=1, label="forecast end\nof plateau")
    loss.set(yscale="log", ylabel="loss")
    loss.legend(frameon=False, fontsize="small")
    for layer, colour in zip(layers, colors(len(layers)), strict=True):
        neurons.plot(steps, course[f"effective_neurons_{layer}"], color=colour, label=f"layer {layer}")
        rank.plot(steps, course[f"stable_rank_{layer}"], color=colour)
    neurons.set(yscale="log", ylabel="effective neurons")
    neurons.legend(frameon=False, fontsize="small")
    rank.set(ylabel="stable rank of the weights")
    for panel in (loss, neurons, rank):
        panel.set(xscale="log", xlabel="step + 1")
        quiet(panel)
    figure.suptitle(name)
    return figure


@for_print
def singular_values(study: Study, run: int | None = None) -> Figure:
    """The largest singular values of each hidden layer's weights over time; see `trajectory` for ``run``."""
    run, name = _chosen(study, run)
    taken = _snapshots(study, run)
    steps = np.array([int(moment.step) for moment in taken]) + 1
    layers = len(taken[0].singular_values)
    figure = Figure(figsize=(2.9 * layers + 0.5, 2.3), layout="constrained")
    for layer, panel in enumerate(figure.subplots(1, layers, squeeze=False)[0]):
        values = np.stack([moment.singular_values[layer] for moment in taken])
        for column, colour in zip(values.T, colors(values.shape[1]), strict=True):
            panel.plot(steps, column, color=colour, lw=1.2)
        panel.set(xscale="log", yscale="log", xlabel="step + 1", title=f"hidden layer {layer + 1}")
        quiet(panel)
        if layer == 0:
            panel.set_ylabel(f"{values.shape[1]} largest singular values")
    figure.suptitle(name)
    return figure


@for_print
def neuron_directions(study: Study, run: int | None = None) -> Figure:
    """The directions of the neurons, a row a hidden layer, at four moments; see `trajectory` for ``run``.

    Unit vectors in the plane of their two principal directions over the run; the dots grow with the amplitude.
    """
    run, name = _chosen(study, run)
    taken = _snapshots(study, run)
    moments = np.unique(np.linspace(0, len(taken) - 1, 4).round().astype(int))
    layers = len(taken[0].directions)
    figure = Figure(figsize=(1.7 * len(moments) + 0.2, 1.8 * layers + 0.3), layout="constrained")
    grid = figure.subplots(layers, len(moments), squeeze=False, subplot_kw={"aspect": "equal"})
    for layer, row in enumerate(grid):
        points, sizes = in_plane(taken, layer)
        for panel, moment in zip(row, moments, strict=True):
            panel.add_patch(_circle())
            panel.scatter(*points[moment].T, s=2 + 26 * sizes[moment], color=BLUE, alpha=0.5, lw=0)
            panel.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            if layer == 0:
                panel.set_title(f"step {int(taken[moment].step)}", fontsize="medium")
        row[0].set_ylabel(f"layer {layer + 1}")
    figure.suptitle(name)
    return figure


def _circle() -> Circle:
    return Circle((0, 0), 1, fill=False, color=GREY, lw=0.6)


def _chosen(study: Study, run: int | None) -> tuple[int, str]:
    """The run's number and its name."""
    results = finished_runs(study)
    if run is None:
        findings = find(study)
        run = findings.recommended.runs[0] if findings and findings.trained else int(results["run"][0])
    row = results.filter(pl.col("run") == run)
    if row.is_empty():
        raise StudyError(f"{study.path} has no finished run {run}; its runs are 0 to {study.planned - 1}.")
    cell = row.row(0, named=True)
    convention = study.spec.convention
    return run, f"{convention} {cell[convention]:g}, learning rate {cell['lr']:g}, seed {cell['seed']}"


def _snapshots(study: Study, run: int) -> list[Snapshot]:
    taken = study.snapshots(run)
    if not taken:
        raise StudyError(
            f"{study.path} keeps no moments of run {run}: they are kept of the first seed of every init scale and "
            "learning rate."
        )
    return taken
