"""Deep linear networks of any depth: what every smooth network is to leading order at zero.

With ``M = (1/n) sum_i r_i x_i^T`` the potential is ``C = <W_L ... W_1, M>``, of degree ``D = L``. For one output and
the component ``b = W_1 v`` along the target direction it is the *chain* ``a^T W_{L-1} ... W_2 b``: three layers are
the effective dynamics of Chen and Luo (arXiv 2402.15958), two layers their contrast, which grows exponentially.
Derived in docs/theory.md.
"""

import operator
from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from nucleate.theory import checks


def chain_potential(layers: tuple[Float[Array, "..."], ...]) -> Float[Array, ""]:
    """``a^T W_{L-1} ... W_2 b``, of degree L.

    Examples
    --------
    >>> chain_potential((jnp.array([1.0, 2.0]), jnp.eye(2, 3), jnp.array([3.0, 4.0, 5.0])))
    Array(11., dtype=float64)
    """
    return reduce(operator.matmul, layers)


def linear_potential(
    weights: tuple[Float[Array, "fan_out fan_in"], ...], moment: Float[Array, "c d"]
) -> Float[Array, ""]:
    """``<W_L ... W_1, M>`` for weights ``W_1, ..., W_L``, of degree L (derived in docs/theory.md).

    On the sphere ``N = L`` it is at most the largest singular value of ``M``.
    """
    return jnp.sum(reduce(operator.matmul, reversed(weights)) * moment)


def two_layer_solution(
    weights: Sequence[ArrayLike], moment: ArrayLike, times: ArrayLike
) -> tuple[Float[Array, "k m d"], Float[Array, "k c m"]]:
    """``W_1`` and ``W_2`` at ``times``, in closed form: ``W_2' = M W_1^T``, ``W_1' = W_2^T M`` (derived in
    docs/theory.md).

    Along each pair of singular vectors of ``M`` the two exchange: ``(W_2^T u)' = sigma W_1 v``, ``(W_1 v)' = sigma
    W_2^T u``, so they grow like ``exp(sigma t)`` and never blow up. For one output this is ``a' = b``, ``b' = a``
    (arXiv 2402.15958).

    Raises
    ------
    ArchitectureError
        If there are not two weights, or they and the moment do not fit.

    Examples
    --------
    >>> W1, W2 = two_layer_solution([jnp.array([[1.0]]), jnp.array([[1.0]])], jnp.array([[1.0]]), [1.0])
    >>> round(float(W1[0, 0, 0]), 10)
    2.7182818285
    """
    (W1, W2), M = checks.weights_and_moment(weights, moment)
    left, values, right = (jnp.asarray(part) for part in np.linalg.svd(np.asarray(M)))
    k = len(values)
    forward, backward = W1 @ right.T, W2.T @ left

    def at(t: Float[Array, ""]) -> tuple[Float[Array, "m d"], Float[Array, "c m"]]:
        cosh, sinh = jnp.cosh(values * t), jnp.sinh(values * t)
        W1_t = forward.at[:, :k].set(forward[:, :k] * cosh + backward[:, :k] * sinh)
        W2_t = backward.at[:, :k].set(backward[:, :k] * cosh + forward[:, :k] * sinh)
        return W1_t @ right, left @ W2_t.T

    solution: tuple[Float[Array, "k m d"], Float[Array, "k c m"]] = jax.vmap(at)(jnp.asarray(times, jnp.float64))
    return solution
