"""Small networks turn to the target direction, large ones do not."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, ORANGE, colors, legend
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.observe import alignment, neurons
from nucleate.problems import Problem, load_problem
from nucleate.theory import target_directions
from nucleate.training import Batch, Run, train, train_many

DROP, TURNED = 0.1, 0.9
# Steps that every run takes beyond its plateau: a large start, which has none, fits the data in them.
BEYOND = 5000


class Plan(NamedTuple):
    """How a problem is trained; its plateau is well within ``pace`` times one over the initial standard deviation."""

    learning_rate: float
    pace: float


PLANS = {"diabetes": Plan(0.1, 2.0), "sine-5d": Plan(0.01, 12.0)}


class Size(NamedTuple):
    width: int
    seeds: int
    gammas: tuple[float, ...]


class Turn(NamedTuple):
    """The neurons' |cos| to the target direction, from the start to the 10 % drop, and at the end of training."""

    dropped: bool
    steps: Float[np.ndarray, " t"]
    cosines: Float[np.ndarray, "t m"]
    trained: Float[np.ndarray, " m"]

    @property
    def share(self) -> float:
        """Of the neurons, how many have turned at the drop; NaN if it did not come."""
        return float((self.cosines[-1] > TURNED).mean()) if self.dropped else np.nan

    @property
    def trained_share(self) -> float:
        """Of the neurons, how many have turned at the end of training."""
        return float((self.trained > TURNED).mean())


Turns = dict[tuple[str, float], list[Turn]]


def measure(size: Size, progress: ShareDone) -> Measurement:
    turns: Turns = {}
    cells = list(product(PLANS, size.gammas))
    work = np.cumsum([size.width**gamma for _, gamma in cells])
    for (data, gamma), done in zip(cells, work, strict=True):
        turns[data, gamma] = _turns(load_problem(data), PLANS[data], gamma, size)
        progress(float(done / work[-1]))
    small, large = (
        [turn for data in PLANS for turn in turns[data, gamma]] for gamma in (max(size.gammas), min(size.gammas))
    )
    # By NumPy, whose least of a number and NaN is NaN; Python's is either.
    numbers = (
        float(np.min([turn.share for turn in small])),
        float(np.max([turn.share for turn in large])),
        float(np.max([turn.trained_share for turn in large])),
    )
    return Measurement(numbers, _draw(turns, size))


def _turns(problem: Problem, plan: Plan, gamma: float, size: Size) -> list[Turn]:
    """Each run is trained once to find the step of the drop, and once more to evaluate it until there."""
    scale, shape = InitScale("gamma", gamma), (problem.inputs, [size.width] * 2, 1)
    networks = [Network.create(*shape, scale=scale, seed=seed) for seed in range(size.seeds)]
    target = target_directions(networks[0], problem.train.x, problem.train.y).directions[0]
    rates = [plan.learning_rate] * size.seeds
    steps = BEYOND + round(plan.pace * size.width**gamma)
    runs = train_many(networks, problem, learning_rates=rates, steps=steps, evaluations=4)
    return [_turn(run, problem, plan.learning_rate, target) for run in runs]


def _turn(run: Run, problem: Problem, learning_rate: float, target: Float[np.ndarray, " d"]) -> Turn:
    steps, cosines, drop = [], [], run.drop_steps[DROP]

    def note(batch: Batch) -> None:
        steps.append(batch.step)
        cosines.append(_cosines(batch.final[0], target))

    until = run.steps if drop is None else drop
    train(run.initial, problem, learning_rate=learning_rate, steps=until, evaluations=40, on_evaluation=note)
    return Turn(drop is not None, np.array(steps), np.array(cosines), _cosines(run.final, target))


def _cosines(network: Network, target: Float[np.ndarray, " d"]) -> Float[np.ndarray, " m"]:
    return np.abs(alignment(neurons(network, 1), target))


def _draw(turns: Turns, size: Size) -> Figure:
    figure, (over_scale, over_time, *spreads) = panels(2 + len(PLANS), width=2.9)
    for data, shade in zip(PLANS, colors(len(PLANS)), strict=True):
        scales = [size.width**-gamma for gamma in size.gammas]
        shares = [[turn.share for turn in turns[data, gamma]] for gamma in size.gammas]
        over_scale.plot(scales, shares, "o", color=shade, ms=3, alpha=0.6)
        over_scale.plot(scales, np.mean(shares, axis=1), color=shade, label=data)
    over_scale.set(xlabel="initial standard deviation", ylabel=r"share with $|\cos| > 0.9$", xscale="log")
    over_scale.set_title("At the end of the plateau")
    legend(over_scale)

    small = turns[next(iter(PLANS)), max(size.gammas)][0]
    over_time.plot(small.steps, small.cosines, color=BLUE, lw=0.6, alpha=0.6)
    over_time.set(xlabel="step", ylabel=r"$|\cos|$ to the target direction", title="Each neuron, small start")
    for data, panel in zip(PLANS, spreads, strict=True):
        for gamma, color, label in (
            (max(size.gammas), BLUE, "small, plateau"),
            (min(size.gammas), ORANGE, "large, trained"),
        ):
            # A large start may lose a tenth of its loss in one step: it is shown when it has long been fitted.
            small_start = gamma == max(size.gammas)
            ends = np.concatenate([turn.cosines[-1] if small_start else turn.trained for turn in turns[data, gamma]])
            weights = np.full(ends.size, 1 / ends.size)
            panel.hist(ends, bins=20, range=(0, 1), weights=weights, color=color, alpha=0.7, label=label)
        panel.set(xlabel=r"$|\cos|$ to the target direction", ylabel="share of the neurons", title=data)
    legend(spreads[0], loc="upper left")
    return figure


EXPERIMENT = Experiment(
    name="target-direction",
    claim="In three-layer tanh networks from a small start the first layer's neurons turn to the target direction, the "
    "mean of y x, before they fit the data; from a large start they do not.",
    source="Chen and Luo 2024, arXiv 2402.15958",
    setting="two hidden layers of {width}, tanh, no biases, gradient descent on diabetes and sine-5d, {seeds} seeds "
    "from 0; initial standard deviation width^-gamma with gamma in {gammas}, the last being small and the first "
    "large; turned: |cos| above 0.9 when the loss has fallen by 10 %, and for the large start, which may do so in one "
    "step, at the end of training too, 5000 steps on",
    criteria=(
        Criterion("small start: share of the neurons that have turned, worst run", "at least", 0.95),
        Criterion("large start: share of the neurons that have turned, worst run", "at most", 0.1),
        Criterion("large start: share of the neurons that have turned when trained, worst run", "at most", 0.1),
    ),
    quick=Size(width=50, seeds=2, gammas=(0.5, 1.0, 1.5, 2.0, 2.25)),
    full=Size(width=200, seeds=5, gammas=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    measure=measure,
)
