"""The effective dynamics of a three-layer network at small initialisation: vector field, energy, first integrals.

Rescaled by the initialisation scale, to leading order, and in units of ``1 / kappa`` of time (``kappa = |u|``, ``v =
u / |u|``, ``u = (1/n) sum_i y_i x_i``), the parameters follow the gradient of the energy ``a^T W2 b`` with ``b = W1
v``. The part of ``W1`` orthogonal to ``v`` does not move. Source: Z.-A. Chen and T. Luo, arXiv 2402.15958.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class State(NamedTuple):
    """The parameters that move: output weights, second layer, and the first layer's component along ``v``.

    Examples
    --------
    >>> state = State(jnp.array([1.0, 2.0]), jnp.eye(2, 3), jnp.array([3.0, 4.0, 5.0]))
    >>> energy(state)
    Array(11., dtype=float64)
    >>> vector_field(state).a
    Array([3., 4.], dtype=float64)
    """

    a: Float[Array, " m2"]
    W2: Float[Array, "m2 m1"]
    b: Float[Array, " m1"]


class FirstIntegrals(NamedTuple):
    """What the flow conserves: how far each pair of neighbouring layers is from balance."""

    outer: Float[Array, "m2 m2"]
    inner: Float[Array, "m1 m1"]


def vector_field(state: State) -> State:
    """``a' = W2 b``, ``W2' = a b^T``, ``b' = W2^T a`` (Chen and Luo, arXiv 2402.15958)."""
    a, W2, b = state
    return State(W2 @ b, jnp.outer(a, b), W2.T @ a)


def energy(state: State) -> Float[Array, ""]:
    """``E = a^T W2 b``; it never decreases: ``E' = |W2 b|^2 + |a|^2 |b|^2 + |W2^T a|^2`` (arXiv 2402.15958)."""
    a, W2, b = state
    return a @ W2 @ b


def first_integrals(state: State) -> FirstIntegrals:
    """``a a^T - W2 W2^T`` and ``W2^T W2 - b b^T``, both constant in time (arXiv 2402.15958)."""
    a, W2, b = state
    return FirstIntegrals(jnp.outer(a, a) - W2 @ W2.T, W2.T @ W2 - jnp.outer(b, b))
