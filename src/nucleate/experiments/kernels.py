"""The kernels of a small convolutional network turn to few directions from a small start, and to the one forecast."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from nucleate.architectures import ConvNetwork
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, GREY, ORANGE, colors, legend
from nucleate.init_scale import InitScale
from nucleate.observe import alignment, directions_in_use
from nucleate.problems import Problem, load_problem
from nucleate.theory import Convolution, patch_moment
from nucleate.training import Batch, train_many

SHAPE, LAYER = (40, 1), Convolution(kernel=7, stride=3)
ACTIVATIONS = {"tanh": True, "gelu": True, "sigmoid": True, "relu": False}
"""And whether their leading part is linear, so that the direction is known in closed form."""
STANDARD, DROP, TURNED = 1.0, 0.1, 0.9


class Size(NamedTuple):
    kernels: int
    gain: float
    seeds: int
    rows: int
    steps: int
    learning_rate: float


class Course(NamedTuple):
    """What the kernels of a run did: ``in_use`` are their directions, ``cosines`` their |cos| to that forecast."""

    steps: Int[np.ndarray, " t"]
    dropped: int | None
    in_use: Float[np.ndarray, " t"]
    cosines: Float[np.ndarray, "t m"]

    @property
    def at_drop(self) -> float:
        """The directions in use when the loss has fallen by a tenth; NaN if it did not."""
        return np.nan if self.dropped is None else float(self.in_use[self.dropped])

    def turned(self, at: int | None) -> float:
        """The share of the kernels that have turned to the direction by an evaluation; NaN if it did not come."""
        return np.nan if at is None else float((self.cosines[at] > TURNED).mean())


Courses = dict[tuple[str, float], list[Course]]
"""By activation and gain, a course a seed."""


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem, courses = load_problem(f"digits-1d:length={SHAPE[0]},rows={size.rows}"), Courses()
    target = _direction(problem)
    cells = list(product(ACTIVATIONS, (size.gain, STANDARD)))
    for done, (activation, gain) in enumerate(cells, start=1):
        courses[activation, gain] = _train(size, problem, activation, gain, target)
        progress(done / len(cells))
    small = [course for activation in ACTIVATIONS for course in courses[activation, size.gain]]
    standard = [course for activation in ACTIVATIONS for course in courses[activation, STANDARD]]
    told = [course for activation, linear in ACTIVATIONS.items() if linear for course in courses[activation, size.gain]]
    # By NumPy, whose least of a number and NaN is NaN.
    numbers = (
        np.max([course.at_drop for course in small]),
        np.min([[course.at_drop, course.in_use[-1]] for course in standard]) / size.kernels,
        np.min([course.turned(course.dropped) for course in told]),
        np.max([course.turned(0) for course in told]),
    )
    return Measurement(tuple(map(float, numbers)), _draw(courses, size))


def _direction(problem: Problem) -> Float[np.ndarray, " k"]:
    """Where theory has kernels turn to: the leading right singular vector of the patches' moment at output zero."""
    residuals = problem.loss.residual(np.zeros_like(problem.train.y), problem.train.y)
    moment = patch_moment(problem.train.x.reshape(-1, *SHAPE), residuals, LAYER, readout="flatten")
    return np.linalg.svd(moment)[2][0]


def _train(size: Size, problem: Problem, activation: str, gain: float, target: Float[np.ndarray, " k"]) -> list[Course]:
    networks = [
        ConvNetwork.create(
            SHAPE,
            [size.kernels],
            problem.outputs,
            scale=InitScale("gain", gain),
            kernel=LAYER.kernel,
            stride=LAYER.stride,
            readout="flatten",
            activation=activation,
            seed=seed,
        )
        for seed in range(size.seeds)
    ]

    def look(network: ConvNetwork) -> tuple[float, Float[np.ndarray, " m"]]:
        (layer,) = network.layers(problem.train.x)
        in_use = directions_in_use(layer.incoming, layer.contributions, signed=not layer.opposites_are_one)
        return in_use, np.abs(alignment(layer.incoming, target))

    seen = [[(0, *look(network))] for network in networks]

    def note(batch: Batch) -> None:
        for course, network in zip(seen, batch.final, strict=True):
            course.append((batch.step, *look(network)))

    runs = train_many(
        networks,
        problem,
        learning_rates=[size.learning_rate] * size.seeds,
        steps=size.steps,
        evaluations=120,
        measures=(),
        on_evaluation=note,
    )
    courses = []
    for run, course in zip(runs, seen, strict=True):
        steps, in_use, cosines = (np.array(told) for told in zip(*course, strict=True))
        drop = run.drop_steps[DROP]
        dropped = None if drop is None else int(np.searchsorted(steps, drop))
        courses.append(Course(steps, dropped, in_use, cosines))
    return courses


def _draw(courses: Courses, size: Size) -> Figure:
    figure, (over_time, each, spread) = panels(3, width=3.4)
    for activation, color in zip(ACTIVATIONS, colors(len(ACTIVATIONS)), strict=True):
        for gain, style in ((size.gain, "-"), (STANDARD, ":")):
            first = courses[activation, gain][0]
            label = activation if gain == size.gain else None
            over_time.plot(first.steps + 1, first.in_use, style, color=color, lw=1.2, label=label)
            if first.dropped is not None:
                over_time.plot(first.steps[first.dropped] + 1, first.at_drop, "o", color=color, ms=4)
    over_time.set(xlabel="step + 1", ylabel="directions in use", xscale="log", ylim=(0, size.kernels))
    over_time.set_title("Dotted: gain 1; dots: 10 % drop")
    legend(over_time)
    shown, linear = next(iter(ACTIVATIONS)), [name for name, known in ACTIVATIONS.items() if known]
    first = courses[shown, size.gain][0]
    each.plot(first.steps + 1, first.cosines, color=BLUE, lw=0.6, alpha=0.6)
    if first.dropped is not None:
        each.axvline(first.steps[first.dropped] + 1, color=GREY, lw=1, ls="--")
    each.set(xlabel="step + 1", ylabel=r"$|\cos|$ to the forecast direction", xscale="log", ylim=(0, 1.02))
    each.set_title(f"Each kernel, {shown}; dashed: 10 % drop")
    for gain, at_start, shade, label in (
        (size.gain, False, BLUE, f"gain {size.gain:g}"),
        (STANDARD, False, ORANGE, "gain 1"),
        (size.gain, True, GREY, "at the start"),
    ):
        ends = [
            course.cosines[0 if at_start else course.dropped]
            for name in linear
            for course in courses[name, gain]
            if at_start or course.dropped is not None
        ]
        values = np.concatenate([*ends, np.empty(0)])
        kind = {"histtype": "step", "lw": 1.2} if at_start else {"alpha": 0.7}
        weights = np.full(values.size, 1 / max(values.size, 1))
        spread.hist(values, bins=20, range=(0, 1), weights=weights, color=shade, label=label, **kind)
    spread.set(xlabel=r"$|\cos|$ to the forecast direction", ylabel="share of the kernels")
    spread.set_title("At the 10 % drop")
    legend(spread, loc="upper left")
    return figure


EXPERIMENT = Experiment(
    name="kernels",
    claim="From a small start the kernels of a convolutional network condense while its loss is on the plateau: they "
    "turn to one or a few directions, which the data determine.",
    source="Zhou, Zhou, Li and Xu 2023, arXiv 2305.09947; the direction: docs/theory.md",
    setting="one layer of {kernels} kernels of 7, stride 3, and a head that reads each position, softmax, digits-1d "
    "with {rows} rows, gradient descent at rate {learning_rate} for {steps} steps, tanh, GELU, sigmoid and ReLU, "
    "{seeds} seeds from 0; small start: gain {gain}, standard start: gain 1; directions are weighed by what their "
    "kernels contribute; turned: |cos| > 0.9 to the forecast direction, of activations whose leading part is linear",
    criteria=(
        Criterion("small start: directions in use at the 10 % drop, largest", "at most", 3.0),
        Criterion("standard start: the same over the kernels, at the drop and at the end, least", "at least", 0.5),
        Criterion("small start: kernels that have turned at the drop, least", "at least", 0.9),
        Criterion("the same before training, largest", "at most", 0.1),
    ),
    quick=Size(kernels=16, gain=1e-4, seeds=2, rows=500, steps=300, learning_rate=0.2),
    full=Size(kernels=64, gain=1e-5, seeds=5, rows=1000, steps=600, learning_rate=0.2),
    measure=measure,
)
