"""When the flow blows up: an enclosure of the time ``T*`` that closes as one integrates.

From a point of desingularised time with ``t``, ``R`` and growth ``e = C(u) > 0``,

    t + R^-(D-2) / ((D-2) sup C)  <=  T*  <=  t + R^-(D-2) / ((D-2) e),

``sup C`` over the sphere ``N = D`` (infinite where unknown), because ``e`` never decreases. For three layers ``sup C
= 1``, and ``E' >= 3 E^(4/3)`` gives the sharper ``T* <= t + E^(-1/3) = t + 1 / (R e^(1/3))``. Derived in
docs/theory.md.

What is guaranteed. The two ends hold for the exact state at ``t``. The integration is done at two tolerances, the
second ten times the first, and both ends are moved outwards by the whole difference of the two results and by
rounding. So ``lower <= T* <= upper`` holds if the finer integration errs by less than its distance from the coarser;
the tests hold that against 20-digit arithmetic over random states. It is no interval arithmetic. The relative width
is below 1e-10 unless one layer outweighs the others by more than about 1e4, where the enclosure is honest but wider.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from nucleate import _jax as _jax
from nucleate.theory import _checks
from nucleate.theory.effective import State, vector_field
from nucleate.theory.flow import SOLVER, Point, Potential, integrate, scaled, size, start, unit_of_time
from nucleate.theory.linear import chain_potential, linear_potential
from nucleate.theory.modes import Frames, Modes, frames, modes, modes_energy, modes_vector_field

# Beyond this desingularised time R has grown by e^60 wherever it grows, or the state has not left its equilibrium.
HORIZON = 60.0
# The enclosure has closed when this is its relative width, before widening by the error of integration.
CLOSED = 1e-12
TOLERANCES = (1e-11, 1e-10)
ROUNDING = 64 * 2.0**-53


class Outcome(IntEnum):
    """Whether a state blows up, and if not, why."""

    BLOWS_UP = 0
    """The energy is positive or becomes so: infinite in finite time."""
    RESTS = 1
    """The gradient is zero, as in the zero state: it never moves."""
    SETTLES = 2
    """The energy was still not positive at the time ``lower``; if it never is, the state tends to an equilibrium."""
    GROWS_FOREVER = 3
    """The potential has degree two (or one): exponential (or linear) growth, and no blow-up from any state."""


class BlowupTime(NamedTuple):
    """The blow-up time and what it is known to lie between; scalars, or one entry a state."""

    estimate: Float[Array, "*batch"]
    lower: Float[Array, "*batch"]
    upper: Float[Array, "*batch"]
    outcome: Int[Array, "*batch"]


def blowup_time(*layers: ArrayLike) -> BlowupTime:
    """The blow-up time of the effective dynamics from ``a, W2, b``, in units of ``1 / kappa``.

    Two layers ``a, b`` never blow up; four and more, ``a, W_{L-1}, ..., W_2, b``, do so as deep linear networks do.

    Parameters
    ----------
    a, W2, b : arrays of shape (m2,), (m2, m1), (m1,)
        Or all with one more leading axis: an ensemble of states.

    Raises
    ------
    NetworkError
        For shapes that do not fit, NaN or infinity.

    Notes
    -----
    The dynamics and its blow-up: Chen and Luo, arXiv 2402.15958. The enclosure, and the reduction to modes with which
    three layers are integrated: derived in docs/theory.md.

    Examples
    --------
    >>> time = blowup_time([2.0], [[2.0]], [2.0])
    >>> round(float(time.estimate), 10), bool(time.upper - time.lower < 1e-10)
    (0.5, True)
    >>> Outcome(int(blowup_time([1.0, 0.0], [1.0, 1.0]).outcome)).name
    'GROWS_FOREVER'
    """
    chain = _checks.chain(layers)
    if len(chain) == 2:
        return _never(chain[0].shape[:-1])
    single = chain[0].ndim == 1
    if len(chain) == 3:
        prepare = _one if single else _many
        state = prepare(_at_size_one, chain)
        return (_one if single else _ensemble)(_from_modes, prepare(_in_modes, (chain, state, frames(state))))
    return (_one if single else _ensemble)(_from_chain, chain)


def linear_blowup_time(weights: Sequence[ArrayLike], moment: ArrayLike) -> BlowupTime:
    """The blow-up time of gradient ascent on ``<W_L ... W_1, M>``, for weights ``W_1, ..., W_L``.

    Raises
    ------
    NetworkError
        For shapes that do not fit, NaN or infinity.

    Examples
    --------
    >>> ones = [jnp.ones((1, 1))] * 4
    >>> round(float(linear_blowup_time(ones, [[2.0]]).estimate), 10)
    0.25
    """
    arrays, matrix = _checks.weights_and_moment(weights, moment)
    supremum = jnp.asarray(np.linalg.norm(np.asarray(matrix), 2))
    return potential_blowup_time(Partial(linear_potential, moment=matrix), arrays, len(arrays), supremum)


def potential_blowup_time(
    potential: Potential,
    state: PyTree[Float[Array, "..."]],
    degree: int,
    supremum: float | Float[Array, ""] = jnp.inf,
) -> BlowupTime:
    """The blow-up time of gradient ascent from ``state`` on any positively homogeneous potential (docs/theory.md).

    Parameters
    ----------
    potential : function of a state, with arrays bound by jax.tree_util.Partial
    degree : int
        Its degree D.
    supremum : float
        An upper bound of it on the sphere ``N = D``; infinite where none is known.
    """
    if degree <= 2:
        return _never(())
    enclosed: BlowupTime = _potential_blowup_time(potential, state, degree, jnp.asarray(supremum))
    return enclosed


def _never(batch: tuple[int, ...]) -> BlowupTime:
    forever = jnp.full(batch, jnp.inf)
    return BlowupTime(forever, forever, forever, jnp.full(batch, Outcome.GROWS_FOREVER))


@eqx.filter_jit
def _one(function: Callable[[Any], Any], argument: Any) -> Any:
    return function(argument)


@eqx.filter_jit
def _many(function: Callable[[Any], Any], arguments: Any) -> Any:
    return jax.vmap(function)(arguments)


def _ensemble(solve: Callable[[Any], BlowupTime], prepared: Any) -> BlowupTime:
    """Every device takes an equal share of the states, filled up by starting over with the first."""
    states, devices = len(jax.tree.leaves(prepared)[0]), jax.device_count()
    filled = np.arange(-(-states // devices) * devices) % states
    # Gathered on the host: operations on arrays spread over CPU devices can wait for each other for ever.
    enclosed = jax.device_get(_spread(solve, jax.tree.map(lambda leaf: leaf[filled], prepared)))
    return BlowupTime(*(jnp.asarray(leaf[:states]) for leaf in enclosed))


@eqx.filter_jit
def _spread(solve: Callable[[Any], BlowupTime], prepared: Any) -> BlowupTime:
    mesh, states = Mesh(jax.devices(), ("states",)), PartitionSpec("states")
    # Some states at a time: enough to fill vector instructions, few enough to stay in cache.
    share = partial(jax.lax.map, solve, batch_size=16)
    spread = jax.shard_map(share, mesh=mesh, in_specs=states, out_specs=states, check_vma=False)
    enclosed: BlowupTime = spread(prepared)
    return enclosed


def _from_chain(chain: tuple[Float[Array, "..."], ...]) -> BlowupTime:
    return _potential_blowup_time(chain_potential, chain, len(chain), jnp.asarray(1.0))


@eqx.filter_jit
def _potential_blowup_time(potential: Potential, state: Any, degree: int, supremum: Float[Array, ""]) -> BlowupTime:
    # In a time in which the potential grows at a rate of about one, or slower than it will.
    slope = size(jax.grad(potential)(start(state, degree).direction), degree)
    rate = jnp.where(jnp.isfinite(supremum), supremum, slope)
    rate = jnp.where(rate > 0, rate, 1.0)
    brisk = scaled(potential, 1 / rate)

    def ends(point: Point) -> tuple[Float[Array, ""], Float[Array, ""]]:
        tail = jnp.exp(-(degree - 2) * point.log_size) / (degree - 2)
        return point.time + tail * rate / supremum, point.time + _over_positive(tail, brisk(point.direction))

    def closed(s: Any, point: Point, args: Any, **_: Any) -> Bool[Array, ""]:
        lower, upper = ends(point)
        return upper - lower < CLOSED * point.time

    def at(rtol: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        solution = integrate(brisk, state, degree, until=HORIZON, rtol=rtol, event=diffrax.Event(closed))
        return ends(jax.tree.map(lambda leaf: leaf[-1], solution.ys))

    unit = unit_of_time(size(state, degree), degree) / rate
    return _enclosure(jax.vmap(at)(jnp.array(TOLERANCES)), slope > 0, unit, jnp.asarray(ROUNDING))


class _ModesPoint(NamedTuple):
    modes: Modes
    log_size: Float[Array, ""]
    time: Float[Array, ""]


class _Start(NamedTuple):
    """A state of three layers, scaled to size one and taken apart into its modes."""

    modes: Modes
    stiffness: Float[Array, " m1+m2"]
    moves: Bool[Array, ""]
    unit: Float[Array, ""]
    rounding: Float[Array, ""]


def _at_size_one(chain: tuple[Float[Array, "..."], ...]) -> State:
    unit = unit_of_time(size(chain, 3), 3)
    return State(*(layer * unit for layer in chain))


def _in_modes(prepared: tuple[tuple[Float[Array, "..."], ...], State, Frames]) -> _Start:
    chain, state, eigen = prepared
    unit = unit_of_time(size(chain, 3), 3)
    a, W2, b = (jnp.linalg.norm(layer) for layer in state)
    # The modes lose digits where a or b outweighs the other layers: they cancel |a|^2 against an eigenvalue.
    lopsided = jnp.maximum(a / jnp.maximum(W2, b), b / jnp.maximum(W2, a))
    moves = size(vector_field(state), 3) > 0
    return _Start(*modes(state, eigen), moves, unit, ROUNDING * jnp.maximum(lopsided, 1.0))


def _from_modes(first: _Start) -> BlowupTime:
    """As `_potential_blowup_time`, in modes: ``x = R X``, ``x' = R^2 Y``, and the stiffness shrinks with ``R^-2``."""

    def field(s: Any, point: _ModesPoint, args: Any) -> _ModesPoint:
        growth, shrinking = modes_energy(point.modes), jnp.exp(-point.log_size)
        position, velocity = modes_vector_field(point.modes, first.stiffness * shrinking**2)
        turning = Modes(position - growth * point.modes.position, velocity - 2 * growth * point.modes.velocity)
        return _ModesPoint(turning, growth, shrinking)

    def ends(point: _ModesPoint) -> tuple[Float[Array, ""], Float[Array, ""]]:
        tail = jnp.exp(-point.log_size)
        return point.time + tail, point.time + _over_positive(tail, jnp.cbrt(modes_energy(point.modes)))

    def closed(s: Any, point: _ModesPoint, args: Any, **_: Any) -> Bool[Array, ""]:
        lower, upper = ends(point)
        return upper - lower < CLOSED * point.time

    def at(rtol: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            SOLVER,
            t0=0.0,
            t1=HORIZON,
            dt0=None,
            y0=_ModesPoint(first.modes, jnp.zeros(()), jnp.zeros(())),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=1e-6 * rtol),
            event=diffrax.Event(closed),
            throw=False,
        )
        return ends(jax.tree.map(lambda leaf: leaf[-1], solution.ys))

    return _enclosure(jax.vmap(at)(jnp.array(TOLERANCES)), first.moves, first.unit, first.rounding)


def _over_positive(tail: Float[Array, ""], growth: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(growth > 0, tail / jnp.where(growth > 0, growth, 1.0), jnp.inf)


def _enclosure(
    ends: tuple[Float[Array, "2"], Float[Array, "2"]],
    moves: Bool[Array, ""],
    unit: Float[Array, ""],
    rounding: Float[Array, ""],
) -> BlowupTime:
    """The enclosure from the ends at two tolerances, widened as the module says, in real time."""
    lower, upper = ends
    estimate = upper[0]
    ascends = jnp.isfinite(upper)
    error = jnp.where(ascends.all(), jnp.abs(upper[0] - upper[1]) + rounding * estimate, 0.0)
    settled = jnp.where(ascends[0], Outcome.BLOWS_UP, Outcome.SETTLES)
    return BlowupTime(
        jnp.where(moves, unit * estimate, jnp.inf),
        jnp.where(moves, unit * jnp.maximum(jnp.where(ascends.all(), lower[0], lower.min()) - error, 0.0), jnp.inf),
        jnp.where(moves & ascends.all(), unit * (estimate + error), jnp.inf),
        jnp.where(moves, settled, Outcome.RESTS),
    )
