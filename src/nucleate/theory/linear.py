"""Deep linear networks of any depth: what every smooth network is to leading order at zero.

With ``M = (1/n) sum_i r_i x_i^T`` the potential is ``C = <W_L ... W_1, M>``, of degree ``D = L``. For one output and
the component ``b = W_1 v`` along the target direction it is the *chain* ``a^T W_{L-1} ... W_2 b``: three layers are the
effective dynamics of Chen and Luo (arXiv 2402.15958), two layers their contrast, which grows exponentially. The general
form is derived here, in docs/theory.md.
"""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from nucleate import devices
from nucleate.errors import ArchitectureError
from nucleate.theory import checks
from nucleate.theory.effective import AnyArray


def chain_potential(layers: tuple[Float[AnyArray, "..."], ...]) -> Float[AnyArray, ""]:
    """``a^T W_{L-1} ... W_2 b``, of degree L; for three layers the energy of Chen and Luo, arXiv 2402.15958.

    Parameters
    ----------
    layers : tuple of arrays of shape (m_L,), (m_L, m_{L-1}), ..., (m_2,)
        Of NumPy, or traced by JAX.

    Returns
    -------
    scalar

    Examples
    --------
    >>> float(chain_potential((np.array([1.0, 2.0]), np.eye(2, 3), np.array([3.0, 4.0, 5.0]))))
    11.0
    """
    return reduce(operator.matmul, layers)


def end_to_end(factors: tuple[Float[AnyArray, "fan_out fan_in"], ...]) -> Float[AnyArray, "c d"]:
    """The end-to-end matrix ``W_L ... W_1`` of factors ``W_1, ..., W_L`` (Arora et al. 2019, arXiv 1905.13655).

    Parameters
    ----------
    factors : tuple of arrays of shape (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
        Of NumPy, or traced by JAX.

    Returns
    -------
    array of shape (c, d)
    """
    return reduce(operator.matmul, reversed(factors))


def linear_potential(
    weights: tuple[Float[AnyArray, "fan_out fan_in"], ...], moment: Float[AnyArray, "c d"]
) -> Float[AnyArray, ""]:
    """``<W_L ... W_1, M>``, of degree L (here, docs/theory.md).

    On the sphere ``N = L`` it is at most the largest singular value of ``M``.

    Parameters
    ----------
    weights : tuple of arrays of shape (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
        ``W_1, ..., W_L``, of NumPy or traced by JAX.
    moment : array of shape (c, d)

    Returns
    -------
    scalar

    Examples
    --------
    >>> float(linear_potential((np.full((1, 1), 2.0), np.full((1, 1), 3.0)), np.ones((1, 1))))
    6.0
    """
    return (end_to_end(weights) * moment).sum()


@devices.in_float64
def two_layer_solution(
    weights: Sequence[ArrayLike], moment: ArrayLike, times: ArrayLike
) -> tuple[Float[AnyArray, "k m d"], Float[AnyArray, "k c m"]]:
    """``W_1`` and ``W_2`` at ``times``, in closed form: ``W_2' = M W_1^T``, ``W_1' = W_2^T M``.

    Along each pair of singular vectors of ``M`` the two exchange: ``(W_2^T u)' = sigma W_1 v``, ``(W_1 v)' = sigma
    W_2^T u``, so they grow like ``exp(sigma t)`` and never blow up (here, docs/theory.md). For one output this is ``a'
    = b``, ``b' = a`` of Chen and Luo, arXiv 2402.15958.

    Parameters
    ----------
    weights : sequence of two arrays, of shape (m, d) and (c, m)
    moment : array of shape (c, d)
    times : array of shape (k,)
        May be traced by JAX.

    Returns
    -------
    W1 : array of float64, shape (k, m, d)
    W2 : array of float64, shape (k, c, m)

    Raises
    ------
    ArchitectureError
        If there are not two weights, or they and the moment do not fit.

    Examples
    --------
    >>> W1, W2 = two_layer_solution([[[1.0]], [[1.0]]], [[1.0]], [1.0])
    >>> round(float(W1[0, 0, 0]), 10)
    2.7182818285
    """
    if len(weights) != 2:
        raise ArchitectureError(f"Weights given: {len(weights)}; the closed form is of two layers, so give two.")
    (W1, W2), M = checks.weights_and_moment(weights, moment)
    left, values, right = np.linalg.svd(M)
    return _exchange(W1 @ right.T, W2.T @ left, left, values, right, jnp.asarray(times, float))


@jax.jit
def _exchange(
    forward: Float[Array, "m d"],
    backward: Float[Array, "m c"],
    left: Float[Array, "c c"],
    values: Float[Array, " k"],
    right: Float[Array, "d d"],
    times: Float[Array, " times"],
) -> tuple[Float[Array, "times m d"], Float[Array, "times c m"]]:
    k = len(values)

    def at(t: Float[Array, ""]) -> tuple[Float[Array, "m d"], Float[Array, "c m"]]:
        cosh, sinh = jnp.cosh(values * t), jnp.sinh(values * t)
        W1_t = forward.at[:, :k].set(forward[:, :k] * cosh + backward[:, :k] * sinh)
        W2_t = backward.at[:, :k].set(backward[:, :k] * cosh + forward[:, :k] * sinh)
        return W1_t @ right, left @ W2_t.T

    return jax.vmap(at)(times)


def rests(weights: Sequence[Float[np.ndarray, "fan_out fan_in"]], moment: Float[np.ndarray, "c d"]) -> bool:
    """Whether every gradient of ``<W_L ... W_1, M>`` is exactly zero, told in integers of any length.

    >>> a, W2, b = np.zeros((1, 1)), np.array([[0.1, -0.3]]), np.array([[0.3], [0.1]])
    >>> rests([b, W2, a], np.ones((1, 1))), rests([2 * b, W2, a], np.ones((1, 1)))
    (True, True)
    >>> rests([b + 1e-9, W2, a], np.ones((1, 1)))
    False
    """
    exact, M = [_integers(weight) for weight in weights], _integers(moment)
    for layer in range(len(exact)):
        before = [weight.T for weight in exact[:layer]]
        after = [weight.T for weight in exact[layer + 1 :]]
        # The vectors of a chain come first, so that no two matrices are multiplied.
        gradient = reduce(np.matmul, before, M) if before else M
        gradient = reduce(lambda product, weight: weight @ product, reversed(after), gradient)
        if (gradient != 0).any():
            return False
    return True


def _integers(array: Float[np.ndarray, "..."]) -> Any:
    """The array times a power of two that makes integers of its entries."""
    mantissas, exponents = np.frexp(array)
    shifts = exponents - exponents.min()
    digits = [
        int(mantissa * 2.0**53) << int(shift) for mantissa, shift in zip(mantissas.flat, shifts.flat, strict=True)
    ]
    return np.array(digits, dtype=object).reshape(array.shape)
