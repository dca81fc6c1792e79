"""When do all neurons condense? Conditions on a state, and when each first holds on the way to the blow-up.

Neuron k condenses onto the side ``sign(b_k)`` of the target direction when ``|b_k|`` outgrows the part of its input
weights orthogonal to it, which does not move. Chen and Luo (arXiv 2402.15958) show condensation in a final stage that
is marked by a sign condition; the conditions here are named by what they say, after that idea. Two of them are
certificates: once true they stay true, and every ``|b_k|`` grows without bound. Proved in docs/theory.md.
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

from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks
from nucleate.theory.blowup import blowup_time
from nucleate.theory.effective import State, energy, first_integrals, vector_field
from nucleate.theory.enclosure import BlowupTime
from nucleate.theory.flow import Point, integrate, size, start
from nucleate.theory.linear import chain_potential

# Until R has grown by some e^40. A change between two of these points is found to 1e-9 of the time that remains; what
# is won and lost again between them is not seen.
_GRID = jnp.linspace(0.0, 40.0, 1001)


class Conditions(NamedTuple):
    """Four conditions: truth values at a state, or for `condensation` the moments at which they first hold."""

    inputs_grow: Any
    """S1b: ``b_k (W2^T a)_k > 0`` for all k; each ``|b_k|`` is growing. Can be lost again."""
    all_grow: Any
    """S1: and ``a_j (W2 b)_j > 0`` for all j. Can be lost again, rarely."""
    certified_by_balance: Any
    """F: S1b, ``E > 0``, ``|b_k| |b| >= |c_k|`` with ``c_k`` the rows of ``W2^T W2 - b b^T``. A certificate."""
    certified_by_signs: Any
    """S2: ``W_jk a_j b_k > 0`` for all j, k; every term of every derivative has its variable's sign. A certificate."""


class Moments(NamedTuple):
    """Times and what is then left until the blow-up; NaN for what does not happen before R has grown by e^40."""

    time: Float[np.ndarray, "..."]
    remaining: Float[np.ndarray, "..."]


class Condensation(NamedTuple):
    """How the neurons of the first layer condense."""

    blowup: BlowupTime
    first: Conditions
    """The `Moments` at which each condition first holds."""
    sides: Float[np.ndarray, " m1"]
    """1 or -1: which of ``v`` and ``-v`` each neuron ends on."""
    changed: Bool[np.ndarray, " m1"]
    """Whether the neuron started on the other side."""
    aligned: Moments
    """From when on the neuron's ``|cos|`` to the target direction is above the threshold, on its side and for good."""


def conditions(state: State) -> Conditions:
    """Which conditions hold at a state (derived in docs/theory.md, after Chen and Luo, arXiv 2402.15958).

    Examples
    --------
    >>> everything_positive = State(jnp.ones(2), jnp.ones((2, 3)), jnp.ones(3))
    >>> bool(conditions(everything_positive).certified_by_signs)
    True
    """
    return Conditions(*(margin > 0 for margin in _margins(state, _row_norms(state))))


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
        jnp.min(W2 * jnp.outer(a, b)),
    )


def split_first_layer(
    W1: Float[Array, "m1 d"], direction: Float[Array, " d"]
) -> tuple[Float[Array, " m1"], Float[Array, " m1"]]:
    """``b = W1 v``, and the norm of each row's part orthogonal to the unit vector ``v``, which stays constant.

    Examples
    --------
    >>> split_first_layer(jnp.array([[3.0, 4.0]]), jnp.array([1.0, 0.0]))
    (Array([3.], dtype=float64), Array([4.], dtype=float64))
    """
    b = W1 @ direction
    return b, jnp.linalg.norm(W1 - jnp.outer(b, direction), axis=1)


def condensation(
    a: ArrayLike, W2: ArrayLike, b: ArrayLike, orthogonal: ArrayLike, *, threshold: float = 0.99
) -> Condensation:
    """Follow the effective dynamics to its blow-up and note how each neuron condenses.

    Parameters
    ----------
    a, W2, b : arrays of shape (m2,), (m2, m1), (m1,)
    orthogonal : array of shape (m1,)
        The norms of the orthogonal parts, from `split_first_layer`.
    threshold : float
        Of ``|cos|``, between 0 and 1.

    Raises
    ------
    ArchitectureError
        For arrays that do not fit.
    SpecError
        For a threshold out of range, or a state that does not blow up.
    """
    chain = checks.chain((a, W2, b))
    constant = np.asarray(checks.finite("orthogonal", orthogonal, rank=1))
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
        raise SpecError("This state does not blow up, so its neurons do not condense; see its blow-up time's outcome.")

    # |cos| > threshold means |b_k| > reach_k.
    reach = constant * threshold / np.sqrt(1 - threshold**2)
    on_the_way = _watch(chain, _GRID)
    sides = np.sign(on_the_way.b[-1])

    def beyond(watched: _Watched) -> Float[np.ndarray, "s 4+m1"]:
        """Positive where a condition holds, and where a neuron is beyond its reach on the side it ends on."""
        reached = sides * watched.b - reach * np.exp(-watched.log_size)[:, None]
        return np.column_stack([*watched.margins, reached])

    holds = beyond(on_the_way) > 0
    after = np.array([*map(_first, holds.T[:4]), *map(_last, holds.T[4:])])
    found = _watch(chain, _crossings(chain, beyond, after))
    remaining = np.where(after < len(_GRID), _remaining(found, float(blowup.estimate)), np.nan)
    moments = [Moments(float(blowup.estimate) - left, left) for left in (*remaining[:4], remaining[4:])]
    return Condensation(blowup, Conditions(*moments[:4]), sides, sides != np.sign(on_the_way.b[0]), moments[4])


class _Watched(NamedTuple):
    time: Float[Array, " s"]
    log_size: Float[Array, " s"]
    growth: Float[Array, " s"]
    b: Float[Array, "s m1"]
    margins: Conditions


def _watch(chain: tuple[Float[Array, "..."], ...], at: ArrayLike) -> _Watched:
    """What the conditions need at desingularised times in any order, in the units of the start's size."""
    order = np.argsort(at)
    back = np.argsort(order)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[back], _pass_by(chain, jnp.asarray(at)[order]))


@eqx.filter_jit
def _pass_by(chain: tuple[Float[Array, "..."], ...], at: Float[Array, " s"]) -> _Watched:
    scale = size(chain, 3)
    row_norms = _row_norms(State(*start(chain, 3).direction))

    def watch(s: Any, point: Point, args: Any) -> _Watched:
        state = State(*point.direction)
        log_size = point.log_size + jnp.log(scale)
        margins = _margins(state, row_norms * jnp.exp(-2 * point.log_size))
        return _Watched(point.time / scale, log_size, energy(state), state.b, margins)

    # To the same end whatever is asked for, so that the steps taken, and with them the last digits, are the same.
    solution = integrate(chain_potential, chain, 3, until=_GRID[-1], saveat=diffrax.SaveAt(ts=at, fn=watch))
    points: Any = solution.ys
    watched: _Watched = points
    return watched


def _remaining(watched: _Watched, blowup: float) -> Float[np.ndarray, " s"]:
    """``T* - t``, held between the ends of the enclosure, which know it to full relative accuracy near the end."""
    shortest = np.exp(-watched.log_size)
    longest = np.where(watched.growth > 0, shortest / np.cbrt(np.maximum(watched.growth, 1e-300)), np.inf)
    return np.clip(blowup - watched.time, shortest, np.maximum(longest, shortest))


def _first(holds: Bool[np.ndarray, " s"]) -> int:
    """The first point at which something holds; their number if none."""
    return int(holds.argmax()) if holds.any() else len(holds)


def _last(holds: Bool[np.ndarray, " s"]) -> int:
    """The first point from which on it always holds."""
    return 0 if holds.all() else len(holds) - int((~holds[::-1]).argmax())


def _crossings(
    chain: tuple[Float[Array, "..."], ...],
    values: Callable[[_Watched], Float[np.ndarray, "s k"]],
    after: Int[np.ndarray, " k"],
) -> Float[np.ndarray, " k"]:
    """Where each value crosses zero, between the points of the grid before and at ``after``; zero at the start."""
    grid = np.asarray(_GRID)
    crossing = np.flatnonzero((after > 0) & (after < len(grid)))
    found = np.zeros(len(after))

    def value(s: Float[np.ndarray, " n"], which: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        # Always as many points, whichever are still sought, so that nothing is compiled anew.
        at = np.resize(s, len(after))
        return values(_watch(chain, at))[np.arange(len(s)), which.astype(int)]

    if crossing.size:
        bracket = grid[after[crossing] - 1], grid[after[crossing]]
        found[crossing] = find_root(value, bracket, args=(crossing,), tolerances={"xrtol": 1e-13}).x
    return found
