"""The effective dynamics in ``2 (m1 + m2)`` numbers instead of ``m1 m2 + m1 + m2``: a Garnier system.

With the first integrals ``A = a a^T - W2 W2^T`` and ``C = W2^T W2 - b b^T``, differentiating once more eliminates
``W2``:

    a'' = (|a|^2 + |b|^2) a - A a,    b'' = (|a|^2 + |b|^2) b + C b.

In the eigenvectors of ``A`` and ``C`` every coordinate ``x_i`` of ``(a, b)`` obeys ``x_i'' = (|x|^2 + k_i) x_i`` with a
constant ``k_i``: coupled oscillators in a quartic potential. A step costs O(m1 + m2). The dynamics are those of Chen
and Luo (arXiv 2402.15958); their modes are derived here, in docs/theory.md.
"""

from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from nucleate.theory.effective import AnyArray, FirstIntegrals, State, first_integrals, vector_field
from nucleate.theory.flow import HORIZON, SOLVER, Flow, Mark, Perturbation, Point, enclosing_ends, size, unit_of_time


class Modes(NamedTuple):
    """A state in the eigenvectors of its first integrals."""

    position: Float[Array, " m1+m2"]
    velocity: Float[Array, " m1+m2"]


class Frames(NamedTuple):
    """The eigenvalues of the first integrals ``A`` and ``C``, ascending, and their eigenvectors as columns."""

    outer_values: Float[AnyArray, "*batch m2"]
    outer_vectors: Float[AnyArray, "*batch m2 m2"]
    inner_values: Float[AnyArray, "*batch m1"]
    inner_vectors: Float[AnyArray, "*batch m1 m1"]


def frames(chain: tuple[Float[AnyArray, "..."], ...]) -> Frames:
    """The frames, in float64, of a state scaled to size one, or of each state of an ensemble.

    By NumPy: batched LAPACK calls within compiled programs wait for ever where two threads run such programs.
    """
    outer, inner = (np.linalg.eigh(np.asarray(matrix)) for matrix in _conserved_at_size_one(*chain))
    return Frames(*outer, *inner)


@jax.jit
@partial(jnp.vectorize, signature="(i),(i,j),(j)->(i,i),(j,j)")
def _conserved_at_size_one(*chain: Float[Array, "..."]) -> FirstIntegrals:
    return first_integrals(_at_size_one(chain))


def _at_size_one(chain: tuple[Float[Array, "..."], ...]) -> State:
    unit = unit_of_time(size(chain, 3), 3)
    return State(*(layer * unit for layer in chain))


def in_modes(state: State, frames: Frames) -> tuple[Modes, Float[Array, " m1+m2"]]:
    """A state's modes, the coordinates of ``(a, b)`` and ``(a', b')`` in its frames, and each one's stiffness ``k_i``.

    Derived here, docs/theory.md.

    >>> one, frame = np.ones(1), np.eye(1)
    >>> state = State(2 * one, 3 * frame, 5 * one)
    >>> modes, stiffness = in_modes(state, Frames(-5 * one, frame, -16 * one, frame))
    >>> stiffness.tolist()
    [5.0, -16.0]
    """
    moving = vector_field(state)
    position = jnp.concatenate([state.a @ frames.outer_vectors, state.b @ frames.inner_vectors])
    velocity = jnp.concatenate([moving.a @ frames.outer_vectors, moving.b @ frames.inner_vectors])
    return Modes(position, velocity), jnp.concatenate([-frames.outer_values, frames.inner_values])


def modes_vector_field(modes: Modes, stiffness: Float[Array, " m1+m2"]) -> Modes:
    """``x_i'' = (|x|^2 + k_i) x_i`` as a first-order system (derived here, docs/theory.md)."""
    position, velocity = modes
    return Modes(velocity, (position @ position + stiffness) * position)


def modes_energy(modes: Modes) -> Float[Array, ""]:
    """``E = a . a' = b . b'``, here as the mean of the two."""
    return modes.position @ modes.velocity / 2


class ThreeLayers(Flow):
    """The effective dynamics in modes: ``x = R X``, ``x' = R^2 Y``, and the stiffness shrinks with ``R^-2``."""

    modes: Modes
    stiffness: Float[Array, " m1+m2"]
    rounding: Modes
    """What rounds the modes, and below the stiffness, in units of the relative rounding of a number."""
    stiffness_rounding: Float[Array, " m1+m2"]
    moves: Bool[Array, ""]
    unit: Float[Array, ""]

    def __init__(self, chain: tuple[Float[Array, "..."], ...], frames: Frames) -> None:
        state = _at_size_one(chain)
        a, W2, b = (jnp.linalg.norm(layer) for layer in state)

        def each(outer: Float[Array, ""], inner: Float[Array, ""]) -> Float[Array, " m1+m2"]:
            return jnp.concatenate([jnp.full(state.a.shape, outer), jnp.full(state.b.shape, inner)])

        self.modes, self.stiffness = in_modes(state, frames)
        # Rounding is of the size of the factors, however small the sum: that is where digits are lost.
        self.rounding = Modes(each(a, b), each(W2 * b, W2 * a))
        self.stiffness_rounding = each(jnp.maximum(a, W2) ** 2, jnp.maximum(b, W2) ** 2)
        self.moves = size(vector_field(state), 3) > 0
        self.unit = unit_of_time(size(chain, 3), 3)

    def follow(
        self,
        perturbation: Perturbation,
        rtol: Float[Array, ""],
        saveat: diffrax.SaveAt,
        event: diffrax.Event | None = None,
    ) -> diffrax.Solution:
        """As `Flow.follow`; every mode is moved by what rounds it times the perturbation's size."""
        # One sign a mode: its position and velocity must not make up for each other.
        move = perturbation.size * jax.random.rademacher(jax.random.key(perturbation.seed), self.stiffness.shape)
        start = jax.tree.map(lambda value, rounding: value + move * rounding, self.modes, self.rounding)
        stiffness = self.stiffness + move * self.stiffness_rounding

        def field(_: Any, point: Point, __: Any) -> Point:
            position, velocity = point.direction
            growth, shrinking = modes_energy(point.direction), jnp.exp(-point.log_size)
            fast, faster = modes_vector_field(point.direction, stiffness * shrinking**2)
            turning = Modes(fast - growth * position, faster - 2 * growth * velocity)
            return Point(turning, growth, shrinking)

        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            SOLVER,
            t0=0.0,
            t1=HORIZON,
            dt0=None,
            y0=Point(start, jnp.zeros(()), jnp.zeros(())),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=1e-6 * rtol),
            saveat=saveat,
            event=event,
            throw=False,
        )

    def mark(self, point: Point) -> Mark:
        """As `Flow.mark`."""
        return Mark(point.time, point.log_size, modes_energy(point.direction))

    def ends(self, mark: Mark) -> tuple[Float[AnyArray, "..."], Float[AnyArray, "..."]]:
        """As `Flow.ends`."""
        return enclosing_ends(mark, degree=3, supremum=1.0, power=1 / 3)
