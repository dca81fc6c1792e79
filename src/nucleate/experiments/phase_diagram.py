"""The phase diagram of three-layer ReLU networks: each layer's regime by how its relative distance grows with width."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import colors
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.problems import Problem, Split, load_problem
from nucleate.training import train_many

LINEAR, CONDENSED = (0.0, 1.0), (0.0, 2.0)
LAYERS = (1, 2)


class Size(NamedTuple):
    gammas_2: tuple[float, ...]
    gammas_3: tuple[float, ...]
    widths: tuple[int, ...]
    seeds: int
    steps: int
    # Wide layers in the linear regime move by less, a step, than float32 resolves.
    dtype: Literal["float32", "float64"]


class _Diagram(NamedTuple):
    """Medians over the seeds."""

    distances: Float[np.ndarray, "gammas_2 gammas_3 widths layers"]
    slopes: Float[np.ndarray, "gammas_2 gammas_3 layers"]


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem = _four_points()
    points = list(product(size.gammas_2, size.gammas_3))
    by_width, unfitted = [], []
    for done, width in enumerate(size.widths):
        distances, losses = _train(problem, points, width, size)
        by_width.append(distances)
        unfitted.append(losses.max())
        # A step costs as much as the matrix between the layers has entries.
        progress(sum(w**2 for w in size.widths[: done + 1]) / sum(w**2 for w in size.widths))
    distances = np.stack(by_width, axis=1).reshape(len(size.gammas_2), len(size.gammas_3), len(size.widths), -1)
    log_widths = np.log(size.widths)
    centered = log_widths - log_widths.mean()
    slopes = np.einsum("w,abwl->abl", centered, np.log(distances)) / np.sum(centered**2)

    at = {point: slopes[size.gammas_2.index(point[0]), size.gammas_3.index(point[1])] for point in (LINEAR, CONDENSED)}
    numbers = (float(np.max(unfitted)), float(at[LINEAR][0]), float(at[CONDENSED][0]), apart(slopes))
    return Measurement(numbers, _draw(size, _Diagram(distances, slopes)))


def apart(slopes: Float[np.ndarray, "gammas_2 gammas_3 layers"]) -> float:
    """How far at once one layer is condensed and the other linear, in the network in which that is most."""
    opposite = slopes[..., 0] * slopes[..., 1] < 0
    return float(np.where(opposite, np.abs(slopes).min(axis=-1), 0.0).max())


def _four_points() -> Problem:
    problem = load_problem("four-relu-1d")
    rows = np.linspace(0, len(problem.train.x) - 1, 4).round().astype(int)
    return replace(problem, train=Split(problem.train.x[rows], problem.train.y[rows]))


def _train(
    problem: Problem, points: Iterable[tuple[float, float]], width: int, size: Size
) -> tuple[Float[np.ndarray, "points layers"], Float[np.ndarray, " runs"]]:
    """The relative distances, medians over the seeds; and what is left of the loss that the zero function has."""
    networks, rates = [], []
    for gamma_2, gamma_3 in points:
        outer, inner = (gamma_3 - gamma_2) / 3, (gamma_3 + 2 * gamma_2) / 3
        scales = [InitScale("gamma", gamma) for gamma in (outer, inner, outer)]
        for seed in range(size.seeds):
            networks.append(_network(width, scales, seed, size.dtype))
            rates.append(_stable_rate(width, outer, inner))
    runs = train_many(networks, problem, learning_rates=rates, steps=size.steps, evaluations=4)
    moved = [[run.trajectory[f"relative_distance_{layer}"][-1] for layer in LAYERS] for run in runs]
    medians: np.ndarray = np.median(np.reshape(moved, (-1, size.seeds, len(LAYERS))), axis=1)
    zero = problem.loss(np.zeros(problem.train.y.shape), problem.train.y)
    return medians, np.array([run.trajectory["train_loss"][-1] for run in runs]) / zero


def _network(width: int, scales: list[InitScale], seed: int, dtype: str) -> Network:
    bias = [True, True, False]
    return Network.create(1, [width] * 2, 1, scale=scales, activation="relu", bias=bias, seed=seed, dtype=dtype)


def _stable_rate(width: int, outer: float, inner: float) -> float:
    """Within the curvature at the start, and within that of a fit by layers of size one."""
    a, b = width**-outer, width**-inner
    return 0.1 / (1 + width**2 * (a**4 + 2 * a**2 * b**2) / 4)


def _draw(size: Size, diagram: _Diagram) -> Figure:
    figure, axes = panels(3, width=3.4)
    distances, (first, second) = axes[0], axes[1:]
    row, shades = size.gammas_2.index(0.0), colors(len(size.gammas_3))
    for index, gamma_3 in enumerate(size.gammas_3):
        found = diagram.distances[row, index, :, 0]
        distances.plot(size.widths, found, "o-", ms=4, color=shades[index], label=f"{gamma_3:g}")
    distances.set(xlabel="width", ylabel="relative distance, layer 1", xscale="log", yscale="log")
    distances.set_title(r"$\gamma_2 = 0$")
    distances.set_xticks(size.widths, [str(width) for width in size.widths])
    distances.minorticks_off()
    distances.legend(frameon=False, fontsize="x-small", title=r"$\gamma_3$", loc="center left", bbox_to_anchor=(1, 0.5))
    for layer, panel in zip(LAYERS, (first, second), strict=True):
        slopes = diagram.slopes[..., layer - 1].T
        image = panel.imshow(slopes, vmin=-1, vmax=1, cmap="RdBu_r", origin="lower", aspect="auto")
        for (line, column), slope in np.ndenumerate(slopes):
            color = "white" if abs(slope) > 0.6 else "black"
            panel.text(column, line, f"{slope:.2f}", ha="center", va="center", fontsize=7, color=color)
        panel.set_xticks(range(len(size.gammas_2)), [f"{gamma:g}" for gamma in size.gammas_2])
        panel.set_yticks(range(len(size.gammas_3)), [f"{gamma:g}" for gamma in size.gammas_3])
        panel.set(xlabel=r"$\gamma_2$", ylabel=r"$\gamma_3$", title=f"layer {layer}")
        panel.grid(visible=False)
    figure.colorbar(image, ax=[first, second], label="slope S (linear < 0 < condensed)")
    return figure


EXPERIMENT = Experiment(
    name="phase-diagram",
    claim="By how the relative distance RD of a layer's input weights grows with the width (slope S of log RD over log "
    "width), each layer of a three-layer ReLU network is in a linear (S < 0) or a condensed regime (S > 0), and the "
    "two layers of one network may be in different ones.",
    source="Zhou et al. 2022, arXiv 2205.12101",
    setting="ReLU, widths {widths}, biases in the hidden layers, four points of four-relu-1d, gradient descent for "
    "{steps} steps in {dtype}, {seeds} seeds from 0, medians; standard deviations b1 = b3 and b2 with b1 b2 b3 = "
    "width^-gamma3 and b2 / b1 = width^-gamma2; gamma2 in {gammas_2}, gamma3 in {gammas_3}",
    criteria=(
        Criterion("training loss over that of the zero function, worst network", "at most", 0.01),
        Criterion("S of the first layer at gamma2 = 0, gamma3 = 1", "at most", -0.1),
        Criterion("S of the first layer at gamma2 = 0, gamma3 = 2", "at least", 0.1),
        Criterion("lesser of the two layers' |S| where their signs differ, largest", "at least", 0.1),
    ),
    quick=Size((-0.5, 0.0, 0.5), (1.0, 1.5, 2.0, 2.5, 3.0), (50, 100, 200, 400), 2, 2000, "float32"),
    full=Size(
        (-0.5, -0.25, 0.0, 0.25, 0.5), (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0), (100, 200, 400, 800), 3, 3000, "float64"
    ),
    measure=measure,
)
