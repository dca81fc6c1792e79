"""The effective dynamics of a three-layer network at small initialization: vector field, energy, first integrals.

Rescaled by the initialization scale, to leading order, and in units of ``1 / kappa`` of time (``kappa = |u|``, ``v =
u / |u|``, ``u = (1/n) sum_i y_i x_i``), the parameters follow the gradient of the energy ``a^T W2 b`` with ``b = W1
v``. The part of ``W1`` orthogonal to ``v`` does not move. All of it is due to Z.-A. Chen and T. Luo, arXiv 2402.15958.

The formulas are written for NumPy arrays and for arrays that JAX traces alike, in the precision that they come in.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from nucleate.theory import checks

AnyArray = np.ndarray | Array
"""An array of NumPy's, or one that JAX traces."""


class State(NamedTuple):
    """The parameters that move: output weights, second layer, and the first layer's component along ``v``.

    Attributes
    ----------
    a : array of shape (m2,)
    W2 : array of shape (m2, m1)
    b : array of shape (m1,)

    Examples
    --------
    >>> state = State(np.array([1.0, 2.0]), np.eye(2, 3), np.array([3.0, 4.0, 5.0]))
    >>> float(energy(state))
    11.0
    >>> vector_field(state).a
    array([3., 4.])
    """

    a: Float[AnyArray, " m2"]
    W2: Float[AnyArray, "m2 m1"]
    b: Float[AnyArray, " m1"]


class FirstIntegrals(NamedTuple):
    """What the flow conserves: how far each pair of neighboring layers is from balance.

    Attributes
    ----------
    outer : array of shape (m2, m2)
        ``a a^T - W2 W2^T``.
    inner : array of shape (m1, m1)
        ``W2^T W2 - b b^T``.
    """

    outer: Float[AnyArray, "m2 m2"]
    inner: Float[AnyArray, "m1 m1"]


def vector_field(state: State) -> State:
    """``a' = W2 b``, ``W2' = a b^T``, ``b' = W2^T a`` (Chen and Luo, arXiv 2402.15958).

    Parameters
    ----------
    state : State

    Returns
    -------
    State
        The velocity of each layer.
    """
    a, W2, b = checks.three_layers(state)
    return State(W2 @ b, a[:, None] * b, W2.T @ a)


def energy(state: State) -> Float[AnyArray, ""]:
    """``E = a^T W2 b`` (Chen and Luo, arXiv 2402.15958).

    It never decreases: ``E' = |W2 b|^2 + |a|^2 |b|^2 + |W2^T a|^2``.

    Parameters
    ----------
    state : State

    Returns
    -------
    scalar
    """
    a, W2, b = checks.three_layers(state)
    return a @ W2 @ b


def first_integrals(state: State) -> FirstIntegrals:
    """``a a^T - W2 W2^T`` and ``W2^T W2 - b b^T``, both constant in time (Chen and Luo, arXiv 2402.15958).

    Parameters
    ----------
    state : State

    Returns
    -------
    FirstIntegrals
    """
    a, W2, b = checks.three_layers(state)
    return FirstIntegrals(a[:, None] * a - W2 @ W2.T, W2.T @ W2 - b[:, None] * b)
