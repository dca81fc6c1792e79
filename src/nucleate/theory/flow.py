"""Gradient ascent on a homogeneous potential, in a time in which nothing blows up.

Let ``C`` be positively homogeneous of degree ``D`` and ``theta' = grad C(theta)``. With the size ``R = sqrt(N / D)``,
``N = |theta|^2``, the direction ``u = theta / R`` and the desingularised time ``ds = R^(D - 2) dt``,

    du/ds = grad C(u) - C(u) u,    d(log R)/ds = C(u),    dt/ds = R^-(D - 2).

``|u|^2 = D`` stays put, ``C(u)`` never decreases, and a blow-up of ``theta`` at ``t = T*`` is ``s`` to infinity.
Derived in docs/theory.md. Size and time are kept in units of the start: ``log R = 0`` there, whatever the scale of
the state.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

Potential = Callable[[Any], Float[Array, ""]]
"""A homogeneous function of a state. It passes into compiled code, so parameters are bound by jax.tree_util.Partial."""

# An explicit method of high order: tight tolerances at smooth fields are all this room asks for.
SOLVER = diffrax.Dopri8()
LAST = diffrax.SaveAt(t1=True)


class Point(NamedTuple):
    """Where the flow is: ``u``, ``log R`` and ``t``, the last two in units of the start."""

    direction: PyTree[Float[Array, "..."]]
    log_size: Float[Array, ""]
    time: Float[Array, ""]


def size(state: PyTree[Float[Array, "..."]], degree: int) -> Float[Array, ""]:
    """``R = sqrt(N / D)``.

    Examples
    --------
    >>> float(size((jnp.ones(3), jnp.ones((3, 3))), degree=3))
    2.0
    """
    leaves = jax.tree.leaves(state)
    # The largest entry is taken out, so that no square overflows or vanishes.
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    unit = jnp.where(largest > 0, largest, 1.0)
    return largest * jnp.sqrt(sum(jnp.sum((leaf / unit) ** 2) for leaf in leaves) / degree)


def start(state: PyTree[Float[Array, "..."]], degree: int) -> Point:
    """The flow's first point; the zero state, which has no direction, stays zero."""
    scale = size(state, degree)
    direction = jax.tree.map(lambda leaf: leaf / jnp.where(scale > 0, scale, 1.0), state)
    return Point(direction, jnp.zeros(()), jnp.zeros(()))


def unit_of_time(scale: Float[Array, ""], degree: int) -> Float[Array, ""]:
    """The time in which a state of size ``scale`` moves, ``scale^-(D - 2)``; 1 for the zero state."""
    return jnp.where(scale > 0, scale, 1.0) ** -(degree - 2)


def scaled(potential: Potential, by: Float[Array, ""]) -> Potential:
    """``by`` times the potential: its flow takes ``1 / by`` of the time."""
    scaled_potential: Potential = Partial(_scaled, potential, by)
    return scaled_potential


def _scaled(potential: Potential, by: Float[Array, ""], state: Any) -> Float[Array, ""]:
    return by * potential(state)


def desingularised(potential: Potential, degree: int) -> Callable[[Any, Point, Any], Point]:
    """The field of the desingularised flow at a point (see the module)."""

    def field(_: Any, point: Point, __: Any) -> Point:
        growth, gradient = jax.value_and_grad(potential)(point.direction)
        turning = jax.tree.map(lambda g, u: g - growth * u, gradient, point.direction)
        return Point(turning, growth, jnp.exp(-(degree - 2) * point.log_size))

    return field


@eqx.filter_jit
def integrate(
    potential: Potential,
    state: PyTree[Float[Array, "..."]],
    degree: int,
    *,
    until: float | Float[Array, ""],
    rtol: float | Float[Array, ""] = 1e-12,
    saveat: diffrax.SaveAt = LAST,
    event: diffrax.Event | None = None,
    max_steps: int = 16_384,
) -> diffrax.Solution:
    """Follow the flow from ``state`` to desingularised time ``until``, or to the first step at which ``event`` is true.

    The solution's ``ys`` are Points, or what ``saveat`` makes of them. Functions given in ``saveat`` and ``event`` are
    compiled in: pass the same function again, not a new lambda.
    """
    return diffrax.diffeqsolve(
        diffrax.ODETerm(desingularised(potential, degree)),
        SOLVER,
        t0=0.0,
        t1=until,
        dt0=None,
        y0=start(state, degree),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=1e-3 * rtol),
        saveat=saveat,
        event=event,
        max_steps=max_steps,
        throw=False,
    )
