"""When the flow blows up: an enclosure of the time ``T*`` that closes as one integrates.

From a point of desingularised time with ``t``, ``R`` and growth ``e = C(u) > 0``,

    t + R^-(D-2) / ((D-2) sup C)  <=  T*  <=  t + R^-(D-2) / ((D-2) e),

``sup C`` over the sphere ``N = D`` (infinite where unknown), because ``e`` never decreases. For three layers ``sup C
= 1``, and ``E' >= 3 E^(4/3)`` gives the sharper ``T* <= t + E^(-1/3) = t + 1 / (R e^(1/3))``. Derived in
docs/theory.md.

What is guaranteed. The two ends hold for the exact state at ``t``. The integration is done twice, the second time at
ten times the tolerance and from a state moved by more than its rounding, and both ends are moved outwards by the whole
difference of the two results. Where that is above 1e-9 the flow amplifies rounding: further runs look at it from more
sides, and the enclosure is the best of those from points up to which all agree. So ``lower <= T* <= upper`` holds if
the first run errs by less than its distance from the others; the tests hold that against 40-digit arithmetic over
random states and ill-conditioned ones. It is no interval arithmetic. The relative width is below 1e-10 where the flow
does not amplify rounding, which it does where layers differ by many powers of ten or growth starts from almost none.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Bool, Float, PyTree

from nucleate.theory import checks
from nucleate.theory.enclosure import BlowupTime, Flow, Outcome, enclose, enclose_with_care
from nucleate.theory.flow import Potential
from nucleate.theory.followed import (
    Ascent,
    ascent_flow,
    at_size_one,
    chain_flow,
    in_modes,
    modes_flow,
    three_layers_flow,
)
from nucleate.theory.linear import linear_potential
from nucleate.theory.modes import frames


def blowup_time(*layers: ArrayLike) -> BlowupTime:
    """The blow-up time of the effective dynamics from ``a, W2, b``, in units of ``1 / kappa``.

    Two layers ``a, b`` never blow up; four and more, ``a, W_{L-1}, ..., W_2, b``, do so as deep linear networks do.

    Parameters
    ----------
    a, W2, b : arrays of shape (m2,), (m2, m1), (m1,)
        Or all with one more leading axis: an ensemble of states.

    Raises
    ------
    ArchitectureError
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
    chain = checks.chain(layers)
    if len(chain) == 2:
        return _never(chain[0].shape[:-1])
    single = chain[0].ndim == 1
    if len(chain) == 3:
        prepare = _one if single else _many
        state = prepare(at_size_one, chain)
        parts = prepare(in_modes, (chain, state, frames(state)))
        enclosed = (_one if single else _ensemble)(Partial(_by_two_runs, modes_flow), parts)
        return _careful(enclosed, three_layers_flow, chain, single)
    enclosed = (_one if single else _ensemble)(Partial(_by_two_runs, chain_flow), chain)
    return _careful(enclosed, chain_flow, chain, single)


def linear_blowup_time(weights: Sequence[ArrayLike], moment: ArrayLike) -> BlowupTime:
    """The blow-up time of gradient ascent on ``<W_L ... W_1, M>``, for weights ``W_1, ..., W_L``.

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity.

    Examples
    --------
    >>> ones = [jnp.ones((1, 1))] * 4
    >>> round(float(linear_blowup_time(ones, [[2.0]]).estimate), 10)
    0.25
    """
    arrays, matrix = checks.weights_and_moment(weights, moment)
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
    flow, ascent = Partial(ascent_flow, degree), Ascent(potential, state, jnp.asarray(supremum))
    return _careful(_one(Partial(_by_two_runs, flow), ascent), flow, ascent, single=True)


def _never(batch: tuple[int, ...]) -> BlowupTime:
    forever = jnp.full(batch, jnp.inf)
    return BlowupTime(forever, forever, forever, jnp.full(batch, Outcome.GROWS_FOREVER))


def _careful(
    enclosed: tuple[BlowupTime, Bool[Array, "*batch"]], flow: Callable[[Any], Flow], states: Any, single: bool
) -> BlowupTime:
    """States for which two runs are not enough, as a rule none, are followed again, one after another."""
    times, kept = enclosed
    if single:
        return times if kept else _one(Partial(_with_care, flow), states)
    columns = [np.array(column) for column in times]
    for index in np.flatnonzero(~np.asarray(kept)):
        again = _one(Partial(_with_care, flow), jax.tree.map(lambda leaf, index=index: leaf[index], states))
        for column, value in zip(columns, again, strict=True):
            column[index] = value
    return BlowupTime(*map(jnp.asarray, columns))


def _by_two_runs(flow: Callable[[Any], Flow], prepared: Any) -> Any:
    return enclose(flow(prepared))


def _with_care(flow: Callable[[Any], Flow], prepared: Any) -> BlowupTime:
    return enclose_with_care(flow(prepared))


@eqx.filter_jit
def _one(function: Callable[[Any], Any], argument: Any) -> Any:
    return function(argument)


@eqx.filter_jit
def _many(function: Callable[[Any], Any], arguments: Any) -> Any:
    return jax.vmap(function)(arguments)


def _ensemble(solve: Callable[[Any], Any], prepared: Any) -> Any:
    """Every device takes an equal share of the states, filled up by starting over with the first."""
    states, devices = len(jax.tree.leaves(prepared)[0]), jax.device_count()
    filled = np.arange(-(-states // devices) * devices) % states
    # Gathered on the host: operations on arrays spread over CPU devices can wait for each other for ever.
    solved = jax.device_get(_spread(solve, jax.tree.map(lambda leaf: leaf[filled], prepared)))
    return jax.tree.map(lambda leaf: leaf[:states], solved)


@eqx.filter_jit
def _spread(solve: Callable[[Any], Any], prepared: Any) -> Any:
    mesh, states = Mesh(jax.devices(), ("states",)), PartitionSpec("states")
    # Some states at a time: enough to fill vector instructions, few enough to stay in cache.
    share = partial(jax.lax.map, solve, batch_size=16)
    return jax.shard_map(share, mesh=mesh, in_specs=states, out_specs=states, check_vma=False)(prepared)
