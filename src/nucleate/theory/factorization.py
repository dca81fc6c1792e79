"""Deep matrix factorization: ``X = W_L ... W_1`` fitted to a few measurements of a matrix, from small initialization.

The loss is a function of ``X`` alone, so to leading order the factors ascend ``<W_L ... W_1, M>`` with ``M = -grad
loss(0)``: a deep linear network whose data are the matrix's measurements. ``X`` first grows along ``M``'s top
singular vectors, at the blow-up time from depth 3 on, exponentially at depth 2, linearly at depth 1. Hence the
low-rank bias. Derived here, in docs/theory.md, after Chen and Luo, arXiv 2402.15958. Nothing is trained here.
"""

from collections.abc import Callable, Sequence
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

from nucleate import devices
from nucleate._arrays import is_real, is_whole, real_array
from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks
from nucleate.theory.blowup import BlowupTime, linear_blowup_time
from nucleate.theory.effective import AnyArray
from nucleate.theory.flow import Point, integrate, size, unit_of_time
from nucleate.theory.linear import end_to_end, linear_potential

MatrixLoss = Callable[[Float[AnyArray, "c d"]], Float[AnyArray, ""]]
"""A function of a matrix, in operations that JAX can differentiate."""
Factors = tuple[Float[AnyArray, "fan_out fan_in"], ...]
"""``W_1, ..., W_L``."""


def completion_loss(rows: ArrayLike, columns: ArrayLike, values: ArrayLike) -> MatrixLoss:
    """``1/(2n) sum_i (X[row_i, column_i] - value_i)^2``: some entries are known (Arora et al. 2019, arXiv 1905.13655).

    Parameters
    ----------
    rows, columns : arrays of int, shape (n,)
        Which entries, counted from 0.
    values : array of shape (n,)

    Returns
    -------
    callable
        From a matrix of shape (c, d) to its loss; NaN if an entry lies outside of it.

    Raises
    ------
    ArchitectureError
        If the three are not equally long lists, or the rows and columns no whole numbers from 0 on.

    Examples
    --------
    >>> float(completion_loss([0, 1], [1, 1], [2.0, 4.0])(np.zeros((2, 2))))
    5.0
    """
    known = checks.finite("The entries' values", values, rank=1)
    for name, places in (("The rows", rows), ("The columns", columns)):
        real_array(name, places)
    i, j = np.asarray(rows), np.asarray(columns)
    if not i.shape == j.shape == known.shape or not len(known):
        raise ArchitectureError(
            f"Rows {i.shape}, columns {j.shape} and values {known.shape} given; expected one length."
        )
    if not i.dtype.kind == j.dtype.kind == "i" or min(i.min(), j.min()) < 0:
        raise ArchitectureError("The rows and columns of the known entries must be whole numbers from 0 on.")
    return Partial(_completion, i, j, known)


def sensing_loss(operators: ArrayLike, values: ArrayLike) -> MatrixLoss:
    """``1/(2n) sum_i (<A_i, X> - value_i)^2``: some linear measurements are known (Arora et al., arXiv 1905.13655).

    Parameters
    ----------
    operators : array of shape (n, c, d)
        ``A_i``.
    values : array of shape (n,)

    Returns
    -------
    callable
        From a matrix of shape (c, d) to its loss.

    Raises
    ------
    ArchitectureError
        If there is not one operator for each value.

    Examples
    --------
    >>> float(sensing_loss([[[1.0, 1.0]]], [2.0])(np.zeros((1, 2))))
    2.0
    """
    A = checks.finite("The operators", operators, rank=3)
    known = checks.finite("The measured values", values, rank=1)
    if len(A) != len(known) or not len(known):
        raise ArchitectureError(
            f"{len(A)} operators and {len(known)} values given; expected one value for each operator."
        )
    return Partial(_sensing, A, known)


@devices.in_float64
def _completion(
    rows: Int[AnyArray, " n"], columns: Int[AnyArray, " n"], values: Float[AnyArray, " n"], X: Float[AnyArray, "c d"]
) -> Float[AnyArray, ""]:
    # An entry outside the matrix makes the loss NaN; JAX would take the nearest inside.
    entries = jnp.asarray(X).at[rows, columns].get(mode="fill", fill_value=jnp.nan)
    return jnp.mean((entries - values) ** 2) / 2


@devices.in_float64
def _sensing(
    operators: Float[AnyArray, "n c d"], values: Float[AnyArray, " n"], X: Float[AnyArray, "c d"]
) -> Float[AnyArray, ""]:
    return jnp.mean((jnp.einsum("icd,cd->i", operators, X) - values) ** 2) / 2


def draw_factors(shape: tuple[int, int], depth: int, scale: float, seed: int = 0) -> Factors:
    """Factors of a (c, d) matrix with normal entries, as wide within as the longer side.

    As in Arora et al. 2019, arXiv 1905.13655.

    Parameters
    ----------
    shape : (int, int)
        ``(c, d)``.
    depth : int
        The number of factors.
    scale : float
        The entries' standard deviation.
    seed : int

    Returns
    -------
    tuple of arrays of float64
        ``W_1, ..., W_L``.

    Raises
    ------
    SpecError
        For a depth below 1, a scale that is not positive, or a seed that is no whole number from 0 on.

    Examples
    --------
    >>> [factor.shape for factor in draw_factors((2, 5), depth=3, scale=1e-3)]
    [(5, 5), (5, 5), (2, 5)]
    """
    if not isinstance(shape, tuple | list) or len(shape) != 2 or not all(map(is_whole, shape)):
        raise SpecError(f"The shape is {shape!r:.60}; give two whole numbers, (c, d).")
    if not is_whole(depth) or not is_real(scale) or depth < 1 or not scale > 0:
        raise SpecError(f"Depth {depth} and scale {scale} given; the depth must be 1 or more and the scale positive.")
    if not is_whole(seed) or seed < 0:
        raise SpecError(f"The seed is {seed!r:.60}; it must be a whole number, 0 or more.")
    rng, (c, d) = np.random.default_rng(seed), shape
    widths = [d, *[max(shape)] * (depth - 1), c]
    draws = [rng.standard_normal((after, before)) for before, after in pairwise(widths)]
    return tuple(scale * draw for draw in draws)


class FactorizationForecast(NamedTuple):
    """What the measurements say before any training.

    Parameters
    ----------
    left, right : arrays of shape (c,) and (d,)
        The top singular vectors of ``M``.
    rate : float
        Its top singular value.
    blowup : BlowupTime
        Infinite at depths 1 and 2; there `escape_time` says when the product has grown.
    """

    left: Float[np.ndarray, " c"]
    rate: float
    right: Float[np.ndarray, " d"]
    blowup: BlowupTime


@devices.in_float64
def forecast_factorization(loss: MatrixLoss, factors: Sequence[ArrayLike]) -> FactorizationForecast:
    """The direction in which the product first grows, and the blow-up time, in the time of gradient flow.

    Derived here, docs/theory.md.

    Parameters
    ----------
    loss : callable
        Of a matrix of shape (c, d), as `completion_loss` and `sensing_loss` give them.
    factors : sequence of arrays of shape (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
        Where the flow starts.

    Returns
    -------
    FactorizationForecast

    Raises
    ------
    ArchitectureError
        For factors that do not fit, each other or the loss.

    Examples
    --------
    >>> forecast = forecast_factorization(completion_loss([0], [1], [3.0]), draw_factors((2, 2), 3, 1e-3))
    >>> round(forecast.rate, 10), np.abs(forecast.right)
    (3.0, array([0., 1.]))
    """
    M = leading_moment(loss, factors)
    left, values, right = np.linalg.svd(M)
    return FactorizationForecast(left[:, 0], float(values[0]), right[0], linear_blowup_time(factors, M))


@devices.in_float64
def leading_moment(loss: MatrixLoss, factors: Sequence[ArrayLike]) -> Float[np.ndarray, "c d"]:
    """``M = -grad loss(0)`` for a product of these factors' shape (derived here, docs/theory.md).

    Parameters
    ----------
    loss : callable
    factors : sequence of arrays

    Returns
    -------
    array of float64, shape (c, d)

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
    return -np.asarray(gradient)


@devices.in_float64
def escape_time(loss: MatrixLoss, factors: Sequence[ArrayLike], height: float) -> Float[AnyArray, ""]:
    """When the product's Frobenius norm reaches ``height`` under the leading flow; infinite if it does not.

    The flow is derived here, docs/theory.md.

    Parameters
    ----------
    loss : callable
        Of a matrix of shape (c, d), as `completion_loss` and `sensing_loss` give them.
    factors : sequence of arrays of shape (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
    height : float

    Returns
    -------
    scalar of float64
        In the time of gradient flow.

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
    if not is_real(height) or not height > 0:
        raise SpecError(f"The height is {height}; it must be positive.")
    rate = np.linalg.norm(M, 2)
    return _escape_time(weights, M / (rate or 1.0), np.asarray(height, np.float64)) / (rate or 1.0)


@eqx.filter_jit
def _escape_time(weights: Factors, M: Float[AnyArray, "c d"], height: Float[AnyArray, ""]) -> Float[Array, ""]:
    depth = len(weights)
    scale = size(weights, depth)

    def above(t: Any, y: Point, args: Any, **_: Any) -> Float[Array, ""]:
        """The logarithm of the product's norm over the height; minus infinity, kept finite, for a product of zero."""
        norm = jnp.sum(end_to_end(y.direction) ** 2)
        log_norm = jnp.log(jnp.maximum(norm, 1e-300)) / 2 + depth * (y.log_size + jnp.log(scale))
        return log_norm - jnp.log(height)

    event = diffrax.Event(above, optimistix.Newton(rtol=1e-12, atol=1e-12), direction=True)
    solution = integrate(Partial(linear_potential, moment=M), weights, depth, until=1e3, event=event)
    last: Point = jax.tree.map(lambda leaf: leaf[-1], solution.ys)
    reached = jnp.asarray(solution.event_mask)
    return jnp.where(reached, last.time * unit_of_time(scale, depth), jnp.inf)
