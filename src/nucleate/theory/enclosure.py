"""From several runs of the flow to an enclosure of the blow-up time, or to as much of one as the runs bear out.

All but the first are looser, and start from a state moved by more than rounding. Their whole difference from the first
widens the enclosure, so that what the flow makes of either error is seen. Two runs are enough where that is little.
Where it is more, further runs look in other directions; and where rounding decides the blow-up, the enclosure is that
from the points up to which all agree.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Beyond this desingularised time R has grown by e^60 wherever it grows, or the state has not left its equilibrium.
HORIZON = 60.0
# The enclosure has closed when this is its relative width, before widening by the error of integration.
CLOSED = 1e-12
TOLERANCE, LOOSER, CAREFUL = 1e-11, 1e-10, 1e-13
ROUNDING = 256 * 2.0**-53
# Where two runs differ by more of the time, rounding is amplified, and is looked at from more sides.
AMPLIFIED = 1e-9
SIDES = 4
# Runs that differ by more, of the time or of the size, do not agree.
APART = 1e-3
_GRID = jnp.linspace(0.0, HORIZON, 1201)


class Outcome(IntEnum):
    """Whether a state blows up, and if not, why."""

    BLOWS_UP = 0
    """The energy is positive or becomes so: infinite in finite time."""
    RESTS = 1
    """The gradient is zero, as in the zero state: it never moves."""
    SETTLES = 2
    """Up to the time ``lower`` the energy is not known to turn positive; if it never does, there is no blow-up."""
    GROWS_FOREVER = 3
    """The potential has degree two (or one): exponential (or linear) growth, and no blow-up from any state."""


class BlowupTime(NamedTuple):
    """The blow-up time and what it is known to lie between; scalars, or one entry a state."""

    estimate: Float[Array, "*batch"]
    lower: Float[Array, "*batch"]
    upper: Float[Array, "*batch"]
    outcome: Int[Array, "*batch"]


class Doubt(NamedTuple):
    """By how much of itself a state is moved before it is followed, and the seed of the direction."""

    size: Float[Array, "..."]
    seed: Int[Array, "..."]


class Mark(NamedTuple):
    """How far a run has come: ``t``, ``log R`` and the growth ``e``."""

    time: Float[Array, "..."]
    log_size: Float[Array, "..."]
    growth: Float[Array, "..."]


class Flow(NamedTuple):
    """How one state is followed.

    ``follow(doubt, rtol, saveat, event)`` starts with the state moved by ``doubt`` of itself; ``mark`` tells of a point
    how far it is, and ``ends`` of a mark what it encloses, in units of ``unit``.
    """

    follow: Callable[..., diffrax.Solution]
    mark: Callable[[Any], Mark]
    ends: Callable[[Mark], tuple[Float[Array, "..."], Float[Array, "..."]]]
    moves: Bool[Array, ""]
    unit: Float[Array, ""]


def enclose(flow: Flow) -> tuple[BlowupTime, Bool[Array, ""]]:
    """The enclosure from two runs, and whether it may be kept: they blow up at very nearly the same time."""

    def closed(s: Any, point: Any, args: Any, **_: Any) -> Bool[Array, ""]:
        lower, upper = flow.ends(flow.mark(point))
        return upper - lower < CLOSED * lower

    def at(doubt: Doubt, rtol: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        saveat = diffrax.SaveAt(t1=True, fn=lambda s, point, args: flow.mark(point))
        solution = flow.follow(doubt, rtol, saveat, diffrax.Event(closed))
        return flow.ends(jax.tree.map(lambda leaf: leaf[-1], solution.ys))

    lower, upper = jax.vmap(at)(*_runs(2, TOLERANCE))
    estimate, error = upper[0], jnp.abs(upper[0] - upper[1]) + ROUNDING * upper[0]
    kept = jnp.isfinite(upper).all() & (error < AMPLIFIED * estimate)
    enclosed = BlowupTime(
        jnp.where(flow.moves, flow.unit * estimate, jnp.inf),
        jnp.where(flow.moves, flow.unit * (lower[0] - error), jnp.inf),
        jnp.where(flow.moves, flow.unit * (estimate + error), jnp.inf),
        jnp.where(flow.moves, Outcome.BLOWS_UP, Outcome.RESTS),
    )
    return enclosed, kept | ~flow.moves


def enclose_with_care(flow: Flow) -> BlowupTime:
    """The enclosure from the points up to which all runs agree; without an upper end where none has known growth."""

    def along(doubt: Doubt, rtol: Float[Array, ""]) -> Any:
        saveat = diffrax.SaveAt(ts=_GRID, fn=lambda s, point, args: flow.mark(point))
        return flow.follow(doubt, rtol, saveat, None).ys

    runs = jax.vmap(along)(*_runs(1 + SIDES, CAREFUL))
    here = Mark(*(run[0] for run in runs))
    apart = Mark(*(jnp.max(jnp.abs(run[1:] - run[0]), axis=0) for run in runs))
    lower, upper = flow.ends(here)
    estimate = jnp.nan_to_num(upper[-1], nan=jnp.inf)
    near = (apart.time < APART * lower) & (apart.log_size < APART) & (apart.growth < APART)
    agreed = jnp.cumprod(near) > 0
    lower = flow.ends(Mark(here.time - apart.time, here.log_size + apart.log_size, here.growth))[0]
    upper = flow.ends(Mark(here.time + apart.time, here.log_size - apart.log_size, here.growth - apart.growth))[1]
    highest = jnp.max(jnp.where(agreed, lower, 0.0)) * (1 - ROUNDING)
    lowest = jnp.min(jnp.where(agreed, upper, jnp.inf)) * (1 + ROUNDING)
    known = jnp.isfinite(lowest)
    return BlowupTime(
        jnp.where(known, flow.unit * jnp.clip(estimate, highest, lowest), jnp.inf),
        flow.unit * highest,
        flow.unit * lowest,
        jnp.where(known, Outcome.BLOWS_UP, Outcome.SETTLES),
    )


def _runs(count: int, first: float) -> tuple[Doubt, Float[Array, " runs"]]:
    """The doubts and tolerances of the first run and of those that it is compared with."""
    run = jnp.arange(count)
    return Doubt(jnp.where(run > 0, ROUNDING, 0.0), run), jnp.where(run > 0, LOOSER, first)
