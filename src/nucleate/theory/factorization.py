"""Deep matrix factorisation: ``X = W_L ... W_1`` fitted to a few measurements of a matrix, from small initialisation.

The loss is a function of ``X`` alone, so to leading order the factors ascend ``<W_L ... W_1, M>`` with ``M = -grad
loss(0)``: a deep linear network whose data are the matrix's measurements. ``X`` first grows along ``M``'s top
singular vectors, at the blow-up time from depth 3 on, exponentially at depth 2, linearly at depth 1. Hence the
low-rank bias. Derived in docs/theory.md from Chen and Luo, arXiv 2402.15958.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float, Int

from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks
from nucleate.theory.blowup import linear_blowup_time
from nucleate.theory.enclosure import BlowupTime
from nucleate.theory.flow import Point, integrate, size, unit_of_time
from nucleate.theory.linear import linear_potential

MatrixLoss = Callable[[Float[Array, "c d"]], Float[Array, ""]]
Factors = tuple[Float[Array, "fan_out fan_in"], ...]


def completion_loss(rows: ArrayLike, columns: ArrayLike, values: ArrayLike) -> MatrixLoss:
    """``1/(2n) sum_i (X[row_i, column_i] - value_i)^2``: some entries of a matrix are known.

    Raises
    ------
    ArchitectureError
        If the three are not equally long lists, or the rows and columns no whole numbers from 0 on.

    Examples
    --------
    >>> float(completion_loss([0, 1], [1, 1], [2.0, 4.0])(jnp.zeros((2, 2))))
    5.0
    """
    known = checks.finite("The entries' values", values, rank=1)
    i, j = np.asarray(rows), np.asarray(columns)
    if not i.shape == j.shape == known.shape or not len(known):
        raise ArchitectureError(
            f"Rows {i.shape}, columns {j.shape} and values {known.shape} given; expected one length."
        )
    if not i.dtype.kind == j.dtype.kind == "i" or min(i.min(), j.min()) < 0:
        raise ArchitectureError("The rows and columns of the known entries must be whole numbers from 0 on.")
    return Partial(_completion, jnp.asarray(i), jnp.asarray(j), known)


def sensing_loss(operators: ArrayLike, values: ArrayLike) -> MatrixLoss:
    """``1/(2n) sum_i (<A_i, X> - value_i)^2``: some linear measurements of a matrix are known.

    Raises
    ------
    ArchitectureError
        If there is not one operator for each value.

    Examples
    --------
    >>> float(sensing_loss([[[1.0, 1.0]]], [2.0])(jnp.zeros((1, 2))))
    2.0
    """
    A = checks.finite("The operators", operators, rank=3)
    known = checks.finite("The measured values", values, rank=1)
    if len(A) != len(known) or not len(known):
        raise ArchitectureError(
            f"{len(A)} operators and {len(known)} values given; expected one value for each operator."
        )
    return Partial(_sensing, A, known)


def _completion(
    rows: Int[Array, " n"], columns: Int[Array, " n"], values: Float[Array, " n"], X: Float[Array, "c d"]
) -> Float[Array, ""]:
    # An entry outside the matrix makes the loss NaN; JAX would take the nearest inside.
    return jnp.mean((X.at[rows, columns].get(mode="fill", fill_value=jnp.nan) - values) ** 2) / 2


def _sensing(operators: Float[Array, "n c d"], values: Float[Array, " n"], X: Float[Array, "c d"]) -> Float[Array, ""]:
    return jnp.mean((jnp.einsum("icd,cd->i", operators, X) - values) ** 2) / 2


def product(factors: Factors) -> Float[Array, "c d"]:
    """``W_L ... W_1`` of factors ``W_1, ..., W_L``."""
    return reduce(operator.matmul, reversed(factors))


def draw_factors(shape: tuple[int, int], depth: int, scale: float, seed: int = 0) -> Factors:
    """Factors of a (c, d) matrix with normal entries of standard deviation ``scale``, as wide within as the longer
    side.

    Raises
    ------
    SpecError
        For a depth below 1 or a scale that is not positive.

    Examples
    --------
    >>> [factor.shape for factor in draw_factors((2, 5), depth=3, scale=1e-3)]
    [(5, 5), (5, 5), (2, 5)]
    """
    if depth < 1 or not scale > 0:
        raise SpecError(f"Depth {depth} and scale {scale} given; the depth must be 1 or more and the scale positive.")
    rng, (c, d) = np.random.default_rng(seed), shape
    widths = [d, *[max(shape)] * (depth - 1), c]
    draws = [rng.standard_normal((after, before)) for before, after in pairwise(widths)]
    return tuple(scale * jnp.asarray(draw) for draw in draws)


class FactorizationForecast(NamedTuple):
    """What the measurements say before any training."""

    left: Float[np.ndarray, " c"]
    rate: float
    """The top singular value of ``M``, beside its singular vectors."""
    right: Float[np.ndarray, " d"]
    blowup: BlowupTime
    """Infinite at depths 1 and 2; there `escape_time` says when the product has grown."""


def forecast_factorization(loss: MatrixLoss, factors: Sequence[ArrayLike]) -> FactorizationForecast:
    """The direction in which the product first grows, and the blow-up time, in the time of gradient flow.

    Raises
    ------
    ArchitectureError
        For factors that do not fit.

    Examples
    --------
    >>> forecast = forecast_factorization(completion_loss([0], [1], [3.0]), draw_factors((2, 2), 3, 1e-3))
    >>> round(forecast.rate, 10), np.abs(forecast.right)
    (3.0, array([0., 1.]))
    """
    M = leading_moment(loss, factors)
    left, values, right = np.linalg.svd(np.asarray(M))
    return FactorizationForecast(left[:, 0], float(values[0]), right[0], linear_blowup_time(factors, M))


def leading_moment(loss: MatrixLoss, factors: Sequence[ArrayLike]) -> Float[Array, "c d"]:
    """``M = -grad loss(0)`` for a product of these factors' shape (derived in docs/theory.md).

    Raises
    ------
    ArchitectureError
        If the loss is not of a matrix of that shape.
    """
    zero = jnp.zeros((np.shape(factors[-1])[0], np.shape(factors[0])[1]))
    try:
        at_zero, gradient = jax.value_and_grad(loss)(zero)
    except (TypeError, ValueError):
        at_zero = jnp.nan
    if not jnp.isfinite(at_zero):
        raise ArchitectureError(f"The measurements do not fit a matrix of the factors' shape {zero.shape}.")
    return -gradient


def escape_time(loss: MatrixLoss, factors: Sequence[ArrayLike], height: float) -> Float[Array, ""]:
    """When the product's Frobenius norm reaches ``height`` under the leading flow; infinite if it does not.

    Raises
    ------
    ArchitectureError
        For factors that do not fit.
    SpecError
        For a height that is not positive.

    Examples
    --------
    >>> loss = completion_loss([0], [0], [2.0])
    >>> round(float(escape_time(loss, [[[0.1]]], 1.0)), 6), round(float(escape_time(loss, [[[0.1]], [[0.1]]], 1.0)), 6)
    (0.45, 1.151293)
    """
    weights, M = checks.weights_and_moment(factors, leading_moment(loss, factors))
    if not height > 0:
        raise SpecError(f"The height is {height}; it must be positive.")
    rate = np.linalg.norm(np.asarray(M), 2)
    time: Float[Array, ""] = _escape_time(weights, M / (rate or 1.0), jnp.asarray(height))
    return time / (rate or 1.0)


@eqx.filter_jit
def _escape_time(weights: Factors, M: Float[Array, "c d"], height: Float[Array, ""]) -> Float[Array, ""]:
    depth = len(weights)
    scale = size(weights, depth)

    def above(t: Any, y: Point, args: Any, **_: Any) -> Float[Array, ""]:
        """The logarithm of the product's norm over the height; minus infinity, kept finite, for a product of zero."""
        norm = jnp.sum(product(y.direction) ** 2)
        log_norm = jnp.log(jnp.maximum(norm, 1e-300)) / 2 + depth * (y.log_size + jnp.log(scale))
        return log_norm - jnp.log(height)

    event = diffrax.Event(above, optimistix.Newton(rtol=1e-12, atol=1e-12), direction=True)
    solution = integrate(Partial(linear_potential, moment=M), weights, depth, until=1e3, event=event)
    last: Point = jax.tree.map(lambda leaf: leaf[-1], solution.ys)
    reached = jnp.asarray(solution.event_mask)
    return jnp.where(reached, last.time * unit_of_time(scale, depth), jnp.inf)


class Descent(NamedTuple):
    """Gradient descent on the factors, at the recorded steps."""

    steps: Int[Array, " k"]
    products: Float[Array, "k c d"]
    losses: Float[Array, " k"]
    singular_values: Float[Array, "k r"]
    effective_ranks: Float[Array, " k"]


def descend(loss: MatrixLoss, factors: Factors, learning_rate: float, steps: int, every: int) -> Descent:
    """Full-batch gradient descent on ``loss(W_L ... W_1)``, noting the product before every ``every``-th step.

    Raises
    ------
    SpecError
        For a learning rate, steps or interval that is not positive.
    """
    if not (learning_rate > 0 and 0 < every <= steps):
        raise SpecError(
            f"Learning rate {learning_rate}, {steps} steps, every {every}: give positive numbers, every at most steps."
        )
    products, losses = _descend(loss, factors, jnp.asarray(learning_rate), steps // every, every)
    values = jnp.asarray(np.linalg.svd(np.asarray(products), compute_uv=False))
    return Descent(every * jnp.arange(steps // every), products, losses, values, effective_rank(values))


@eqx.filter_jit
def _descend(loss: MatrixLoss, factors: Factors, rate: Float[Array, ""], records: int, every: int) -> Any:
    gradient = jax.grad(lambda weights: loss(product(weights)))

    def step(_: Any, weights: Factors) -> Factors:
        return jax.tree.map(lambda w, g: w - rate * g, weights, gradient(weights))

    def record(weights: Factors, _: None) -> tuple[Factors, Float[Array, "c d"]]:
        return jax.lax.fori_loop(0, every, step, weights), product(weights)

    _, products = jax.lax.scan(record, factors, length=records)
    return products, jax.vmap(loss)(products)


def effective_rank(singular_values: Float[Array, "... r"]) -> Float[Array, "..."]:
    """``exp(-sum_i p_i log p_i)`` with ``p = sigma / sum(sigma)`` (Roy and Vetterli, EUSIPCO 2007).

    Examples
    --------
    >>> [round(float(effective_rank(jnp.array(values))), 6) for values in ([2.0, 2.0, 0.0], [5.0, 0.0, 0.0])]
    [2.0, 1.0]
    """
    share = singular_values / jnp.sum(singular_values, axis=-1, keepdims=True)
    rank: Float[Array, ...] = jnp.exp(jnp.sum(jax.scipy.special.entr(share), axis=-1))
    return rank


class Comparison(NamedTuple):
    """One depth and initialisation scale: what was predicted, and where training ended."""

    depth: int
    scale: float
    blowup_step: float
    """The predicted blow-up time in steps; infinite at depths 1 and 2."""
    alignment: float
    """``|u^T X v| / |X|_F`` with the predicted ``u, v`` when the product first reached a tenth of its final norm."""
    effective_rank: float
    train_loss: float
    test_loss: float


def compare(
    loss: MatrixLoss,
    test_loss: MatrixLoss,
    shape: tuple[int, int],
    depths: Sequence[int],
    scales: Sequence[float],
    *,
    learning_rate: float,
    steps: int,
    seed: int = 0,
) -> list[Comparison]:
    """Forecast and train at every depth and initialisation scale, from factors drawn with one seed."""
    return [
        _compared(loss, test_loss, draw_factors(shape, depth, scale, seed), scale, learning_rate, steps)
        for depth in depths
        for scale in scales
    ]


def _compared(
    loss: MatrixLoss, test_loss: MatrixLoss, factors: Factors, scale: float, learning_rate: float, steps: int
) -> Comparison:
    forecast = forecast_factorization(loss, factors)
    descent = descend(loss, factors, learning_rate, steps, max(steps // 1000, 1))
    norms = jnp.linalg.norm(descent.products, axis=(1, 2))
    risen = descent.products[int(jnp.argmax(norms >= norms[-1] / 10))]
    return Comparison(
        depth=len(factors),
        scale=scale,
        blowup_step=float(forecast.blowup.estimate) / learning_rate,
        alignment=float(abs(forecast.left @ risen @ forecast.right) / jnp.linalg.norm(risen)),
        effective_rank=float(descent.effective_ranks[-1]),
        train_loss=float(descent.losses[-1]),
        test_loss=float(test_loss(descent.products[-1])),
    )
