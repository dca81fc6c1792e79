"""Pictures of the whole grid of a study: losses, neurons at start and end, the phase map."""

import numpy as np
import polars as pl
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nucleate.errors import StudyError
from nucleate.figures.planes import unit_vectors
from nucleate.figures.run import snapshots_of
from nucleate.figures.style import colors, for_print, panels
from nucleate.init_scale import InitScale
from nucleate.observe import cosine_similarity, leading_order, neurons
from nucleate.studies import Study, finished_runs, measured_layers, summarize, tables
from nucleate.training import BLOWN_UP


@for_print
def loss_by_scale(study: Study) -> Figure:
    """Training loss over time, a panel a learning rate and a color an init scale; thin lines runs, thick ones medians.

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
    runs = (
        finished_runs(study)
        .select("run", spec.convention, "lr", "status")
        .filter(~pl.col(tables.STATUS).is_in(BLOWN_UP))
    )
    curves = study.trajectories_of(runs["run"].to_list(), [tables.TRAIN_LOSS]).join(runs, on="run")
    figure, axes = panels(len(spec.lrs), width=2.1, height=2.3, beside=0.9, sharey=True)
    by_scale = colors(len(spec.scales))
    for panel, lr in zip(axes, spec.lrs, strict=True):
        for scale, color in zip(sorted(spec.scales), by_scale, strict=True):
            cell = curves.filter((pl.col("lr") == lr) & (pl.col(spec.convention) == scale))
            for _, run in cell.group_by("run", maintain_order=True):
                panel.plot(run["step"] + 1, run["train_loss"], color=color, lw=0.5, alpha=0.5)
            median = cell.group_by("step").agg(pl.col("train_loss").median()).sort("step")
            panel.plot(median["step"] + 1, median["train_loss"], color=color, lw=1.3, label=f"{scale:g}")
        panel.set(title=f"learning rate {lr:g}", xlabel="step + 1", xscale="log", yscale="log")
    axes[0].set_ylabel("training loss")
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, title=spec.convention, loc="outside right center", frameon=False)
    return figure


@for_print
def cosine_heat_maps(study: Study, lr: float | None = None) -> Figure:
    """Cosine similarity of the neurons of each layer, at start and end, for the smallest and the largest scale.

    All neurons of a network are shown; of another model those of the first and the last snapshot, at most 48 a layer.
    Each map is ordered by its leading eigenvector.

    Parameters
    ----------
    study : Study
    lr : float, optional
        The learning rate of the runs shown, of which it is the first seed's; by default that of the lowest validation
        loss in the study.

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
    lr = _best_rate(study) if lr is None else lr
    first = finished_runs(study).filter((pl.col("lr") == lr) & (pl.col("seed") == spec.seeds[0]))
    runs = sorted(first.rows(named=True), key=lambda run: -InitScale(spec.convention, run[spec.convention]).smallness)
    if not runs:
        raise StudyError(f"{study.path} has no finished run of learning rate {lr:g} and the first seed.")
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
            cosine = cosine_similarity(vectors)
            order = leading_order(cosine)
            image = panel.imshow(cosine[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
            panel.set(xticks=[], yticks=[], title=title)
        row[0].set_ylabel(f"{spec.convention} {run[spec.convention]:g}", fontsize="medium")
    figure.colorbar(image, ax=axes, label="cosine similarity", shrink=0.7)
    figure.suptitle(f"Neurons' input directions, learning rate {lr:g}, seed {spec.seeds[0]}")
    return figure


@for_print
def phase_map(study: Study) -> Figure:
    """Init scale against learning rate, colored by the fewest effective neurons over training; a panel a layer.

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
    figure = Figure(
        figsize=(0.6 + 0.48 * len(spec.scales) * len(layers) + 0.7, 0.9 + 0.35 * len(spec.lrs)), layout="constrained"
    )
    axes = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
    scales, rates = sorted(spec.scales), sorted(spec.lrs)
    norm = LogNorm(1, max(*layers.values(), 2))
    for (layer, width), panel in zip(layers.items(), axes, strict=True):
        counts = np.full((len(rates), len(scales)), np.nan)
        for cell in summary.iter_rows(named=True):
            row, column = rates.index(cell["lr"]), scales.index(cell[spec.convention])
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
        panel.set(title=f"hidden layer {layer} of width {width}", xlabel=f"init scale ({spec.convention})")
        panel.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
        panel.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes[0].set_ylabel("learning rate")
    figure.colorbar(image, ax=axes, label="fewest effective neurons")
    return figure


def _incoming(study: Study, run: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The incoming vectors of a run's layers at its start and its end."""
    if study.spec.model is None:
        first, last = (study.network(run, at) for at in ("initial", "final"))
        start, end = (
            [neurons(network, layer + 1) for layer in range(len(network.hidden))] for network in (first, last)
        )
        return start, end
    taken = snapshots_of(study, run)
    start, end = (
        [unit_vectors([snapshot], layer)[0] for layer in range(len(snapshot.directions))]
        for snapshot in (taken[0], taken[-1])
    )
    return start, end


def _best_rate(study: Study) -> float:
    summary = summarize(study).drop_nulls("best_validation_loss")
    if summary.is_empty():
        return study.spec.lrs[0]
    return float(summary.sort("best_validation_loss")["lr"][0])


def _hatched(row: int, column: int) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="0.92", edgecolor="0.6", hatch="///", linewidth=0)
