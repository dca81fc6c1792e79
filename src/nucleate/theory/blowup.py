"""When the flow blows up: an enclosure of the time ``T*`` that closes as one integrates.

That three layers blow up in finite time is due to Chen and Luo, arXiv 2402.15958; the enclosure is derived here, in
docs/theory.md. From a point of desingularized time with ``t``, ``R`` and growth ``e = C(u) > 0``,

    t + R^-(D-2) / ((D-2) sup C)  <=  T*  <=  t + R^-(D-2) / ((D-2) e),

``sup C`` over the sphere ``N = D`` (infinite where unknown), because ``e`` never decreases. For chains of L layers
``sup C = 1``, and ``E' >= L E^(2-2/L)`` gives the sharper ``T* <= t + R^-(L-2) / ((L-2) e^((L-2)/L))``.

What is guaranteed. The two ends hold for the exact state at ``t``. The integration is done twice, the second time at
ten times the tolerance and from a state moved by more than its rounding, and both ends are moved outwards by the whole
difference of the two results. Where that is above 1e-9 the flow amplifies rounding: further runs look at it from more
sides, and the enclosure is the best of those from points up to which all agree. So ``lower <= T* <= upper`` holds if
the first run errs by less than its distance from the others; the tests hold that against 40-digit arithmetic over
random states and ill-conditioned ones. It is no interval arithmetic. The relative width is below 1e-10 where the flow
does not amplify rounding, which it does where layers differ by many powers of ten or growth starts from almost none.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from nucleate import devices
from nucleate.theory import checks
from nucleate.theory.ahead import HeadStart, head_start
from nucleate.theory.effective import AnyArray
from nucleate.theory.flow import HORIZON, Ascent, Flow, Mark, Perturbation, Potential
from nucleate.theory.linear import chain_potential, linear_potential, rests
from nucleate.theory.modes import ThreeLayers, frames

# The enclosure has closed when this is its relative width, before widening by the error of integration.
CLOSED = 1e-12
TOLERANCE, LOOSER, CAREFUL = 1e-11, 1e-10, 1e-13
ROUNDING = 256 * 2.0**-53
# Where two runs differ by more of the time, rounding is amplified, and is looked at from more sides.
AMPLIFIED = 1e-9
SIDES = 4
# Runs that differ by more, of the time or of the size, do not agree.
APART = 1e-3
GRID = np.linspace(0.0, HORIZON, 1201)
# States of an ensemble at a time: enough to fill vector instructions, few enough to stay in cache.
AT_A_TIME = 16


class BlowupKind(IntEnum):
    """Whether a state blows up, and if not, why (the distinction is made here, docs/theory.md)."""

    BLOWS_UP = 0
    """The energy is positive or becomes so: infinite in finite time."""
    RESTS = 1
    """The gradient is zero, as in the zero state: it never moves."""
    SETTLES = 2
    """Up to the time ``lower`` the energy is not known to turn positive; if it never does, there is no blow-up."""
    GROWS_FOREVER = 3
    """The potential has degree two (or one): exponential (or linear) growth, and no blow-up from any state."""
    WIDE = 4
    """It blows up between ``lower`` and ``upper``, which rounding or the horizon keeps more than a thousandth apart."""


class BlowupTime(NamedTuple):
    """The blow-up time and what it is known to lie between; scalars, or one entry a state.

    Attributes
    ----------
    estimate, lower, upper : arrays of float64
        Infinite where there is no blow-up. Of kind ``WIDE`` the estimate is but one time between the ends.
    kind : array of int
        A `BlowupKind`.
    """

    estimate: Float[AnyArray, "*batch"]
    lower: Float[AnyArray, "*batch"]
    upper: Float[AnyArray, "*batch"]
    kind: Int[AnyArray, "*batch"]


@devices.in_float64
def blowup_time(*layers: ArrayLike) -> BlowupTime:
    """The blow-up time of the effective dynamics from ``a, W2, b``, in units of ``1 / kappa``.

    Two layers ``a, b`` never blow up; four and more, ``a, W_{L-1}, ..., W_2, b``, do so as deep linear networks do.

    Parameters
    ----------
    *layers : arrays of shape (m2,), (m2, m1), (m1,)
        ``a, W2, b``, or more; or all with one more leading axis: an ensemble of states.

    Returns
    -------
    BlowupTime
        Of scalars, or of arrays with one entry a state.

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity.

    Notes
    -----
    The dynamics and its blow-up: Chen and Luo, arXiv 2402.15958. The enclosure, and the reduction to modes with which
    three layers are integrated: derived here, in docs/theory.md.

    Examples
    --------
    >>> time = blowup_time([2.0], [[2.0]], [2.0])
    >>> round(float(time.estimate), 10), bool(time.upper - time.lower < 1e-10)
    (0.5, True)
    >>> BlowupKind(int(blowup_time([1.0, 0.0], [1.0, 1.0]).kind)).name
    'GROWS_FOREVER'
    """
    chain = checks.chain(layers)
    batch = chain[0].shape[:-1]
    states: list[Any] = [tuple(layer[index] for layer in chain) for index in np.ndindex(batch)]
    ahead = [head_start(state) if len(chain) == 3 else None for state in states]
    if len(chain) == 2:
        found = _never(batch)
    elif len(chain) == 3:
        begun = [state if start is None else start.layers for state, start in zip(states, ahead, strict=True)]
        chain = tuple(np.stack(layers).reshape(batch + layers[0].shape) for layers in zip(*begun, strict=True))
        found = _from_start(ThreeLayers, chain, frames(chain))
    else:
        found = _from_start(_chain_flow, chain)
    times = BlowupTime(*map(np.array, found))
    for index, state, start in zip(np.ndindex(batch), states, ahead, strict=True):
        if start is not None:
            _shift(times, index, start)
        if times.kind[index] != BlowupKind.BLOWS_UP:
            outer, *matrices, inner = state
            _judge_rest(times, index, rests([inner[:, None], *matrices[::-1], outer[None]], np.ones((1, 1))))
    return times


def _from_start(make: Callable[..., Flow], *start: Any) -> BlowupTime:
    """Of a state or an ensemble; ``start`` is the chain and what else the flow is made of."""
    if start[0][0].ndim > 1:
        return _of_ensemble(make, start)
    time, kept = _by_two_runs(make, *start)
    return time if kept else _with_care(_chain_flow, start[0])


def _shift(times: BlowupTime, index: tuple[int, ...], start: HeadStart) -> None:
    """From the time of a state that was followed in closed form to that of its start."""
    times.estimate[index] = (times.estimate[index] + start.time) / start.rate
    times.lower[index] = max((times.lower[index] + start.time - start.error) / start.rate, 0.0)
    times.upper[index] = (times.upper[index] + start.time + start.error) / start.rate


def _judge_rest(times: BlowupTime, index: tuple[int, ...], exactly: bool) -> None:
    """Whether a state rests is decided by its numbers as they are given, not by rounded gradients."""
    if exactly:
        for ends in times[:3]:
            ends[index] = np.inf
        times.kind[index] = BlowupKind.RESTS
    elif times.kind[index] == BlowupKind.RESTS:
        times.lower[index], times.kind[index] = 0.0, BlowupKind.SETTLES


@devices.in_float64
def linear_blowup_time(weights: Sequence[ArrayLike], moment: ArrayLike) -> BlowupTime:
    """The blow-up time of gradient ascent on ``<W_L ... W_1, M>`` (derived here, docs/theory.md).

    Parameters
    ----------
    weights : sequence of arrays of shape (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
        ``W_1, ..., W_L``.
    moment : array of shape (c, d)
        ``M``.

    Returns
    -------
    BlowupTime
        Of scalars.

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity.

    Examples
    --------
    >>> round(float(linear_blowup_time([[[1.0]]] * 4, [[2.0]]).estimate), 10)
    0.25
    """
    arrays, matrix = checks.weights_and_moment(weights, moment)
    potential = Partial(linear_potential, moment=matrix)
    found = potential_blowup_time(potential, arrays, len(arrays), float(np.linalg.norm(matrix, 2)))
    time = BlowupTime(*map(np.array, found))
    if time.kind != BlowupKind.BLOWS_UP:
        _judge_rest(time, (), rests(arrays, matrix))
    return time


@devices.in_float64
def potential_blowup_time(
    potential: Potential, state: PyTree[ArrayLike], degree: int, supremum: ArrayLike = np.inf
) -> BlowupTime:
    """The blow-up time of gradient ascent on any positively homogeneous potential (derived here, docs/theory.md).

    Parameters
    ----------
    potential : callable
        From a state to a scalar, in operations that JAX can differentiate; arrays it needs are bound by
        ``jax.tree_util.Partial``.
    state : pytree of arrays
        Where the flow starts.
    degree : int
        The potential's degree ``D``. Of degree 1 or 2 nothing blows up.
    supremum : float
        An upper bound of the potential on the sphere ``|state|^2 = D``; infinite where none is known.

    Returns
    -------
    BlowupTime
        Of scalars.

    Raises
    ------
    ArchitectureError
        For a state that holds NaN, infinity or no numbers.
    SpecError
        For a degree below 1.

    Examples
    --------
    >>> round(float(potential_blowup_time(lambda state: state[0] * state[1] ** 2, [1.0, 2.0**0.5], 3).estimate), 8)
    0.5
    """
    start = potential, checks.state(state, degree), degree, np.asarray(supremum, np.float64)
    if degree <= 2:
        return _never(())
    time, kept = _by_two_runs(Ascent, *start)
    return time if kept else _with_care(Ascent, *start)


def _never(batch: tuple[int, ...]) -> BlowupTime:
    forever = np.full(batch, np.inf)
    return BlowupTime(forever, forever, forever, np.full(batch, int(BlowupKind.GROWS_FOREVER)))


def _chain_flow(chain: tuple[Float[Array, "..."], ...]) -> Ascent:
    """A chain without the reduction to modes: slower, and amplifying no more rounding than the flow itself."""
    return Ascent(chain_potential, chain, len(chain), 1.0, power=(len(chain) - 2) / len(chain))


def _of_ensemble(make: Callable[..., Flow], start: tuple[Any, ...]) -> BlowupTime:
    """Every core takes a share of the states, which ``start`` holds along its arrays' leading axes."""
    chain = start[0]
    states = len(chain[0])
    length = -(-states // devices.CORES)
    begins = range(0, states, length)

    def share(begin: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[min(begin, states - length) :][:length], start)

    solved = devices.for_each(_by_two_runs_each, [share(begin) for begin in begins], make)
    # Equal shares are one program: the last begins early enough to be as long, and what it repeats is left out.
    repeated = length * len(begins) - states
    times, kept = jax.tree.map(lambda *parts: np.concatenate([*parts[:-1], parts[-1][repeated:]]), *solved)
    # Where two runs are not enough, as a rule nowhere, a state is followed again.
    for index in np.flatnonzero(~kept):
        again = _with_care(_chain_flow, tuple(layer[index] for layer in chain))
        for column, value in zip(times, again, strict=True):
            column[index] = value
    return times


@eqx.filter_jit
def _by_two_runs(make: Callable[..., Flow], *start: Any) -> tuple[BlowupTime, Bool[AnyArray, ""]]:
    return _enclose(make(*start))


@eqx.filter_jit
def _by_two_runs_each(
    starts: tuple[Any, ...], make: Callable[..., Flow]
) -> tuple[BlowupTime, Bool[AnyArray, " states"]]:
    return jax.lax.map(lambda start: _enclose(make(*start)), starts, batch_size=AT_A_TIME)


@eqx.filter_jit
def _with_care(make: Callable[..., Flow], *start: Any) -> BlowupTime:
    return _enclose_with_care(make(*start))


def _enclose(flow: Flow) -> tuple[BlowupTime, Bool[AnyArray, ""]]:
    """The enclosure from two runs, and whether it may be kept: they blow up at very nearly the same time."""

    def closed(s: Any, point: Any, args: Any, **_: Any) -> Bool[AnyArray, ""]:
        lower, upper = flow.ends(flow.mark(point))
        return upper - lower < CLOSED * lower

    def at(perturbation: Perturbation, rtol: Float[Array, ""]) -> tuple[Float[AnyArray, ""], Float[AnyArray, ""]]:
        saveat = diffrax.SaveAt(t1=True, fn=lambda s, point, args: flow.mark(point))
        solution = flow.follow(perturbation, rtol, saveat, diffrax.Event(closed))
        return flow.ends(jax.tree.map(lambda leaf: leaf[-1], solution.ys))

    lower, upper = jax.vmap(at)(*_runs(2, TOLERANCE))
    estimate, error = upper[0], jnp.abs(upper[0] - upper[1]) + ROUNDING * upper[0]
    closed_enough = (upper[0] - lower[0] < AMPLIFIED * estimate) & (error < AMPLIFIED * estimate)
    kept = jnp.isfinite(upper).all() & closed_enough
    enclosed = BlowupTime(
        jnp.where(flow.moves, flow.unit * estimate, jnp.inf),
        jnp.where(flow.moves, flow.unit * (lower[0] - error), jnp.inf),
        jnp.where(flow.moves, flow.unit * (estimate + error), jnp.inf),
        jnp.where(flow.moves, BlowupKind.BLOWS_UP, BlowupKind.RESTS),
    )
    return enclosed, kept | ~flow.moves


def _enclose_with_care(flow: Flow) -> BlowupTime:
    """The enclosure from the points up to which all runs agree; without an upper end where none has known growth."""

    def along(perturbation: Perturbation, rtol: Float[Array, ""]) -> Any:
        saveat = diffrax.SaveAt(ts=jnp.asarray(GRID), fn=lambda s, point, args: flow.mark(point))
        return flow.follow(perturbation, rtol, saveat).ys

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
    blows_up = jnp.where(lowest - highest > APART * highest, BlowupKind.WIDE, BlowupKind.BLOWS_UP)
    return BlowupTime(
        jnp.where(known, flow.unit * jnp.clip(estimate, highest, lowest), jnp.inf),
        flow.unit * highest,
        flow.unit * lowest,
        jnp.where(known, blows_up, BlowupKind.SETTLES),
    )


def _runs(count: int, first: float) -> tuple[Perturbation, Float[Array, " runs"]]:
    """The perturbations and tolerances of the first run and of the looser ones that it is compared with.

    All but the first start from a state moved by more than rounding, so that what the flow makes of either error is
    seen in their difference.
    """
    run = jnp.arange(count)
    return Perturbation(jnp.where(run > 0, ROUNDING, 0.0), run), jnp.where(run > 0, LOOSER, first)
