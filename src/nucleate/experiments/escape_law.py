"""How the plateau grows as the start shrinks, for two, three and four layers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import colors, legend
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.problems import Problem, load_problem
from nucleate.theory import moment_form
from nucleate.training import train_many

DROP = 0.1


class Plan(NamedTuple):
    """How one depth is trained: two layers slowly, since a finite rate delays their escape by half of itself."""

    # At width 20.
    scales: tuple[float, ...]
    learning_rate: float
    steps: int


PLANS = {
    2: Plan((1e-2, 1e-3, 1e-4, 1e-5), 0.01, 2_000),
    3: Plan((1e-2, 3e-3, 1e-3, 3e-4), 0.1, 20_000),
    4: Plan((3e-2, 2e-2, 1e-2, 5e-3), 0.1, 20_000),
}


class Size(NamedTuple):
    width: int
    seeds: int

    def scales(self, depth: int) -> tuple[float, ...]:
        """As small for every width: a layer's outputs grow as the root of it."""
        return tuple(scale * (20 / self.width) ** 0.5 for scale in PLANS[depth].scales)


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem = load_problem("diabetes", validation=0.4, test=0.4)
    steps = {}
    for done, depth in enumerate(PLANS, start=1):
        steps[depth] = _escape_steps(size, problem, depth)
        progress(done / len(PLANS))
    _, moment = moment_form(_network(size, problem, 2, 1.0, 0), problem.train.x, problem.train.y)
    kappa = float(np.linalg.norm(moment))
    slopes = {depth: _slopes(depth, size.scales(depth), found) for depth, found in steps.items()}
    numbers = (
        abs(float(np.median(slopes[2])) * PLANS[2].learning_rate * kappa - 1),
        abs(float(np.median(slopes[3])) - 1),
        abs(float(np.median(slopes[4])) - 2),
    )
    return Measurement(numbers, _draw(size, steps, slopes))


def _network(size: Size, problem: Problem, depth: int, scale: float, seed: int) -> Network:
    epsilon = InitScale("epsilon", scale)
    hidden = [size.width] * (depth - 1)
    return Network.create(problem.inputs, hidden, problem.outputs, scale=epsilon, seed=seed, dtype="float64")


def _escape_steps(size: Size, problem: Problem, depth: int) -> Float[np.ndarray, "seeds scales"]:
    """The step of the 10 % drop; NaN where it did not come."""
    plan = PLANS[depth]
    starts = [(scale, seed) for seed in range(size.seeds) for scale in size.scales(depth)]
    networks = [_network(size, problem, depth, *start) for start in starts]
    rates = [plan.learning_rate] * len(networks)
    runs = train_many(networks, problem, learning_rates=rates, steps=plan.steps, evaluations=4)
    steps = [run.drop_steps[DROP] for run in runs]
    return np.array([np.nan if step is None else step for step in steps]).reshape(size.seeds, -1)


def _slopes(
    depth: int, scales: tuple[float, ...], steps: Float[np.ndarray, "seeds scales"]
) -> Float[np.ndarray, " seeds"]:
    """By least squares over log(1/epsilon): of the steps for two layers, of their logarithms for more."""
    inverse = np.log(1 / np.array(scales))
    return np.array([np.polyfit(inverse, found if depth == 2 else np.log(found), 1)[0] for found in steps])


def _draw(
    size: Size, steps: dict[int, Float[np.ndarray, "seeds scales"]], slopes: dict[int, Float[np.ndarray, " seeds"]]
) -> Figure:
    figure, (powers, logarithm) = panels(2, width=3.8)
    for (depth, found), color in zip(steps.items(), colors(len(steps)), strict=True):
        panel = logarithm if depth == 2 else powers
        inverse = 1 / np.array(size.scales(depth))
        panel.plot(inverse, found.T, "o", color=color, ms=3, alpha=0.6)
        label = f"{depth} layers" + ("" if depth == 2 else f", exponent {np.median(slopes[depth]):.3f}")
        panel.plot(inverse, np.median(found, axis=0), color=color, label=label)
        panel.set(xlabel=r"$1/\varepsilon$", ylabel="step of the 10 % drop", xscale="log")
        legend(panel)
    powers.set(yscale="log", title=r"$\varepsilon^{-(L-2)}$")
    logarithm.set(title=r"$\log(1/\varepsilon)$", ylim=(0, None))
    return figure


EXPERIMENT = Experiment(
    name="escape-law",
    claim="From parameters of size epsilon a network of L layers leaves its first plateau after a time that grows as "
    "log(1/epsilon) for L = 2 and as epsilon^-(L-2) for L = 3 and 4.",
    source="Chen and Luo 2024, arXiv 2402.15958, for two and three layers; any depth: docs/theory.md",
    setting="tanh networks of width {width} on 88 rows of diabetes, full-batch gradient descent, float64, {seeds} "
    "seeds from 0; slopes fitted over four scales (1e-2 to 1e-5, 1e-2 to 3e-4, 3e-2 to 5e-3, times the root of 20 / "
    "width), medians of the seeds",
    criteria=(
        Criterion("L = 2: relative distance of the slope over log(1/epsilon) from 1 / (kappa rate)", "at most", 0.05),
        Criterion("L = 3: distance of the exponent from 1", "at most", 0.1),
        Criterion("L = 4: distance of the exponent from 2", "at most", 0.1),
    ),
    quick=Size(width=20, seeds=3),
    full=Size(width=100, seeds=10),
    measure=measure,
)
