"""The plateau ends where the condition for condensation is reached."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import GREY, colors, legend
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.problems import load_problem
from nucleate.theory import State, conditions, split_first_layer, target_directions
from nucleate.training import Batch, Run, train_many


class Size(NamedTuple):
    width: int
    epsilons: tuple[float, ...]
    seeds: int
    steps: int
    evaluations: int
    learning_rate: float


class _Outcome(NamedTuple):
    """For each scale and seed: the steps at which the plateau ended and at which the condition was first met."""

    plateau_end: Float[np.ndarray, "scales seeds"]
    condition: Float[np.ndarray, "scales seeds"]


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem = load_problem("diabetes")
    starts = [(epsilon, seed) for epsilon in size.epsilons for seed in range(size.seeds)]
    networks = [
        Network.create(problem.inputs, [size.width] * 2, 1, scale=InitScale("epsilon", epsilon), seed=seed)
        for epsilon, seed in starts
    ]
    direction = target_directions(networks[0], problem.train.x, problem.train.y).directions[0]
    met = np.full(len(networks), np.nan)

    def note(batch: Batch) -> None:
        for run, network in enumerate(batch.final):
            if np.isnan(met[run]) and conditions(_state(network, direction)).all_grow:
                met[run] = batch.step
        progress(batch.step / size.steps)

    rates = [size.learning_rate] * len(networks)
    runs = train_many(
        networks, problem, learning_rates=rates, steps=size.steps, evaluations=size.evaluations, on_evaluation=note
    )
    ends = [np.nan if run.stages.plateau_end is None else run.stages.plateau_end for run in runs]
    outcome = _Outcome(*(np.reshape(steps, (len(size.epsilons), size.seeds)) for steps in (ends, met)))
    apart = np.abs(outcome.condition / outcome.plateau_end - 1)
    return Measurement((float(np.median(apart)), float(apart.max())), _draw(runs, outcome, size.epsilons))


def _state(network: Network, direction: Float[np.ndarray, " d"]) -> State:
    """The network as the effective dynamics sees it."""
    W1, W2, a = (np.asarray(weight, np.float64) for weight in network.weights)
    return State(a[0], W2, split_first_layer(W1, direction)[0])


def _draw(runs: list[Run], outcome: _Outcome, epsilons: tuple[float, ...]) -> Figure:
    figure, (curves, ratios) = panels(2, width=3.8)
    seeds = outcome.condition.shape[1]
    for index, (epsilon, color) in enumerate(zip(epsilons, colors(len(epsilons)), strict=True)):
        for seed in range(seeds):
            trajectory = runs[index * seeds + seed].trajectory
            at, loss = (trajectory[name].to_numpy() for name in ("step", "train_loss"))
            loss = loss / loss[0]
            curves.plot(at, loss, color=color, lw=1, label=None if seed else rf"$\varepsilon = {epsilon:g}$")
            met = outcome.condition[index, seed]
            curves.plot(met, np.interp(met, at, loss), "o", color=color, ms=5, mec="white")
        ratio = outcome.condition[index] / outcome.plateau_end[index]
        ratios.plot(np.full(seeds, epsilon), ratio, "o", color=color, ms=5, alpha=0.7)
    curves.set(xlabel="step", ylabel="loss over its start", xscale="log", title="Dots: the condition is first met")
    legend(curves, loc="lower left")
    ratios.axhspan(0.8, 1.2, color="0.93", zorder=0)
    ratios.axhline(1, color=GREY, lw=1, ls="--")
    ratios.set(xlabel=r"$\varepsilon$", ylabel="ratio of the two steps", xscale="log")
    ratios.set(
        ylim=(0, 2),
        title="Condition / end of the plateau",
        xticks=epsilons,
        xticklabels=[f"{epsilon:g}" for epsilon in epsilons],
    )
    ratios.minorticks_off()
    return figure


EXPERIMENT = Experiment(
    name="plateau-end",
    claim="The loss plateau ends where the condition for condensation is reached: every output and every aligned input "
    "weight of the trained network grows (S1).",
    source="Chen and Luo 2024, arXiv 2402.15958; S1 is one reading of its sign condition, docs/theory.md",
    setting="two hidden layers of {width}, tanh, no biases, epsilon in {epsilons}, gradient descent on "
    "diabetes at rate {learning_rate} for {steps} steps, {seeds} seeds from 0, about {evaluations} evaluations; the "
    "plateau ends when the loss has fallen by 1 %; larger starts, of which some never meet S1, are not judged",
    criteria=(
        Criterion("relative distance of the two steps, median of the runs", "at most", 0.2),
        Criterion("relative distance of the two steps, worst run", "at most", 0.5),
    ),
    quick=Size(width=50, epsilons=(0.01, 0.005, 0.0025), seeds=3, steps=1500, evaluations=300, learning_rate=0.05),
    # The more neurons have to grow, the later the last does: a wide network shows the limit at smaller scales.
    full=Size(
        width=200, epsilons=(0.00125, 0.000625, 0.0003125), seeds=5, steps=12_000, evaluations=600, learning_rate=0.02
    ),
    measure=measure,
)
