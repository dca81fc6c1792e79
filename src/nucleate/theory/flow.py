"""A flow as its blow-up time asks for it, and the general one: gradient ascent on a homogeneous potential.

Let ``C`` be positively homogeneous of degree ``D`` and ``theta' = grad C(theta)``. With the size ``R = sqrt(N / D)``,
``N = |theta|^2``, the direction ``u = theta / R`` and the desingularized time ``ds = R^(D - 2) dt``,

    du/ds = grad C(u) - C(u) u,    d(log R)/ds = C(u),    dt/ds = R^-(D - 2).

``|u|^2 = D`` stays put, ``C(u)`` never decreases, and a blow-up of ``theta`` at ``t = T*`` is ``s`` to infinity.
Derived here, in docs/theory.md. Size and time are kept in units of the start: ``log R = 0`` there, whatever the scale
of the state.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, PyTree

from nucleate.theory.effective import AnyArray

Potential = Callable[[Any], Float[AnyArray, ""]]
"""A homogeneous function of a state. It passes into compiled code, so parameters are bound by jax.tree_util.Partial."""

# An explicit method of high order: tight tolerances at smooth fields are all this room asks for.
SOLVER = diffrax.Dopri8()
LAST = diffrax.SaveAt(t1=True)
# Beyond this desingularized time R has grown by e^60 wherever it grows, or the state has not left its equilibrium.
HORIZON = 60.0


class Point(NamedTuple):
    """Where a flow is: ``u``, ``log R`` and ``t``, the last two in units of the start."""

    direction: PyTree[Float[Array, "..."]]
    log_size: Float[Array, ""]
    time: Float[Array, ""]


class Mark(NamedTuple):
    """How far a run has come: ``t``, ``log R`` and the growth ``e = C(u)``."""

    time: Float[AnyArray, "..."]
    log_size: Float[AnyArray, "..."]
    growth: Float[AnyArray, "..."]


class Perturbation(NamedTuple):
    """By how much of itself a state is moved before it is followed, and the seed of the direction."""

    size: Float[Array, ""]
    seed: Int[Array, ""]


class Flow(eqx.Module):
    """One state of a flow that may blow up, and how it is followed there. A pytree, made inside compiled code.

    It ``moves`` where it is no equilibrium; ``unit`` is that of the times that `ends` gives, in the state's own time.
    """

    moves: eqx.AbstractVar[Bool[Array, ""]]
    unit: eqx.AbstractVar[Float[Array, ""]]

    @abstractmethod
    def follow(
        self,
        perturbation: Perturbation,
        rtol: Float[Array, ""],
        saveat: diffrax.SaveAt,
        event: diffrax.Event | None = None,
    ) -> diffrax.Solution:
        """Integrate in desingularized time, up to `HORIZON`.

        The perturbation moves the start, the same one in the same way; of the size of rounding, it is to do to the flow
        what rounding does. ``rtol`` is the relative tolerance of a step. The functions of ``saveat``, and of ``event``,
        which ends the run, are called with points that `mark` takes. There is a solution also if a step could not be
        taken; then what was to be saved later is infinite.
        """

    @abstractmethod
    def mark(self, point: Any) -> Mark:
        """How far the run is at a point of `follow`. The growth never decreases along the exact flow."""

    @abstractmethod
    def ends(self, mark: Mark) -> tuple[Float[AnyArray, "..."], Float[AnyArray, "..."]]:
        """What a mark encloses: were it exact, the blow-up would lie between the two, in units of `unit`.

        The upper one is infinite where the growth is not positive. Both tend to the blow-up time along the flow.
        """


class Ascent(Flow):
    """Gradient ascent on a homogeneous potential, of a degree above 2 (derived here, docs/theory.md).

    ``supremum`` bounds the potential on the sphere ``N = D``, infinite where no bound is known; ``power`` is that of
    the growth in the upper end: 1 for every potential, (L-2)/L for a chain of L layers.
    """

    potential: Potential
    state: PyTree[Float[Array, "..."]]
    supremum: Float[Array, ""]
    moves: Bool[Array, ""]
    unit: Float[Array, ""]
    degree: int = eqx.field(static=True)
    power: float = eqx.field(static=True)

    def __init__(
        self,
        potential: Potential,
        state: PyTree[Float[Array, "..."]],
        degree: int,
        supremum: float | Float[Array, ""],
        power: float = 1.0,
    ) -> None:
        # In a time in which the potential grows at a rate of about one, or slower than it will.
        slope = size(jax.grad(potential)(start(state, degree).direction), degree)
        rate = jnp.where(jnp.isfinite(supremum), supremum, slope)
        rate = jnp.where(rate > 0, rate, 1.0)
        self.potential, self.state, self.degree, self.power = (
            Partial(_scaled, potential, 1 / rate),
            state,
            degree,
            power,
        )
        self.supremum, self.moves = supremum / rate, slope > 0
        self.unit = unit_of_time(size(state, degree), degree) / rate

    def follow(
        self,
        perturbation: Perturbation,
        rtol: Float[Array, ""],
        saveat: diffrax.SaveAt,
        event: diffrax.Event | None = None,
    ) -> diffrax.Solution:
        """As `Flow.follow`; every layer is moved by its own size times the perturbation's, in a random direction."""
        key = jax.random.key(perturbation.seed)
        moved = jax.tree.map(
            lambda leaf: leaf + perturbation.size * jnp.linalg.norm(leaf) * jax.random.normal(key, leaf.shape),
            self.state,
        )
        return integrate(self.potential, moved, self.degree, until=HORIZON, rtol=rtol, saveat=saveat, event=event)

    def mark(self, point: Point) -> Mark:
        """As `Flow.mark`."""
        return Mark(point.time, point.log_size, self.potential(point.direction))

    def ends(self, mark: Mark) -> tuple[Float[AnyArray, "..."], Float[AnyArray, "..."]]:
        """As `Flow.ends`."""
        return enclosing_ends(mark, self.degree, self.supremum, self.power)


def enclosing_ends(
    mark: Mark, degree: int, supremum: float | Float[Array, ""], power: float
) -> tuple[Float[AnyArray, "..."], Float[AnyArray, "..."]]:
    """``t + tail / sup C <= T* <= t + tail / e^power``, ``tail = R^-(D-2) / (D-2)``; see `nucleate.theory.blowup`."""
    tail = jnp.exp(-(degree - 2) * mark.log_size) / (degree - 2)
    growing = mark.growth > 0
    growth = jnp.where(growing, mark.growth, 1.0) ** power
    return mark.time + tail / supremum, mark.time + jnp.where(growing, tail / growth, jnp.inf)


def _scaled(potential: Potential, by: Float[AnyArray, ""], state: Any) -> Float[AnyArray, ""]:
    """``by`` times the potential: its flow takes ``1 / by`` of the time."""
    return by * potential(state)


@partial(jax.jit, static_argnames="degree")
def size(state: PyTree[Float[Array, "..."]], degree: int) -> Float[Array, ""]:
    """``R = sqrt(N / D)``.

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
    """Follow gradient ascent from ``state`` to desingularized time ``until``, or to the first step that ends it.

    The solution is of Points, or of what ``saveat`` makes of them. Functions given in ``saveat`` and ``event`` are
    compiled in: pass the same one again, not a new lambda.
    """

    def field(_: Any, point: Point, __: Any) -> Point:
        growth, gradient = jax.value_and_grad(potential)(point.direction)
        turning = jax.tree.map(lambda g, u: g - growth * u, gradient, point.direction)
        return Point(turning, growth, jnp.exp(-(degree - 2) * point.log_size))

    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
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
