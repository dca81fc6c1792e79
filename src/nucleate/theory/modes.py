"""The effective dynamics in ``2 (m1 + m2)`` numbers instead of ``m1 m2 + m1 + m2``: a Garnier system.

With the first integrals ``A = a a^T - W2 W2^T`` and ``C = W2^T W2 - b b^T``, differentiating once more eliminates
``W2``:

    a'' = (|a|^2 + |b|^2) a - A a,    b'' = (|a|^2 + |b|^2) b + C b.

In the eigenvectors of ``A`` and ``C`` every coordinate ``x_i`` of ``(a, b)`` obeys ``x_i'' = (|x|^2 + k_i) x_i`` with a
constant ``k_i``: coupled oscillators in a quartic potential. A step costs O(m1 + m2). Derived in docs/theory.md.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate.theory.effective import State, first_integrals, vector_field


class Modes(NamedTuple):
    """A state in the eigenvectors of its first integrals."""

    position: Float[Array, " m1+m2"]
    velocity: Float[Array, " m1+m2"]


class Frames(NamedTuple):
    """The eigenvalues of the first integrals ``A`` and ``C``, ascending, and their eigenvectors as columns."""

    outer_values: Float[Array, "*batch m2"]
    outer_vectors: Float[Array, "*batch m2 m2"]
    inner_values: Float[Array, "*batch m1"]
    inner_vectors: Float[Array, "*batch m1 m1"]


def frames(state: State) -> Frames:
    """The frames of a state, or of each of an ensemble.

    By NumPy: JAX's own batched LAPACK calls have been seen to wait for ever where the CPU is several devices.
    """
    conserved = first_integrals if state.a.ndim == 1 else jax.vmap(first_integrals)
    outer, inner = (np.linalg.eigh(np.asarray(matrix)) for matrix in conserved(state))
    return Frames(*map(jnp.asarray, (*outer, *inner)))


def modes(state: State, frames: Frames) -> tuple[Modes, Float[Array, " m1+m2"]]:
    """The coordinates of ``(a, b)`` and ``(a', b')``, and the stiffness ``k_i`` of each mode.

    Examples
    --------
    >>> state = State(jnp.array([2.0]), jnp.array([[3.0]]), jnp.array([5.0]))
    >>> modes(state, frames(state))[1]
    Array([  5., -16.], dtype=float64)
    """
    moving = vector_field(state)
    position = jnp.concatenate([state.a @ frames.outer_vectors, state.b @ frames.inner_vectors])
    velocity = jnp.concatenate([moving.a @ frames.outer_vectors, moving.b @ frames.inner_vectors])
    return Modes(position, velocity), jnp.concatenate([-frames.outer_values, frames.inner_values])


def modes_vector_field(modes: Modes, stiffness: Float[Array, " m1+m2"]) -> Modes:
    """``x_i'' = (|x|^2 + k_i) x_i`` as a first-order system (derived in docs/theory.md)."""
    position, velocity = modes
    return Modes(velocity, (position @ position + stiffness) * position)


def modes_energy(modes: Modes) -> Float[Array, ""]:
    """``E = a . a' = b . b'``, here as the mean of the two."""
    return modes.position @ modes.velocity / 2
