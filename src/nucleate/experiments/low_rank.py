"""Deep factorisations from a small start find matrices of low rank."""

from itertools import pairwise, product
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure

from nucleate import devices
from nucleate.errors import SpecError
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import colors, legend
from nucleate.observe import effective_rank
from nucleate.theory import Factors, MatrixLoss, completion_loss, draw_factors, end_to_end

# Init scales as gains: standard deviations are these over the root of the side.
DEPTHS, GAINS = (1, 2, 3, 4), (1.0, 0.5, 0.2, 0.1)
DEEP, SHALLOW, SMALL, LARGE = 3, 2, 0.1, 1.0
SINGULAR_VALUES = (10.0, 4.0)
# The loss is a mean over the known entries: with a rate in proportion to their number it has the same speed for all.
RATE_AN_ENTRY = 0.005
# At that rate both singular values are learned within the first thousand steps, whatever the side.
FACTORIZATION_STEPS, RECORD_EVERY = 2000, 2


class Size(NamedTuple):
    side: int
    known: float
    steps: int
    seeds: int


class _Task(NamedTuple):
    """A matrix of rank two, and the entries that are shown."""

    truth: Float[np.ndarray, "side side"]
    shown: Bool[np.ndarray, "side side"]

    def loss(self, entries: Bool[np.ndarray, "side side"]) -> MatrixLoss:
        """That of these entries."""
        rows, columns = np.nonzero(entries)
        return completion_loss(rows, columns, self.truth[entries])


class Descent(NamedTuple):
    """Gradient descent on the factors of a matrix, at the recorded steps."""

    steps: Int[np.ndarray, " k"]
    products: Float[np.ndarray, "k c d"]
    losses: Float[np.ndarray, " k"]
    singular_values: Float[np.ndarray, "k r"]


class _Completion(NamedTuple):
    """Where training on the entries that are shown has ended."""

    effective_rank: float
    hidden_loss: float


def measure(size: Size, progress: ShareDone) -> Measurement:
    tables, descents = [], []
    for seed in range(size.seeds):
        task = _draw_task(size, seed)
        tables.append(_complete(task, size, seed))
        descents.append([_factorize(task, size, depth, seed) for depth in (1, DEEP)])
        progress((seed + 1) / size.seeds)
    by = {cell: [table[index] for table in tables] for index, cell in enumerate(product(DEPTHS, GAINS))}
    rank = np.median([row.effective_rank for row in by[DEEP, SMALL]]) / effective_rank(np.diag(SINGULAR_VALUES))
    deeper = [_ratio(by[deep, SMALL], by[less, SMALL]) for less, deep in pairwise(DEPTHS)]
    # A single factor moves no hidden entry, so that its scale decides nothing.
    smaller = [_ratio(by[depth, small], by[depth, more]) for depth in DEPTHS[1:] for more, small in pairwise(GAINS)]
    numbers = (
        float(rank),
        float(np.max(deeper)),
        float(np.max(smaller)),
        _ratio(by[DEEP, SMALL], by[SHALLOW, SMALL]),
        _ratio(by[DEEP, SMALL], by[DEEP, LARGE]),
        float(np.median([_second_when_first_is_half(deep) for _, deep in descents])),
    )
    return Measurement(numbers, _draw(by, descents[0]))


def _draw_task(size: Size, seed: int) -> _Task:
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((size.side, 2)))[0] for _ in range(2))
    truth = left @ np.diag(SINGULAR_VALUES) @ right.T
    return _Task(truth, rng.random(truth.shape) < size.known)


def _complete(task: _Task, size: Size, seed: int) -> list[_Completion]:
    """For every depth and gain, the gains of a depth one after the other."""
    shown, hidden = task.loss(task.shown), task.loss(~task.shown)
    rate, every = RATE_AN_ENTRY * int(task.shown.sum()), max(size.steps // 1000, 1)
    ends = []
    for depth, gain in product(DEPTHS, GAINS):
        factors = draw_factors((size.side, size.side), depth, gain / size.side**0.5, seed)
        end = descend(shown, factors, rate, size.steps, every).products[-1]
        ends.append(_Completion(effective_rank(end), float(hidden(end))))
    return ends


def _factorize(task: _Task, size: Size, depth: int, seed: int) -> Descent:
    loss = task.loss(np.ones_like(task.shown))
    factors = draw_factors((size.side, size.side), depth, SMALL / size.side**0.5, seed)
    return descend(loss, factors, RATE_AN_ENTRY * task.truth.size, FACTORIZATION_STEPS, RECORD_EVERY)


@devices.in_float64
def descend(loss: MatrixLoss, factors: Factors, learning_rate: float, steps: int, every: int) -> Descent:
    """Full-batch gradient descent on ``loss(W_L ... W_1)``, noting the product before every ``every``-th step."""
    if not (learning_rate > 0 and 0 < every <= steps):
        raise SpecError(
            f"Learning rate {learning_rate}, {steps} steps, every {every}: give positive numbers, every at most steps."
        )
    products, losses = _descend(loss, factors, np.asarray(learning_rate), steps // every, every)
    values = np.linalg.svd(products, compute_uv=False)
    return Descent(every * np.arange(steps // every), products, losses, values)


@eqx.filter_jit
def _descend(loss: MatrixLoss, factors: Factors, rate: Any, records: int, every: int) -> Any:
    gradient = jax.grad(lambda weights: loss(end_to_end(weights)))

    def step(_: Any, weights: Factors) -> Factors:
        return jax.tree.map(lambda w, g: w - rate * g, weights, gradient(weights))

    def record(weights: Factors, _: None) -> tuple[Factors, Any]:
        return jax.lax.fori_loop(0, every, step, weights), end_to_end(weights)

    _, products = jax.lax.scan(record, factors, length=records)
    return products, jax.vmap(loss)(products)


def _ratio(rows: list[_Completion], others: list[_Completion]) -> float:
    return float(np.median([row.hidden_loss / other.hidden_loss for row, other in zip(rows, others, strict=True)]))


def _second_when_first_is_half(descent: Descent) -> float:
    """The second singular value, over its last, when the first has reached half of its last."""
    values = descent.singular_values
    reached = int((values[:, 0] >= values[-1, 0] / 2).argmax())
    return float(values[reached, 1] / values[-1, 1])


def _draw(by: dict[tuple[int, float], list[_Completion]], descents: list[Descent]) -> Figure:
    figure, (rank, error, first, deep) = panels(4, width=2.9)
    for depth, color in zip(DEPTHS, colors(len(DEPTHS)), strict=True):
        for panel, quantity in ((rank, "effective_rank"), (error, "hidden_loss")):
            medians = [np.median([getattr(row, quantity) for row in by[depth, gain]]) for gain in GAINS]
            panel.plot(GAINS, medians, "o-", color=color, ms=4, label=f"depth {depth}")
            panel.set(xlabel="init scale (gain)", xscale="log")
            panel.set_xticks(GAINS, [f"{gain:g}" for gain in GAINS])
            panel.minorticks_off()
    rank.axhline(effective_rank(np.diag(SINGULAR_VALUES)), color="0.4", ls=":", label="truth")
    rank.set(ylabel="effective rank", title="Completion: rank")
    error.set(ylabel="loss on hidden entries", yscale="log", title="Completion: error")
    legend(rank)
    for panel, descent, depth in ((first, descents[0], 1), (deep, descents[1], DEEP)):
        values = descent.singular_values
        for index, color in enumerate(colors(3)):
            panel.plot(descent.steps + 1, values[:, index], color=color, label=f"$\\sigma_{index + 1}$")
        panel.set(xlabel="step + 1", xscale="log", title=f"Factorisation: depth {depth}")
    first.set_ylabel("singular values")
    legend(first)
    return figure


EXPERIMENT = Experiment(
    name="low-rank",
    claim="Deep matrix factorisation and completion from a small start is biased to low rank, the more the deeper and "
    "the smaller: singular values are learned one after the other.",
    source="Chen and Luo 2024, arXiv 2402.15958; Arora et al. 2019, arXiv 1905.13655",
    setting="{side} x {side} matrices of singular values 10 and 4, a share {known} of the entries shown for completion "
    f"and all for factorisation; gradient descent for {{steps}} and {FACTORIZATION_STEPS} steps; "
    "{seeds} seeds from 0, medians; depths 1 to 4, gains 1, 0.5, 0.2 and 0.1; small: gain 0.1, large: gain 1, deep: "
    "depth 3",
    criteria=(
        Criterion("completion, deep and small: effective rank over that of the truth", "at most", 1.1),
        Criterion(
            "completion: loss on hidden entries, a depth over the one below, from small, largest", "at most", 1.0
        ),
        Criterion("completion: the same, a scale over the next larger, largest of depths 2 to 4", "at most", 1.0),
        Criterion("completion: loss on hidden entries, deep and small over depth 2 and small", "at most", 0.1),
        Criterion("completion: loss on hidden entries, deep and small over deep and large", "at most", 0.5),
        Criterion(
            "factorisation: second singular value over its end when the first has half of its own", "at most", 0.1
        ),
    ),
    quick=Size(side=20, known=0.5, steps=20_000, seeds=3),
    full=Size(side=30, known=0.4, steps=100_000, seeds=10),
    measure=measure,
)
