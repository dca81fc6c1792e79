"""How states are followed to their blow-up: as gradient ascent on a potential, or three layers in their modes."""

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from nucleate.theory.effective import State, vector_field
from nucleate.theory.enclosure import HORIZON, Doubt, Flow, Mark
from nucleate.theory.flow import SOLVER, Point, Potential, integrate, scaled, size, start, unit_of_time
from nucleate.theory.linear import chain_potential
from nucleate.theory.modes import Frames, Modes, modes, modes_energy, modes_vector_field


class Ascent(NamedTuple):
    """Gradient ascent on a potential, from a state."""

    potential: Potential
    state: Any
    supremum: Float[Array, ""]


def chain_flow(chain: tuple[Float[Array, "..."], ...]) -> Flow:
    return ascent_flow(len(chain), Ascent(chain_potential, chain, jnp.asarray(1.0)))


def three_layers_flow(chain: tuple[Float[Array, "..."], ...]) -> Flow:
    """Of three layers without the reduction to modes: slower, and amplifying no more rounding than the flow itself."""
    return chain_flow(chain)._replace(ends=_ends_of_three_layers)


def ascent_flow(degree: int, ascent: Ascent) -> Flow:
    potential, state, supremum = ascent
    # In a time in which the potential grows at a rate of about one, or slower than it will.
    slope = size(jax.grad(potential)(start(state, degree).direction), degree)
    rate = jnp.where(jnp.isfinite(supremum), supremum, slope)
    rate = jnp.where(rate > 0, rate, 1.0)
    brisk = scaled(potential, 1 / rate)

    def ends(mark: Mark) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        tail = jnp.exp(-(degree - 2) * mark.log_size) / (degree - 2)
        return mark.time + tail * rate / supremum, mark.time + _over_positive(tail, mark.growth)

    def follow(doubt: Doubt, rtol: float, saveat: diffrax.SaveAt, event: Any) -> diffrax.Solution:
        return integrate(brisk, _moved(state, doubt), degree, until=HORIZON, rtol=rtol, saveat=saveat, event=event)

    def mark(point: Point) -> Mark:
        return Mark(point.time, point.log_size, brisk(point.direction))

    return Flow(follow, mark, ends, slope > 0, unit_of_time(size(state, degree), degree) / rate)


def _moved(state: Any, doubt: Doubt) -> Any:
    """The state with every layer moved by its size times the doubt's, in a random direction."""
    key = jax.random.key(doubt.seed)
    return jax.tree.map(
        lambda leaf: leaf + doubt.size * jnp.linalg.norm(leaf) * jax.random.normal(key, leaf.shape), state
    )


class _ModesPoint(NamedTuple):
    modes: Modes
    log_size: Float[Array, ""]
    time: Float[Array, ""]


class _Start(NamedTuple):
    """A state of three layers, scaled to size one and taken apart into its modes, and what rounds them."""

    modes: Modes
    stiffness: Float[Array, " m1+m2"]
    rounded_modes: Modes
    rounded_stiffness: Float[Array, " m1+m2"]
    moves: Bool[Array, ""]
    unit: Float[Array, ""]


def at_size_one(chain: tuple[Float[Array, "..."], ...]) -> State:
    unit = unit_of_time(size(chain, 3), 3)
    return State(*(layer * unit for layer in chain))


def in_modes(prepared: tuple[tuple[Float[Array, "..."], ...], State, Frames]) -> _Start:
    chain, state, eigen = prepared
    a, W2, b = (jnp.linalg.norm(layer) for layer in state)

    def each(outer: Float[Array, ""], inner: Float[Array, ""]) -> Float[Array, " m1+m2"]:
        return jnp.concatenate([jnp.full(state.a.shape, outer), jnp.full(state.b.shape, inner)])

    # Rounding is of the size of the factors, however small the sum: that is where digits are lost.
    rounded = Modes(each(a, b), each(W2 * b, W2 * a))
    rounded_stiffness = each(jnp.maximum(a, W2) ** 2, jnp.maximum(b, W2) ** 2)
    moves = size(vector_field(state), 3) > 0
    return _Start(*modes(state, eigen), rounded, rounded_stiffness, moves, unit_of_time(size(chain, 3), 3))


def modes_flow(first: _Start) -> Flow:
    """As `ascent_flow`, in modes: ``x = R X``, ``x' = R^2 Y``, and the stiffness shrinks with ``R^-2``."""

    def follow(doubt: Doubt, rtol: float, saveat: diffrax.SaveAt, event: Any) -> diffrax.Solution:
        # One sign a mode: its position and velocity must not make up for each other.
        move = doubt.size * jax.random.rademacher(jax.random.key(doubt.seed), first.stiffness.shape)
        began = jax.tree.map(lambda value, size: value + move * size, first.modes, first.rounded_modes)
        stiffness = first.stiffness + move * first.rounded_stiffness

        def field(s: Any, point: _ModesPoint, args: Any) -> _ModesPoint:
            growth, shrinking = modes_energy(point.modes), jnp.exp(-point.log_size)
            position, velocity = modes_vector_field(point.modes, stiffness * shrinking**2)
            turning = Modes(position - growth * point.modes.position, velocity - 2 * growth * point.modes.velocity)
            return _ModesPoint(turning, growth, shrinking)

        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            SOLVER,
            t0=0.0,
            t1=HORIZON,
            dt0=None,
            y0=_ModesPoint(began, jnp.zeros(()), jnp.zeros(())),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=1e-6 * rtol),
            saveat=saveat,
            event=event,
            throw=False,
        )

    def mark(point: _ModesPoint) -> Mark:
        return Mark(point.time, point.log_size, modes_energy(point.modes))

    return Flow(follow, mark, _ends_of_three_layers, first.moves, first.unit)


def _ends_of_three_layers(mark: Mark) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    tail = jnp.exp(-mark.log_size)
    return mark.time + tail, mark.time + _over_positive(tail, jnp.cbrt(mark.growth))


def _over_positive(tail: Float[Array, "..."], growth: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(growth > 0, tail / jnp.where(growth > 0, growth, 1.0), jnp.inf)
