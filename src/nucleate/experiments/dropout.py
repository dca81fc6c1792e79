"""From a standard start, neurons condense in training with dropout, and without it they do not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, ORANGE
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.observe import contributions, directions_in_use, neurons
from nucleate.problems import Problem, load_problem
from nucleate.training import Batch, train_many

ACTIVATIONS = ("tanh", "relu")


class Size(NamedTuple):
    width: int
    seeds: int
    steps: int
    learning_rate: float
    dropout: float


class Course(NamedTuple):
    """Directions in use and the training loss, relative to its start, over the evaluated steps."""

    steps: Float[np.ndarray, " t"]
    directions: Float[np.ndarray, "t seeds"]
    loss: Float[np.ndarray, "t seeds"]


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem, courses = load_problem("teacher-3"), {}
    cells = [(name, chance) for name in ACTIVATIONS for chance in (0.0, size.dropout)]
    for done, (name, chance) in enumerate(cells):
        courses[name, chance] = course(problem, name, chance, size)
        progress((done + 1) / len(cells))
    return Measurement(numbers(courses, size.dropout), _draw(courses))


def course(problem: Problem, activation: str, chance: float, size: Size) -> Course:
    networks = [
        Network.create(
            problem.inputs,
            [size.width],
            1,
            scale=InitScale("gain", 1.0),
            activation=activation,
            bias=[True, False],
            seed=seed,
        )
        for seed in range(size.seeds)
    ]
    return follow(
        networks,
        problem,
        signed=False,
        learning_rates=[size.learning_rate] * size.seeds,
        seeds=range(size.seeds),
        steps=size.steps,
        evaluations=40,
        dropout=chance,
    )


def follow(networks: Sequence[Network], problem: Problem, *, signed: bool, **settings: Any) -> Course:
    """Train networks and note their directions in use, by what the neurons along them contribute.

    ``signed`` says whether opposite ones count apart, ``settings`` are those of `nucleate.train_many`.
    """
    steps, found, losses = [], [], []

    def in_use(network: Network) -> float:
        return directions_in_use(neurons(network, 1), contributions(network, problem.train.x)[0], signed=signed)

    def note(batch: Batch) -> None:
        steps.append(batch.step)
        found.append([in_use(network) for network in batch.final])
        losses.append([rows[-1]["train_loss"] / rows[0]["train_loss"] for rows in batch.rows])

    train_many(networks, problem, **settings, on_evaluation=note)
    return Course(np.array(steps, float), np.array(found), np.array(losses))


def numbers(courses: dict[tuple[str, float], Course], chance: float) -> tuple[float, ...]:
    """For each activation how few directions dropout leaves; then what says that this is no matter of course."""
    ends = {cell: course.directions[-1] for cell, course in courses.items()}
    fewer = [float((ends[name, chance] / ends[name, 0.0]).mean()) for name in ACTIVATIONS]
    kept = [ends[name, 0.0] / courses[name, 0.0].directions[0] for name in ACTIVATIONS]
    losses = [courses[name, chance].loss[-1] for name in ACTIVATIONS]
    return (*fewer, float(np.min(kept)), float(np.max(losses)))


def _draw(courses: dict[tuple[str, float], Course]) -> Figure:
    figure, axes = panels(len(ACTIVATIONS), width=2.9, height=2.9, sharey=True)
    for panel, name in zip(axes, ACTIVATIONS, strict=True):
        for (activation, chance), found in courses.items():
            if activation != name:
                continue
            color, label = (BLUE, f"dropout {chance:g}") if chance else (ORANGE, "no dropout")
            for seed, directions in enumerate(found.directions.T):
                panel.plot(found.steps + 1, directions, color=color, lw=1, label=None if seed else label)
        panel.set(title=name, xlabel="step + 1", xscale="log", ylim=(0, None))
    axes[0].set_ylabel("directions in use")
    axes[-1].legend(frameon=False)
    return figure


EXPERIMENT = Experiment(
    name="dropout",
    claim="From a standard start the input weights of a two-layer network condense onto few directions in training "
    "with dropout, and without dropout they do not.",
    source="Zhang and Xu 2022, arXiv 2207.05952",
    setting="one hidden layer of {width} with biases, gain 1, tanh and ReLU, on teacher-3, gradient descent at rate "
    "{learning_rate} for {steps} steps, dropout {dropout} against none from the same draws, {seeds} seeds from 0; "
    "directions in use at the end, opposite ones as one",
    criteria=(
        *(
            Criterion(f"{name}: directions in use, with dropout over without, mean", "at most", 0.5)
            for name in ACTIVATIONS
        ),
        Criterion("without dropout: directions in use, at the end over the start, least", "at least", 0.5),
        Criterion("with dropout: training loss, at the end over the start, largest", "at most", 0.1),
    ),
    quick=Size(width=50, seeds=2, steps=40_000, learning_rate=0.1, dropout=0.5),
    full=Size(width=100, seeds=3, steps=80_000, learning_rate=0.1, dropout=0.5),
    measure=measure,
)
