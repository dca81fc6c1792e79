"""After the first plateau the directions in use grow one at a time, at the steps that are forecast."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.experiments.saddles import STRENGTHS, count_in_use, half_way, judge_forecasts, linear_teacher
from nucleate.figures import panels
from nucleate.figures.style import GREY, colors, legend
from nucleate.forecasting import Forecast, Outcome, forecast_many, measure_outcomes
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.observe import neurons
from nucleate.problems import Problem
from nucleate.training import Batch, train_many


class Size(NamedTuple):
    width: int
    epsilons: tuple[float, ...]
    seeds: int
    rows: int
    learning_rate: float


class _Run(NamedTuple):
    """What a run was forecast and what it did; ``in_use`` are the first layer's directions at the steps."""

    forecast: Forecast
    outcome: Outcome
    steps: Int[np.ndarray, " t"]
    loss: Float[np.ndarray, " t"]
    in_use: Int[np.ndarray, " t"]

    def saddles(self) -> list[tuple[int, int]]:
        """Of each stair that was climbed, its number and the directions in use half way to the next."""
        stairs = self.outcome.stairs
        found = []
        for number, stair in enumerate(stairs, start=1):
            after = stairs[number].begins if number < len(stairs) else self.steps[-1]
            if stair.ends is not None and after is not None and after > stair.ends:
                found.append((number, half_way(self.steps, self.in_use, stair.ends, after)))
        return found


def measure(size: Size, progress: ShareDone) -> Measurement:
    runs: dict[float, list[_Run]] = {}
    for done, epsilon in enumerate(size.epsilons, start=1):
        runs[epsilon] = _train(size, linear_teacher(size.rows, inputs=8), epsilon)
        progress(done / len(size.epsilons))
    every = [run for at in runs.values() for run in at]
    saddles = [number == in_use for run in every for number, in_use in run.saddles()]
    compared = [
        (expected.begins, found.begins, expected.in_regime)
        for run in every
        for expected, found in zip(run.forecast.stairs, run.outcome.stairs, strict=True)
        if expected.begins is not None and found.begins is not None
    ]
    expected = len(every) * len(STRENGTHS)
    alike = float(np.mean(saddles)) if len(saddles) == expected else np.nan
    return Measurement((alike, *judge_forecasts(compared, expected)), _draw(runs))


def _train(size: Size, problem: Problem, epsilon: float) -> list[_Run]:
    networks = [
        Network.create(
            problem.inputs, [size.width] * 2, problem.outputs, scale=InitScale("epsilon", epsilon), seed=seed
        )
        for seed in range(size.seeds)
    ]
    rates = [size.learning_rate] * size.seeds
    forecasts = forecast_many(networks, problem, learning_rates=rates, stairs=len(STRENGTHS))
    outcomes = measure_outcomes(networks, problem, forecasts)
    ends = [outcome.stairs[-1].ends for outcome in outcomes if outcome.stairs]
    steps, in_use = [], []

    def note(batch: Batch) -> None:
        steps.append(batch.step)
        in_use.append([count_in_use(neurons(network, 1)) for network in batch.final])

    # A fifth beyond the last stair, where all directions are in use.
    length = int(1.2 * max((end for end in ends if end is not None), default=1000))
    runs = train_many(networks, problem, learning_rates=rates, steps=length, evaluations=300, on_evaluation=note)
    return [
        _Run(
            forecast,
            outcome,
            np.array(steps),
            np.interp(steps, run.trajectory["step"].to_numpy(), run.trajectory["train_loss"].to_numpy()),
            np.array(in_use)[:, index],
        )
        for index, (run, forecast, outcome) in enumerate(zip(runs, forecasts, outcomes, strict=True))
    ]


def _draw(runs: dict[float, list[_Run]]) -> Figure:
    figure, (curves, counts, ratios) = panels(3, width=3.4)
    for (epsilon, at), color in zip(runs.items(), colors(len(runs)), strict=True):
        first = at[0]
        label = rf"$\varepsilon = {epsilon:g}$"
        curves.plot(first.steps, first.loss / first.loss[0], color=color, lw=1, label=label)
        counts.step(first.steps, first.in_use, color=color, lw=1, where="post", label=label)
        for stair in first.forecast.stairs:
            if stair.begins is not None:
                for panel in (curves, counts):
                    panel.axvline(stair.begins.estimate, color=color, lw=1, ls=":")
        for run in at:
            for number, (expected, found) in enumerate(
                zip(run.forecast.stairs, run.outcome.stairs, strict=True), start=1
            ):
                if expected.begins is not None and found.begins is not None:
                    shape = "o" if expected.in_regime else "x"
                    ratios.plot(number, expected.begins.estimate / found.begins, shape, color=color, ms=4, alpha=0.7)
    curves.set(xlabel="step", ylabel="loss over its start", xscale="log", yscale="log")
    curves.set_title("Dotted: forecast before training")
    legend(curves, loc="lower left")
    counts.set(xlabel="step", ylabel="directions in use, first layer", xscale="log", ylim=(0, 8.5))
    counts.set_title("One at a time")
    ratios.axhline(1, color=GREY, lw=1, ls="--")
    ratios.set(xlabel="stair", ylabel="forecast over measured step", xticks=range(1, len(STRENGTHS) + 1))
    ratios.set(ylim=(0.9, 1.1), title="Crosses: out of the regime")
    return figure


EXPERIMENT = Experiment(
    name="staircase",
    claim="From a small start a network learns one direction after the other: the number in use grows by one from each "
    "plateau of the loss to the next, at steps that are forecast before training.",
    source="Zhang, Saxe and Latham 2025, arXiv 2512.20607, for the number in use; the forecast of the steps: "
    "docs/theory.md",
    setting="tanh networks with two hidden layers of {width} and no biases, epsilon in {epsilons}, gradient descent at "
    "rate {learning_rate} on a linear teacher of three outputs with singular values 1, 0.5 and 0.25 and {rows} rows, "
    "{seeds} seeds from 0; in use: singular values of the first layer above 0.3 of its largest, half way (in the "
    "logarithm of the step) from the end of a stair to the beginning of the next; a stair begins when a tenth of it is "
    "fitted",
    criteria=(
        Criterion("plateaus on which as many directions are in use as stairs lie behind, share", "at least", 0.95),
        Criterion("forecast of the beginning of a stair, relative error, median", "at most", 0.03),
        Criterion("intervals declared in the regime that hold, share", "at least", 0.9),
    ),
    quick=Size(width=30, epsilons=(0.01, 0.005), seeds=3, rows=400, learning_rate=0.1),
    full=Size(width=100, epsilons=(0.005, 0.0025, 0.00125), seeds=5, rows=1000, learning_rate=0.1),
    measure=measure,
)
