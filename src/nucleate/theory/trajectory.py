"""States on the way to the blow-up, at requested times or at fractions of the blow-up time.

The flow is followed in desingularized time ``s`` (see `nucleate.theory.flow`). A first pass notes when each step is
taken; there ``s`` is a smooth function of ``-log(T* - t)``, and its cubic interpolation says at which ``s`` a time is
reached, to about 1e-4 of the time that remains. A second pass keeps the states there, and one Runge-Kutta step in plain
time covers what is left.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.interpolate import CubicHermiteSpline

from nucleate import devices
from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks
from nucleate.theory.blowup import BlowupTime, blowup_time
from nucleate.theory.effective import AnyArray
from nucleate.theory.flow import Point, integrate, size, unit_of_time
from nucleate.theory.linear import chain_potential

Layers = tuple[Float[AnyArray, "..."], ...]
# The first integrals are to hold to 1e-9, and the last digits go to the interpolation between steps.
_RTOL = 1e-14
_STEPS = 4096
_FOREVER = 1e9


class Trajectory(NamedTuple):
    """Layers ``a, W_{L-1}, ..., W_2, b`` along a leading axis of times, in the order of ``times``.

    Attributes
    ----------
    times : array of float64, shape (k,)
    layers : tuple of arrays of float64, shape (k, m_L), (k, m_L, m_{L-1}), ..., (k, m_2)
    """

    times: Float[np.ndarray, " k"]
    layers: tuple[Float[np.ndarray, "k ..."], ...]


@devices.in_float64
def states_at_fractions(layers: Sequence[ArrayLike], fractions: ArrayLike) -> Trajectory:
    """The states of the effective dynamics at fractions of the blow-up time, each at least 0 and below 1 - 1e-9.

    The dynamics of three layers, and that it blows up: Chen and Luo, arXiv 2402.15958. Other depths: here,
    docs/theory.md.

    Parameters
    ----------
    layers : sequence of arrays of shape (m_L,), (m_L, m_{L-1}), ..., (m_2,)
        ``a, W_{L-1}, ..., W_2, b`` at time zero.
    fractions : array of shape (k,)
        In any order.

    Returns
    -------
    Trajectory

    Raises
    ------
    ArchitectureError
        For layers that do not fit, or that are an ensemble.
    SpecError
        For no fraction or one out of range, or a state that does not blow up.

    Examples
    --------
    >>> half = states_at_fractions([[1.0], [[1.0]], [1.0]], [0.5])
    >>> [round(float(layer.squeeze()), 10) for layer in half.layers]
    [2.0, 2.0, 2.0]
    """
    wanted = _asked("fractions", fractions, 1 - 1e-9, "1 - 1e-9")
    end = _end(layers)
    if not np.isfinite(end.estimate):
        raise SpecError("This state does not blow up, so it has no fractions of a blow-up time; ask for times.")
    return _states_at(layers, wanted * float(end.estimate), end)


@devices.in_float64
def states_at_times(layers: Sequence[ArrayLike], times: ArrayLike) -> Trajectory:
    """The states of the effective dynamics at ``times``, each at least 0 and below the blow-up time.

    In units of ``1 / kappa``. The dynamics of two and three layers: Chen and Luo, arXiv 2402.15958. Other depths:
    here, docs/theory.md.

    Parameters
    ----------
    layers : sequence of arrays of shape (m_L,), (m_L, m_{L-1}), ..., (m_2,)
        ``a, W_{L-1}, ..., W_2, b`` at time zero.
    times : array of shape (k,)
        In any order.

    Returns
    -------
    Trajectory

    Raises
    ------
    ArchitectureError
        For layers that do not fit, or that are an ensemble.
    SpecError
        For no time or one out of range.

    Examples
    --------
    >>> grown = states_at_times([[1.0], [1.0]], [1.0])
    >>> [round(float(layer.squeeze()), 10) for layer in grown.layers]
    [2.7182818285, 2.7182818285]
    """
    end = _end(layers)
    wanted = _asked("times", times, (1 - 1e-9) * end.estimate, f"the blow-up time {float(end.estimate)}")
    return _states_at(layers, wanted, end)


def _asked(name: str, given: ArrayLike, below: ArrayLike, bound: str) -> Float[np.ndarray, " k"]:
    """What is asked for: numbers from 0 to a bound."""
    wanted = np.asarray(given, np.float64)
    if wanted.ndim != 1 or not wanted.size or not ((wanted >= 0) & (wanted < below)).all():
        raise SpecError(f"The {name} {wanted} must be a list of numbers between 0 and {bound}.")
    return wanted


def _end(layers: Sequence[ArrayLike]) -> BlowupTime:
    """The blow-up time of a single state."""
    if np.ndim(layers[0]) > 1:
        raise ArchitectureError(f"a has {np.ndim(layers[0])} axes; trajectories are of one state, so give 1.")
    return blowup_time(*layers)


def _states_at(layers: Sequence[ArrayLike], times: Float[np.ndarray, " k"], end: BlowupTime) -> Trajectory:
    chain = checks.chain(layers)
    order = np.argsort(times)
    unit = float(unit_of_time(size(chain, len(chain)), len(chain)))
    ascending, blowup = times[order] / unit, float(end.estimate) / unit
    s, t, rate = (np.asarray(values) for values in _clock(chain, ascending[-1]))
    taken = np.isfinite(s)
    at = _when(s[taken], t[taken], rate[taken], ascending, blowup)
    # The last is asked for again and again, so that programs are compiled for a few numbers of times only.
    at, ascending = (np.pad(ways, (0, devices.at_once(len(order)) - len(order)), "edge") for ways in (at, ascending))
    back = np.argsort(order)
    return Trajectory(times, tuple(np.asarray(layer)[back] for layer in _pass_by(chain, at, ascending)))


@eqx.filter_jit
def _clock(chain: Layers, last: Any) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """``s``, ``t`` and ``ds/dt`` at every step, from the start to the first step beyond ``last``."""

    def beyond(s: Any, point: Point, args: Any, **_: Any) -> Any:
        return point.time > last

    def clock(s: Any, point: Point, args: Any) -> Any:
        return s, point.time, jnp.exp((len(chain) - 2) * point.log_size)

    saveat = diffrax.SaveAt(t0=True, steps=True, fn=clock)
    event = diffrax.Event(beyond)
    solution = integrate(
        chain_potential, chain, len(chain), until=_FOREVER, rtol=_RTOL, saveat=saveat, event=event, max_steps=_STEPS
    )
    s, t, rate = jax.tree.map(jnp.asarray, solution.ys)
    return s, t, rate


def _when(
    s: Float[np.ndarray, " n"],
    t: Float[np.ndarray, " n"],
    rate: Float[np.ndarray, " n"],
    times: Float[np.ndarray, " k"],
    blowup: float,
) -> Float[np.ndarray, " k"]:
    """``s`` at ``times``, from ``s``, ``t`` and ``ds/dt`` at the steps."""
    if np.isfinite(blowup):
        return np.asarray(CubicHermiteSpline(-np.log(blowup - t), s, rate * (blowup - t))(-np.log(blowup - times)))
    return np.asarray(CubicHermiteSpline(t, s, rate)(times))


@eqx.filter_jit
def _pass_by(chain: Layers, at: Float[AnyArray, " k"], times: Float[AnyArray, " k"]) -> Layers:
    """The states at ``times``, given where on the way they are."""
    saveat = diffrax.SaveAt(ts=jnp.maximum(at, 0.0))
    solution = integrate(chain_potential, chain, len(chain), until=at[-1], rtol=_RTOL, saveat=saveat)
    scale = size(chain, len(chain))

    def state(point: Point, time: Any) -> Layers:
        nearby = jax.tree.map(lambda leaf: jnp.exp(point.log_size) * leaf, point.direction)
        exact = _step(nearby, time - point.time)
        return jax.tree.map(lambda leaf: scale * leaf, exact)

    points: Any = solution.ys
    return jax.vmap(state)(points, times)


def _step(state: Layers, dt: Float[Array, ""]) -> Layers:
    """One classical Runge-Kutta step of ``state' = grad C(state)``."""

    def field(at: Layers) -> Layers:
        return jax.grad(chain_potential)(at)

    def ahead(along: Layers, by: Any) -> Layers:
        return jax.tree.map(lambda x, d: x + by * dt * d, state, along)

    k1 = field(state)
    k2 = field(ahead(k1, 0.5))
    k3 = field(ahead(k2, 0.5))
    k4 = field(ahead(k3, 1.0))
    return ahead(jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4), 1.0)
