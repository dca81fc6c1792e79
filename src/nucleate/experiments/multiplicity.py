"""How many directions the first layer condenses onto, by the activation's multiplicity; and by the optimizer."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from nucleate.activations import Activation, get_activation
from nucleate.experiments.dropout import Course, follow
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import colors, legend
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.optimizers import ADAM, GD, Optimizer
from nucleate.problems import Problem, load_problem
from nucleate.theory import target_directions

DATA = ("four-relu-1d", "sine-5d")
FALLEN = 0.1


def _x2tanh(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z * z * jnp.tanh(z)


ACTIVATIONS = {
    "tanh": get_activation("tanh"),
    "x tanh x": get_activation("xtanh"),
    r"$x^2$ tanh x": Activation("x2tanh", _x2tanh, 3, 1.0, 1.0, parity="odd"),
}
"""By what figures call them, in the order of their multiplicity."""


class Plan(NamedTuple):
    """How one activation is trained: the plateau of multiplicity p grows as epsilon^-(p - 1)."""

    epsilon: float
    learning_rates: tuple[float, float]
    steps: int


class Size(NamedTuple):
    optimizer: Optimizer
    width: int
    seeds: int
    plans: tuple[Plan, Plan, Plan]


def measure_descent(size: Size, progress: ShareDone) -> Measurement:
    """Under gradient descent, also the directions that attract a neuron: the ends of the axes of theory."""
    used, figure = measure(size, progress)
    attracting = tuple(
        float(np.max([2 * _axes(load_problem(data), activation) for data in DATA]))
        for activation in ACTIVATIONS.values()
    )
    return Measurement(used + attracting, figure)


def _axes(problem: Problem, activation: Activation) -> int:
    network = _network(problem, activation, 1, 1.0, 0)
    return len(target_directions(network, problem.train.x, problem.train.y).directions)


def measure(size: Size, progress: ShareDone) -> Measurement:
    courses = {}
    cells = [(name, data) for name in ACTIVATIONS for data in DATA]
    for done, (name, data) in enumerate(cells):
        courses[name, data] = _course(name, data, size)
        progress((done + 1) / len(cells))
    numbers = tuple(float(np.max([_fewest(courses[name, data]) for data in DATA])) for name in ACTIVATIONS)
    return Measurement(numbers, _draw(courses))


def _course(name: str, data: str, size: Size) -> Course:
    problem, plan = load_problem(data), size.plans[list(ACTIVATIONS).index(name)]
    rate = plan.learning_rates[DATA.index(data)]
    networks = [_network(problem, ACTIVATIONS[name], size.width, plan.epsilon, seed) for seed in range(size.seeds)]
    settings = {"optimizer": size.optimizer, "steps": plan.steps, "evaluations": 80}
    return follow(networks, problem, signed=True, learning_rates=[rate] * size.seeds, **settings)


def _fewest(course: Course) -> float:
    """The fewest directions before the loss has fallen by a tenth, in the run in which that is most."""
    initial = np.where(1 - course.loss < FALLEN, course.directions, np.inf)
    return float(initial.min(axis=0).max())


def _network(problem: Problem, activation: Activation, width: int, epsilon: float, seed: int) -> Network:
    scale = InitScale("epsilon", epsilon)
    return Network.create(problem.inputs, [width], 1, scale=scale, activation=activation, bias=[True, False], seed=seed)


def _draw(courses: dict[tuple[str, str], Course]) -> Figure:
    figure, axes = panels(len(DATA), width=3.8)
    for data, panel in zip(DATA, axes, strict=True):
        for (name, activation), color in zip(ACTIVATIONS.items(), colors(len(ACTIVATIONS)), strict=True):
            course, p = courses[name, data], activation.multiplicity
            for seed, (fallen, directions) in enumerate(zip(1 - course.loss.T, course.directions.T, strict=True)):
                panel.plot(fallen, directions, color=color, lw=1, label=None if seed else f"{name}, p = {p}")
            panel.axhline(2 * p, color=color, ls=":", lw=1)
        panel.axvspan(0, FALLEN, color="0.93", zorder=0)
        panel.set(xlabel="share by which the loss has fallen", ylabel="directions in use", yscale="log", title=data)
        panel.set(xlim=(-0.02, None))
        panel.set_yticks([1, 2, 4, 6, 10, 20, 50], ["1", "2", "4", "6", "10", "20", "50"])
        panel.minorticks_off()
    legend(axes[0])
    return figure


CLAIM = (
    "At initial training the neurons of a layer condense onto at most 2p directions, p the activation's multiplicity"
)
SETTING = (
    "one hidden layer of {width} with biases, epsilon {plans[0].epsilon:g}, {plans[1].epsilon:g} and "
    "{plans[2].epsilon:g} for p = 1, 2 and 3, {seeds} seeds from 0, on four-relu-1d and sine-5d; directions (opposite "
    "ones apart) by their neurons' contributions: the exponential of their entropy, the fewest before the loss has "
    "fallen by a tenth, worst run; threshold 2p + 1/2"
)
CRITERIA = (
    Criterion("tanh, p = 1: directions in use", "at most", 2.5),
    Criterion("x tanh x, p = 2: directions in use", "at most", 4.5),
    Criterion("x^2 tanh x, p = 3: directions in use", "at most", 6.5),
)
ATTRACTING = tuple(
    Criterion(
        f"p = {p}: directions that attract a neuron, two to each maximum of the correlation", "at most", 2 * p + 0.5
    )
    for p in (1, 2, 3)
)
SOURCE = "Zhou et al. 2022, arXiv 2105.11686"
UNDER_GD = (Plan(1e-4, (0.1, 0.003), 4000), Plan(1e-2, (0.1, 0.003), 4000), Plan(1e-2, (0.3, 0.003), 20_000))
# The wider the layer, the more neurons are still turning when the first of them has grown: a start has to be smaller.
UNDER_GD_WIDE = (UNDER_GD[0], Plan(1e-3, (0.1, 0.003), 40_000), UNDER_GD[2])
UNDER_ADAM = (Plan(1e-3, (1e-3, 1e-3), 200),) * 3

EXPERIMENT = Experiment(
    name="multiplicity",
    claim=f"{CLAIM}, under gradient descent.",
    source=SOURCE,
    setting=f"{SETTING}; gradient descent, under which a neuron on the plateau follows the gradient of the one-neuron "
    "correlation to one of its maxima",
    criteria=(*CRITERIA, *ATTRACTING),
    quick=Size(GD, 50, 3, UNDER_GD),
    full=Size(GD, 200, 10, UNDER_GD_WIDE),
    measure=measure_descent,
)
EXPERIMENT_ADAM = Experiment(
    name="multiplicity-adam",
    claim=f"{CLAIM}, under Adam too.",
    source=SOURCE,
    setting=f"{SETTING}; Adam at rate 0.001",
    criteria=CRITERIA,
    quick=Size(ADAM, 50, 3, UNDER_ADAM),
    full=Size(ADAM, 200, 10, UNDER_ADAM),
    measure=measure,
)
