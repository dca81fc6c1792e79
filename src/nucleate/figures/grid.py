"""Pictures of the whole grid of a study: losses, neurons at start and end, the phase map."""

import matplotlib
import numpy as np
import polars as pl
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from nucleate.errors import StudyError
from nucleate.figures.style import colors, finished_runs, for_print, quiet
from nucleate.observe import cosine_similarity, leading_order, neurons
from nucleate.studies import Study, summarize


@for_print
def loss_by_scale(study: Study) -> Figure:
    """Training loss over time, a panel a learning rate and a colour an init scale; thin lines runs, thick ones medians.

    Diverged runs are left out.
    """
    spec = study.spec
    runs = (
        finished_runs(study)
        .select("run", spec.convention, "lr", "status")
        .filter(~pl.col("status").is_in(["diverged", "nan"]))
    )
    curves = study.trajectories.join(runs, on="run")
    figure = Figure(figsize=(2.1 * len(spec.lrs) + 0.9, 2.3), layout="constrained")
    panels = figure.subplots(1, len(spec.lrs), sharey=True, squeeze=False)[0]
    by_scale = colors(len(spec.scales))
    for panel, lr in zip(panels, spec.lrs, strict=True):
        for scale, colour in zip(sorted(spec.scales), by_scale, strict=True):
            cell = curves.filter((pl.col("lr") == lr) & (pl.col(spec.convention) == scale))
            for _, run in cell.group_by("run"):
                panel.plot(run["step"] + 1, run["train_loss"], color=colour, lw=0.5, alpha=0.5)
            median = cell.group_by("step").agg(pl.col("train_loss").median()).sort("step")
            panel.plot(median["step"] + 1, median["train_loss"], color=colour, lw=1.3, label=f"{scale:g}")
        panel.set(title=f"learning rate {lr:g}", xlabel="step + 1", xscale="log", yscale="log")
        quiet(panel)
    panels[0].set_ylabel("training loss")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, title=spec.convention, loc="outside right center", frameon=False)
    return figure


@for_print
def cosine_heat_maps(study: Study, lr: float | None = None) -> Figure:
    """Cosine similarity of the neurons of each hidden layer, at start and end, for the smallest and the largest scale.

    Neurons are ordered by the leading eigenvector, each map by its own. Shown is the first seed, at ``lr`` or at the
    learning rate of the lowest validation loss in the study.
    """
    spec = study.spec
    lr = _best_rate(study) if lr is None else lr
    first = finished_runs(study).filter((pl.col("lr") == lr) & (pl.col("seed") == spec.seeds[0]))
    runs = first.sort(spec.convention, descending=spec.convention == "gamma").rows(named=True)
    if not runs:
        raise StudyError(f"{study.path} has no finished run of learning rate {lr:g} and the first seed.")
    layers = len(spec.hidden)
    figure = Figure(figsize=(3.1 * layers + 0.7, 3.5), layout="constrained")
    panels = figure.subplots(2, 2 * layers, squeeze=False)
    for row, run in zip(panels, (runs[0], runs[-1]), strict=True):
        moments = [(layer, moment) for layer in range(1, layers + 1) for moment in ("initial", "final")]
        for panel, (layer, moment) in zip(row, moments, strict=True):
            network = study.network(run["run"], "initial" if moment == "initial" else "final")
            cosine = cosine_similarity(neurons(network, layer))
            order = leading_order(cosine)
            image = panel.imshow(cosine[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
            when = "start" if moment == "initial" else "end"
            panel.set(xticks=[], yticks=[], title=f"layer {layer}, {when}")
        row[0].set_ylabel(f"{spec.convention} {run[spec.convention]:g}", fontsize="medium")
    figure.colorbar(image, ax=panels, label="cosine similarity", shrink=0.7)
    figure.suptitle(f"Neurons' input directions, learning rate {lr:g}, seed {spec.seeds[0]}")
    return figure


@for_print
def phase_map(study: Study) -> Figure:
    """Init scale against learning rate, coloured by the fewest effective neurons over training; a panel a hidden layer.

    Medians over the seeds that trained; a cell in which none did is hatched and says what happened.
    """
    spec = study.spec
    finished_runs(study)
    summary = summarize(study)
    layers = len(spec.hidden)
    figure = Figure(
        figsize=(0.6 + 0.48 * len(spec.scales) * layers + 0.7, 0.9 + 0.35 * len(spec.lrs)), layout="constrained"
    )
    panels = figure.subplots(1, layers, sharey=True, squeeze=False)[0]
    scales, rates = sorted(spec.scales), sorted(spec.lrs)
    norm = LogNorm(1, max(spec.hidden))
    for layer, panel in enumerate(panels, start=1):
        counts = np.full((len(rates), len(scales)), np.nan)
        for cell in summary.iter_rows(named=True):
            row, column = rates.index(cell["lr"]), scales.index(cell[spec.convention])
            value = cell[f"fewest_effective_neurons_{layer}"]
            if value is None:
                panel.add_patch(_hatched(row, column))
                panel.text(column, row, cell["status"].split()[-1], ha="center", va="center", fontsize=6)
                continue
            counts[row, column] = value
            # Text is dark on the light end of the colour map.
            colour = "black" if norm(max(value, 1.0)) > 0.6 else "white"
            panel.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour)
        image = panel.imshow(np.maximum(counts, 1.0), norm=norm, cmap="viridis", origin="lower", aspect="auto")
        panel.set(
            title=f"hidden layer {layer} of width {spec.hidden[layer - 1]}", xlabel=f"init scale ({spec.convention})"
        )
        panel.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
        panel.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    panels[0].set_ylabel("learning rate")
    figure.colorbar(image, ax=panels, label="fewest effective neurons")
    return figure


def _best_rate(study: Study) -> float:
    finished_runs(study)
    summary = summarize(study).drop_nulls("best_validation_loss")
    if summary.is_empty():
        return study.spec.lrs[0]
    return float(summary.sort("best_validation_loss")["lr"][0])


def _hatched(row: int, column: int) -> matplotlib.patches.Rectangle:
    return matplotlib.patches.Rectangle(
        (column - 0.5, row - 0.5), 1, 1, facecolor="0.92", edgecolor="0.6", hatch="///", linewidth=0
    )
