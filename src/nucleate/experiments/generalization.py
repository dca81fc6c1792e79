"""With few samples a small start generalizes better."""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, ORANGE
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.problems import Problem, Split, load_problem
from nucleate.training import train_many

DATA, ROWS = ("teacher-3", "diabetes"), (50, 100)
GAINS = {"small, gain 0.05": 0.05, "standard, gain 1": 1.0}
EVALUATIONS: tuple[Literal["best", "final"], ...] = ("best", "final")
DIABETES_ROWS, VALIDATION = 442, 0.2


class Size(NamedTuple):
    width: int
    seeds: int
    steps: int
    learning_rate: float


Errors = Float[np.ndarray, "seeds gains evaluations"]


def measure(size: Size, progress: ShareDone) -> Measurement:
    errors: dict[tuple[str, int], Errors] = {}
    cells = [(data, rows) for data in DATA for rows in ROWS]
    for done, (data, rows) in enumerate(cells):
        by_seed = []
        for seed in range(size.seeds):
            by_seed.append(_test_errors(_few_rows(data, rows, seed), size, seed))
            progress((done + (seed + 1) / size.seeds) / len(cells))
        errors[data, rows] = np.array(by_seed)
    return Measurement(tuple(upper(_change(errors[cell])) for cell in cells), _draw(errors))


def _few_rows(data: str, rows: int, seed: int) -> Problem:
    """Split anew for every seed; a real set is standardized on these rows alone."""
    if data == "diabetes":
        test = 1 - VALIDATION - rows / DIABETES_ROWS
        return load_problem(data, split_seed=seed, validation=VALIDATION, test=test)
    problem = load_problem(data, split_seed=seed)
    return replace(problem, train=Split(problem.train.x[:rows], problem.train.y[:rows]))


def _test_errors(problem: Problem, size: Size, seed: int) -> Float[np.ndarray, "gains evaluations"]:
    """Root mean squared test errors, of the network that was best on validation and of the last one."""
    hidden, bias = [size.width] * 2, [True, False, False]
    networks = [
        Network.create(problem.inputs, hidden, 1, scale=InitScale("gain", gain), bias=bias, seed=seed)
        for gain in GAINS.values()
    ]
    rates = [size.learning_rate] * len(networks)
    runs = train_many(networks, problem, learning_rates=rates, steps=size.steps, evaluations=60)
    x, y = problem.test.x, problem.test.y
    return np.array([[problem.metric(getattr(run, evaluation)(x), y) for evaluation in EVALUATIONS] for run in runs])


def _change(errors: Errors) -> Float[np.ndarray, " seeds"]:
    """That of the error of the best network, paired and relative."""
    return errors[:, 0, 0] / errors[:, 1, 0] - 1


def upper(change: Float[np.ndarray, " seeds"]) -> float:
    """The mean plus two standard errors."""
    return float(change.mean() + 2 * standard_error(change))


def standard_error(values: Float[np.ndarray, " seeds"]) -> float:
    """Of their mean."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def _draw(errors: dict[tuple[str, int], Errors]) -> Figure:
    figure, axes = panels(2 * len(DATA), width=2.9, height=3.3)
    for data, levels, pairs in zip(DATA, axes[::2], axes[1::2], strict=True):
        for gain, (label, color) in enumerate(zip(GAINS, (BLUE, ORANGE), strict=True)):
            for evaluation, line in enumerate(("-", ":")):
                cells = [errors[data, rows][:, gain, evaluation] for rows in ROWS]
                means, bars = ([function(cell) for cell in cells] for function in (np.mean, standard_error))
                name = label if evaluation == 0 else f"{label}, at the end"
                levels.errorbar(ROWS, means, bars, color=color, ls=line, marker="o", ms=4, capsize=2, label=name)
        levels.set(xlabel="training rows", ylabel="test error (RMSE)", title=data, xticks=ROWS)
        for place, rows in enumerate(ROWS):
            change = 100 * _change(errors[data, rows])
            spread = np.linspace(-0.12, 0.12, len(change))
            pairs.plot(place + spread, change, "o", ms=3, color="0.6")
            pairs.errorbar([place], change.mean(), 2 * standard_error(change), color="black", marker="D", capsize=4)
        pairs.axhline(0, color="0.3", lw=0.8)
        pairs.set(xlabel="training rows", ylabel="error, small against standard, %", title=data, xlim=(-0.5, 1.5))
        pairs.set_xticks(range(len(ROWS)), [str(rows) for rows in ROWS])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


EXPERIMENT = Experiment(
    name="generalization",
    claim="With few samples a small start generalizes better than the standard initialization, on the data of a narrow "
    "teacher and on a real set.",
    source="Zhou et al. 2022, arXiv 2105.11686, and Luo et al. 2021, arXiv 2007.07497, for the idea",
    setting="two hidden layers of {width}, tanh, first-layer bias, gradient descent at rate {learning_rate} for "
    "{steps} steps, the network best on validation; gain 0.05 against gain 1 from the same draws and the same split, "
    "{seeds} pairs, each with the seed of its number from 0; number: mean relative change of the test error plus two "
    "standard errors",
    criteria=tuple(
        Criterion(f"{data}, {rows} rows: upper bound of the change of the error", "at most", 0.0)
        for data in DATA
        for rows in ROWS
    ),
    quick=Size(width=50, seeds=8, steps=4000, learning_rate=0.05),
    full=Size(width=200, seeds=30, steps=20_000, learning_rate=0.05),
    measure=measure,
)
