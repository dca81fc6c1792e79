"""The effective dynamics in ``2 (m1 + m2)`` numbers instead of ``m1 m2 + m1 + m2``: a Garnier system.

With the first integrals ``A = a a^T - W2 W2^T`` and ``C = W2^T W2 - b b^T``, differentiating once more eliminates
``W2``:

    a'' = (|a|^2 + |b|^2) a - A a,    b'' = (|a|^2 + |b|^2) b + C b.

In the eigenvectors of ``A`` and ``C`` every coordinate ``x_i`` of ``(a, b)`` obeys ``x_i'' = (|x|^2 + k_i) x_i`` with a
constant ``k_i``: coupled oscillators in a quartic potential. A step costs O(m1 + m2). Derived in docs/theory.md.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from nucleate import _jax as _jax
from nucleate.theory.effective import State, first_integrals, vector_field


class Modes(NamedTuple):
    """A state in the eigenvectors of its first integrals."""

    position: Float[Array, " m1+m2"]
    velocity: Float[Array, " m1+m2"]


def modes(state: State) -> tuple[Modes, Float[Array, " m1+m2"]]:
    """The coordinates of ``(a, b)`` and ``(a', b')``, and the stiffness ``k_i`` of each mode.

    Examples
    --------
    >>> modes(State(jnp.array([2.0]), jnp.array([[3.0]]), jnp.array([5.0])))[1]
    Array([  5., -16.], dtype=float64)
    """
    outer, inner = first_integrals(state)
    moving = vector_field(state)
    outer_values, outer_vectors = jnp.linalg.eigh(outer)
    inner_values, inner_vectors = jnp.linalg.eigh(inner)
    position = jnp.concatenate([state.a @ outer_vectors, state.b @ inner_vectors])
    velocity = jnp.concatenate([moving.a @ outer_vectors, moving.b @ inner_vectors])
    return Modes(position, velocity), jnp.concatenate([-outer_values, inner_values])


def modes_vector_field(modes: Modes, stiffness: Float[Array, " m1+m2"]) -> Modes:
    """``x_i'' = (|x|^2 + k_i) x_i`` as a first-order system (derived in docs/theory.md)."""
    position, velocity = modes
    return Modes(velocity, (position @ position + stiffness) * position)


def modes_energy(modes: Modes) -> Float[Array, ""]:
    """``E = a . a' = b . b'``, here as the mean of the two."""
    return modes.position @ modes.velocity / 2
