"""When do all neurons condense? Conditions on a state, and when each first holds on the way to the blow-up.

Neuron k condenses onto the side ``sign(b_k)`` of the target direction when ``|b_k|`` outgrows the part of its input
weights orthogonal to it, which does not move. Chen and Luo (arXiv 2402.15958) show condensation in a final stage that
is marked by a sign condition: theirs is the idea. The four conditions are formulated here and named by what they say.
Two of them are certificates: once true they stay true, and every ``|b_k|`` grows without bound. Proved here, in
docs/theory.md.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int
from scipy.optimize.elementwise import find_root

from nucleate import devices
from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks
from nucleate.theory.blowup import BlowupTime, blowup_time
from nucleate.theory.effective import AnyArray, State, energy, first_integrals, vector_field
from nucleate.theory.flow import Point, integrate, size, start
from nucleate.theory.linear import chain_potential

# Until R has grown by some e^40. A change between two of these points is found to 1e-9 of the time that remains; what
# is won and lost again between them is not seen.
GRID = np.linspace(0.0, 40.0, 1001)


class Conditions(NamedTuple):
    """Four conditions: truth values at a state, or for `condensation` the `Times` at which they first hold.

    Parameters
    ----------
    inputs_grow, all_grow, certified_by_balance, certified_by_signs : bool or Times
        S1b, S1, F and S2 of docs/theory.md.
    """

    inputs_grow: Any
    """S1b: ``b_k (W2^T a)_k > 0`` for all k; each ``|b_k|`` is growing. Can be lost again."""
    all_grow: Any
    """S1: and ``a_j (W2 b)_j > 0`` for all j. Can be lost again, rarely."""
    certified_by_balance: Any
    """F: S1b, ``E > 0``, ``|b_k| |b| >= |c_k|`` with ``c_k`` the rows of ``W2^T W2 - b b^T``. A certificate."""
    certified_by_signs: Any
    """S2: ``W_jk a_j b_k > 0`` for all j, k; every term of every derivative has its variable's sign. A certificate."""


class Times(NamedTuple):
    """Times and what is then left until the blow-up; NaN for what does not happen before R has grown by e^40.

    Parameters
    ----------
    time, remaining : array or float
        Since the start, and until the blow-up.
    """

    time: Float[np.ndarray, "..."]
    remaining: Float[np.ndarray, "..."]


class Condensation(NamedTuple):
    """How the neurons of the first layer condense.

    Parameters
    ----------
    blowup : BlowupTime
    first : Conditions of Times
        When each condition begins to hold.
    sides : array of shape (m1,)
        1 or -1: which of ``v`` and ``-v`` each neuron ends on.
    changed : array of bool, shape (m1,)
        Whether the neuron started on the other side.
    aligned : Times
        From when on the neuron's ``|cos|`` to the target direction is above the threshold, on its side and for good.
    """

    blowup: BlowupTime
    first: Conditions
    sides: Float[np.ndarray, " m1"]
    changed: Bool[np.ndarray, " m1"]
    aligned: Times


class Reading(NamedTuple):
    """What the conditions need of points on the way, in the units of the start's size."""

    time: Float[AnyArray, " s"]
    log_size: Float[AnyArray, " s"]
    growth: Float[AnyArray, " s"]
    b: Float[AnyArray, "s m1"]
    margins: Conditions
    """For each condition numbers that are positive where it holds."""


@devices.in_float64
def conditions(state: State) -> Conditions:
    """Which conditions hold at a state (formulated here, docs/theory.md, after Chen and Luo, arXiv 2402.15958).

    Parameters
    ----------
    state : State

    Returns
    -------
    Conditions
        Of scalar truth values.

    Examples
    --------
    >>> everything_positive = State(np.ones(2), np.ones((2, 3)), np.ones(3))
    >>> bool(conditions(everything_positive).certified_by_signs)
    True
    """
    traced = State(*map(jnp.asarray, checks.three_layers(state)))
    return Conditions(*(margin > 0 for margin in _margins(traced, _row_norms(traced))))


def _row_norms(state: State) -> Float[Array, " m1"]:
    """``|c_k|``, constant along the flow."""
    return jnp.linalg.norm(first_integrals(state).inner, axis=1)


def _margins(state: State, row_norms: Float[Array, " m1"]) -> Conditions:
    """For each condition a continuous number that is positive where it holds."""
    a, W2, b = state
    growing = vector_field(state)
    inputs = jnp.min(b * growing.b)
    outer = jnp.min(a * growing.a)
    balance = jnp.min(jnp.abs(b) * jnp.linalg.norm(b) - row_norms)
    return Conditions(
        inputs,
        jnp.minimum(inputs, outer),
        jnp.minimum(jnp.minimum(inputs, energy(state)), balance),
        jnp.min(W2 * growing.W2),
    )


def split_first_layer(
    W1: Float[AnyArray, "m1 d"], direction: Float[AnyArray, " d"]
) -> tuple[Float[AnyArray, " m1"], Float[AnyArray, " m1"]]:
    """``b = W1 v``, and the norm of each row's part orthogonal to ``v``, which stays constant (arXiv 2402.15958).

    Parameters
    ----------
    W1 : array of shape (m1, d)
        Of NumPy, or traced by JAX.
    direction : array of shape (d,)
        The unit vector ``v``.

    Returns
    -------
    b : array of shape (m1,)
    orthogonal : array of shape (m1,)

    Examples
    --------
    >>> split_first_layer(np.array([[3.0, 4.0]]), np.array([1.0, 0.0]))
    (array([3.]), array([4.]))
    """
    b = W1 @ direction
    return b, ((W1 - b[:, None] * direction) ** 2).sum(axis=1) ** 0.5


@devices.in_float64
def condensation(
    a: ArrayLike, W2: ArrayLike, b: ArrayLike, orthogonal: ArrayLike, *, threshold: float = 0.99
) -> Condensation:
    """Follow the effective dynamics to its blow-up and note how each neuron condenses.

    The dynamics and that its neurons condense: Chen and Luo, arXiv 2402.15958. The conditions and what they certify:
    here, docs/theory.md.

    Parameters
    ----------
    a, W2, b : arrays of shape (m2,), (m2, m1), (m1,)
    orthogonal : array of shape (m1,)
        The norms of the orthogonal parts, from `split_first_layer`.
    threshold : float
        Of ``|cos|``, between 0 and 1.

    Returns
    -------
    Condensation

    Raises
    ------
    ArchitectureError
        For arrays that do not fit.
    SpecError
        For a threshold out of range, or a state that does not blow up.
    """
    chain = checks.chain((a, W2, b))
    constant = checks.finite("orthogonal", orthogonal, rank=1)
    if constant.shape != chain[2].shape:
        raise ArchitectureError(
            f"orthogonal has shape {constant.shape}; expected one entry a neuron, {chain[2].shape}."
        )
    if (constant < 0).any():
        raise ArchitectureError("orthogonal holds norms, so no entry may be negative.")
    if not 0 < threshold < 1:
        raise SpecError(f"The threshold is {threshold}; it must lie between 0 and 1.")
    blowup = blowup_time(*chain)
    if not np.isfinite(blowup.estimate):
        raise SpecError("This state does not blow up, so its neurons do not condense; see its blow-up time's kind.")

    # |cos| > threshold means |b_k| > reach_k.
    reach = constant * threshold / np.sqrt(1 - threshold**2)
    on_the_way = read(chain, GRID)
    sides = np.sign(on_the_way.b[-1])

    def beyond(reading: Reading) -> Float[np.ndarray, "s 4+m1"]:
        """Positive where a condition holds, and where a neuron is beyond its reach on the side it ends on."""
        reached = sides * reading.b - reach * np.exp(-reading.log_size)[:, None]
        return np.column_stack([*reading.margins, reached])

    holds = beyond(on_the_way) > 0
    after = np.array([*map(_first, holds.T[:4]), *map(_last, holds.T[4:])])
    found = read(chain, _crossings(chain, beyond, after))
    remaining = np.where(after < len(GRID), _remaining(found, float(blowup.estimate)), np.nan)
    times = [Times(float(blowup.estimate) - left, left) for left in (*remaining[:4], remaining[4:])]
    return Condensation(blowup, Conditions(*times[:4]), sides, sides != np.sign(on_the_way.b[0]), times[4])


@devices.in_float64
def read(chain: tuple[Float[AnyArray, "..."], ...], at: Float[np.ndarray, " s"]) -> Reading:
    """What the conditions need at desingularized times, in any order, up to the end of `GRID`."""
    order = np.argsort(at)
    back = np.argsort(order)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[back], _pass_by(chain, at[order]))


@eqx.filter_jit
def _pass_by(chain: tuple[Float[AnyArray, "..."], ...], at: Float[AnyArray, " s"]) -> Reading:
    scale = size(chain, 3)
    row_norms = _row_norms(State(*start(chain, 3).direction))

    def reading(s: Any, point: Point, args: Any) -> Reading:
        state = State(*point.direction)
        log_size = point.log_size + jnp.log(scale)
        margins = _margins(state, row_norms * jnp.exp(-2 * point.log_size))
        return Reading(point.time / scale, log_size, energy(state), state.b, margins)

    # To the same end whatever is asked for, so that the steps taken, and with them the last digits, are the same.
    solution: Any = integrate(
        chain_potential, chain, 3, until=GRID[-1], saveat=diffrax.SaveAt(ts=jnp.asarray(at), fn=reading)
    )
    return solution.ys


def _remaining(reading: Reading, blowup: float) -> Float[np.ndarray, " s"]:
    """``T* - t``, held between the ends of the enclosure, which know it to full relative accuracy near the end."""
    shortest = np.exp(-reading.log_size)
    longest = np.where(reading.growth > 0, shortest / np.cbrt(np.maximum(reading.growth, 1e-300)), np.inf)
    return np.clip(blowup - reading.time, shortest, np.maximum(longest, shortest))


def _first(holds: Bool[np.ndarray, " s"]) -> int:
    """The first point at which something holds; their number if none."""
    return int(holds.argmax()) if holds.any() else len(holds)


def _last(holds: Bool[np.ndarray, " s"]) -> int:
    """The first point from which on it always holds."""
    return 0 if holds.all() else len(holds) - int((~holds[::-1]).argmax())


def _crossings(
    chain: tuple[Float[np.ndarray, "..."], ...],
    values: Callable[[Reading], Float[np.ndarray, "s k"]],
    after: Int[np.ndarray, " k"],
) -> Float[np.ndarray, " k"]:
    """Where each value crosses zero, between the points of the grid before and at ``after``; zero at the start."""
    crossing = np.flatnonzero((after > 0) & (after < len(GRID)))
    found = np.zeros(len(after))

    def value(s: Float[np.ndarray, " n"], which: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        # Always as many points, whichever are still sought, so that nothing is compiled anew.
        at = np.resize(s, len(after))
        return values(read(chain, at))[np.arange(len(s)), which.astype(int)]

    if crossing.size:
        bracket = GRID[after[crossing] - 1], GRID[after[crossing]]
        found[crossing] = find_root(value, bracket, args=(crossing,), tolerances={"xrtol": 1e-13}).x
    return found
