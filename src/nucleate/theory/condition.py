"""When do all neurons condense? Conditions on a state, and when each first holds on the way to the blow-up.

Neuron k condenses onto the side ``sign(b_k)`` of the target direction when ``|b_k|`` outgrows the part of its input
weights orthogonal to it, which does not move. Chen and Luo (arXiv 2402.15958) show condensation in a final stage that
is marked by a sign condition; the conditions here are named by what they say, after that idea. Two of them are
certificates: once true they stay true, and every ``|b_k|`` grows without bound. Proved in docs/theory.md.
"""

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from nucleate import _jax as _jax
from nucleate.errors import NetworkError, SpecError
from nucleate.theory import _checks
from nucleate.theory._enclosure import BlowupTime
from nucleate.theory.blowup import blowup_time
from nucleate.theory.effective import State, energy, first_integrals, vector_field
from nucleate.theory.flow import Point, integrate, size
from nucleate.theory.linear import chain_potential

# Until R has grown by some e^40, in steps of 0.04: times come out to about 1e-3 of the time that remains, of alignment
# at times to 5e-2 only.
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
    """From when on the neuron's ``|cos|`` to the target direction is above the threshold, for good."""


def conditions(state: State) -> Conditions:
    """Which conditions hold at a state (derived in docs/theory.md, after Chen and Luo, arXiv 2402.15958).

    Examples
    --------
    >>> everything_positive = State(jnp.ones(2), jnp.ones((2, 3)), jnp.ones(3))
    >>> bool(conditions(everything_positive).certified_by_signs)
    True
    """
    return Conditions(*(margin > 0 for margin in _margins(state)))


def _margins(state: State) -> Conditions:
    """For each condition a continuous number that is positive where it holds."""
    a, W2, b = state
    growing = vector_field(state)
    inputs = jnp.min(b * growing.b)
    outer = jnp.min(a * growing.a)
    balance = jnp.min(jnp.abs(b) * jnp.linalg.norm(b) - jnp.linalg.norm(first_integrals(state).inner, axis=1))
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
    NetworkError
        For arrays that do not fit.
    SpecError
        For a threshold out of range, or a state that does not blow up.
    """
    chain = _checks.chain((a, W2, b))
    constant = np.asarray(_checks.finite("orthogonal", orthogonal, rank=1))
    if constant.shape != chain[2].shape:
        raise NetworkError(f"orthogonal has shape {constant.shape}; expected one entry a neuron, {chain[2].shape}.")
    if (constant < 0).any():
        raise NetworkError("orthogonal holds norms, so no entry may be negative.")
    if not 0 < threshold < 1:
        raise SpecError(f"The threshold is {threshold}; it must lie between 0 and 1.")
    blowup = blowup_time(*chain)
    if not np.isfinite(blowup.estimate):
        raise SpecError("This state does not blow up, so its neurons do not condense; see its blow-up time's outcome.")

    watched = jax.tree.map(np.asarray, _watch(chain))
    remaining = _remaining(watched, float(blowup.estimate))
    # |cos| > threshold means |b_k| > reach_k.
    reach = constant * threshold / np.sqrt(1 - threshold**2)
    with np.errstate(divide="ignore"):
        ahead = np.log(np.abs(watched.b)) + watched.log_size[:, None] - np.log(reach)

    def moments(crossings: float | Float[np.ndarray, "..."]) -> Moments:
        left = np.exp(np.interp(crossings, _GRID, np.log(remaining)))
        return Moments(float(blowup.estimate) - left, left)

    first = Conditions(*(moments(_first(margin)) for margin in watched.margins))
    aligned = moments(np.array([_last(neuron) for neuron in ahead.T]))
    sides = np.sign(watched.b[-1])
    return Condensation(blowup, first, sides, sides != np.sign(watched.b[0]), aligned)


class _Watched(NamedTuple):
    time: Float[Array, " s"]
    log_size: Float[Array, " s"]
    growth: Float[Array, " s"]
    b: Float[Array, "s m1"]
    margins: Conditions


@eqx.filter_jit
def _watch(chain: tuple[Float[Array, "..."], ...]) -> _Watched:
    """What the conditions need, on the grid of desingularised times and in the units of the start's size."""
    scale = size(chain, 3)

    def watch(s: Any, point: Point, args: Any) -> _Watched:
        state = State(*point.direction)
        log_size = point.log_size + jnp.log(scale)
        return _Watched(point.time / scale, log_size, energy(state), state.b, _margins(state))

    saveat = diffrax.SaveAt(ts=_GRID, fn=watch)
    solution = integrate(chain_potential, chain, 3, until=_GRID[-1], saveat=saveat)
    points: Any = solution.ys
    watched: _Watched = points
    return watched


def _remaining(watched: _Watched, blowup: float) -> Float[np.ndarray, " s"]:
    """``T* - t``, held between the ends of the enclosure, which know it to full relative accuracy near the end."""
    shortest = np.exp(-watched.log_size)
    longest = np.where(watched.growth > 0, shortest / np.cbrt(np.maximum(watched.growth, 1e-300)), np.inf)
    return np.clip(blowup - watched.time, shortest, np.maximum(longest, shortest))


def _first(margin: Float[np.ndarray, " s"]) -> float:
    """The desingularised time at which ``margin`` first becomes positive, by linear interpolation; NaN if never."""
    holds = margin > 0
    return _crossing(margin, int(holds.argmax())) if holds.any() else np.nan


def _last(margin: Float[np.ndarray, " s"]) -> float:
    """The desingularised time from which on ``margin`` is positive; NaN if it ends otherwise."""
    holds = margin > 0
    return _crossing(margin, len(holds) - int((~holds[::-1]).argmax())) if not holds.all() else 0.0


def _crossing(margin: Float[np.ndarray, " s"], after: int) -> float:
    if after in (0, len(margin)):
        return 0.0 if after == 0 else np.nan
    low, high = margin[after - 1], margin[after]
    share = low / (low - high) if np.isfinite(low) else 1.0
    return float(_GRID[after - 1] + share * (_GRID[after] - _GRID[after - 1]))
