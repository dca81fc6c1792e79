"""Weight decay alone condenses a two-layer ReLU network from a standard start, in three phases."""

from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, ORANGE, legend
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.observe import MEASURES, Measure
from nucleate.problems import Problem, load_problem
from nucleate.training import Run, train_many

ROWS, STANDARD, STRONG = 100, 1.0, 0.1
FITTED = 0.9
"""A run has fitted when the loss has fallen by so much of all that it falls."""
MEAN_AMPLITUDE = Measure("mean_amplitude", lambda layer, start: float(layer.amplitudes.mean()))


class Size(NamedTuple):
    width: int
    gains: tuple[float, ...]
    decays: tuple[float, ...]
    seeds: int
    steps: int
    learning_rate: float


class Phases(NamedTuple):
    """The steps at which a run had fitted, and was half way, in the logarithm, of compression and of condensation."""

    fitted: int
    compressed: int
    condensed: int


Runs = dict[tuple[float, float], list[Run]]
"""By gain and weight decay, a run a seed."""


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem, runs = load_problem("teacher-3"), Runs()
    problem = replace(problem, train=problem.train.only(np.arange(ROWS)))
    for done, gain in enumerate(size.gains):
        runs |= _train(problem, gain, size)
        progress((done + 1) / len(size.gains))
    decayed, plain = runs[STANDARD, STRONG], runs[STANDARD, 0.0]
    orders = [phases(*_course(run)) for run in decayed]
    numbers = (
        max(_neurons(run)[-1] for run in decayed) / size.width,
        min(_neurons(run)[-1] for run in plain) / size.width,
        min((one.compressed + 1) / (one.fitted + 1) for one in orders),
        min((one.condensed + 1) / (one.compressed + 1) for one in orders),
    )
    return Measurement(tuple(map(float, numbers)), _draw(runs, orders[0], size))


def phases(
    steps: Float[np.ndarray, " t"],
    loss: Float[np.ndarray, " t"],
    amplitude: Float[np.ndarray, " t"],
    neurons: Float[np.ndarray, " t"],
) -> Phases:
    """When a run fits, when its amplitudes fall from their largest, and when its neurons become alike."""
    fitted = loss <= loss[0] - FITTED * (loss[0] - loss.min())
    after = np.arange(len(steps)) >= amplitude.argmax()
    compressed = after & (amplitude <= np.sqrt(amplitude.max() * amplitude[after].min()))
    condensed = neurons <= np.sqrt(neurons[0] * neurons[-1])
    return Phases(*(int(steps[reached.argmax()]) for reached in (fitted, compressed, condensed)))


def _train(problem: Problem, gain: float, size: Size) -> Runs:
    cells = list(product(size.decays, range(size.seeds)))
    networks = [
        Network.create(
            problem.inputs,
            [size.width],
            1,
            scale=InitScale("gain", gain),
            activation="relu",
            bias=[True, False],
            seed=seed,
        )
        for _, seed in cells
    ]
    runs = train_many(
        networks,
        problem,
        learning_rates=[size.learning_rate] * len(cells),
        weight_decays=[decay for decay, _ in cells],
        steps=size.steps,
        evaluations=80,
        measures=(*MEASURES, MEAN_AMPLITUDE),
    )
    return {
        (gain, decay): [run for (its, _), run in zip(cells, runs, strict=True) if its == decay] for decay in size.decays
    }


def _course(run: Run) -> tuple[Float[np.ndarray, " t"], ...]:
    columns = ("step", "train_loss", "mean_amplitude_1", "effective_neurons_1")
    return tuple(run.trajectory[name].to_numpy() for name in columns)


def _neurons(run: Run) -> Float[np.ndarray, " t"]:
    return _course(run)[-1]


def _draw(runs: Runs, order: Phases, size: Size) -> Figure:
    figure, (with_decay, without, neurons, loss) = panels(4, width=3.0, height=2.8)
    for panel, decay in ((with_decay, STRONG), (without, 0.0)):
        steps, *curves = _course(runs[STANDARD, decay][0])
        names = ("training loss", "mean amplitude", "effective neurons")
        for curve, name, color in zip(curves, names, (ORANGE, "0.35", BLUE), strict=True):
            panel.plot(steps + 1, curve / curve[0], color=color, label=name)
        panel.set(xscale="log", yscale="log", xlabel="step + 1", title=f"gain {STANDARD:g}, weight decay {decay:g}")
    for step in order:
        with_decay.axvline(step + 1, color="0.7", lw=0.8, ls=":")
    with_decay.set_ylabel("share of the start")
    legend(without, loc="lower left")
    shape = (len(size.decays), len(size.gains))
    cells = [[runs[gain, decay] for gain in size.gains] for decay in size.decays]
    ends = np.array([[np.median([_neurons(run)[-1] for run in cell]) for cell in row] for row in cells])
    left = np.array([[np.median([_left(run) for run in cell]) for cell in row] for row in cells])
    _map(neurons, ends.reshape(shape), LogNorm(1, size.width), "{:.1f}", size, "effective neurons at the end")
    _map(loss, left.reshape(shape), LogNorm(1e-4, 1), "{:.2g}", size, "loss left, of the start's")
    return figure


def _left(run: Run) -> float:
    loss = run.trajectory["train_loss"]
    return float(loss[-1] / loss[0])


def _map(
    panel: Axes, values: Float[np.ndarray, "decays gains"], norm: LogNorm, form: str, size: Size, title: str
) -> None:
    shades = np.clip(values, norm.vmin, norm.vmax)
    panel.imshow(shades, norm=norm, cmap="viridis", origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "black" if norm(shades[row, column]) > 0.6 else "white"
        panel.text(column, row, form.format(value), ha="center", va="center", fontsize=7, color=color)
    panel.set_xticks(range(len(size.gains)), [f"{gain:g}" for gain in size.gains])
    panel.set_yticks(range(len(size.decays)), [f"{decay:g}" for decay in size.decays])
    panel.set(xlabel="gain", ylabel="weight decay", title=title)
    panel.grid(visible=False)


EXPERIMENT = Experiment(
    name="weight-decay",
    claim="Weight decay alone condenses a two-layer ReLU network from a standard (NTK) start, in three phases: it "
    "fits, its amplitudes are compressed, and its neurons condense.",
    source="arXiv 2610.04533",
    setting="one hidden layer of {width}, ReLU, first-layer bias, 100 rows of teacher-3, gradient descent at rate "
    "{learning_rate} for {steps} steps, {seeds} seeds from 0; standard start: gain 1, with weight decay 0.1 and "
    "without; the map has gains {gains} and decays {decays}; fitted: nine tenths of all that the loss falls; half of "
    "compression and of condensation: the geometric means of the largest mean amplitude and the least after it, and of "
    "the effective neurons at start and end",
    criteria=(
        Criterion("with decay: effective neurons over the width at the end, worst run", "at most", 0.1),
        Criterion("without: the same, least", "at least", 0.5),
        Criterion("with decay: step of half the compression over that of the fit, least", "at least", 1.0),
        Criterion("step of half the condensation over that of half the compression, least", "at least", 1.0),
    ),
    quick=Size(100, (0.1, 0.3, 1.0), (0.0, 0.001, 0.01, 0.03, 0.1), 2, 20_000, 0.02),
    full=Size(200, (0.03, 0.1, 0.3, 1.0), (0.0, 0.001, 0.003, 0.01, 0.03, 0.1), 3, 60_000, 0.01),
    measure=measure,
)
