"""Three layers of which two are tiny: followed in closed form until they have grown.

While two layers are below 1e-8 of the third, that one stays what it is to 1e-16 of itself, and the flow of the two is
linear, in time units of the third's size: for a large b, ``a' = p``, ``p' = a`` with ``p = W2 b / |b|``; for a large
``W2`` with singular values ``sigma_i``, the components of a and b along its singular vectors exchange at the rates
``sigma_i``. Logarithms of sizes are kept, so nothing underflows. Derived here, in docs/theory.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

TINY = 1e-8
"""Two layers below this share of the third are followed in closed form, until they are no longer."""
_LONGEST = 1e6
_ROUNDING = 4096 * 2.0**-53

Layers = tuple[Float[np.ndarray, " m2"], Float[np.ndarray, "m2 m1"], Float[np.ndarray, " m1"]]


class HeadStart(NamedTuple):
    """The state from which to integrate, in units of ``1 / rate`` of time, and when it is reached in these."""

    layers: Layers
    time: float
    error: float
    rate: float


def head_start(layers: Layers) -> HeadStart | None:
    """The state at which two tiny layers have grown; None where there are none, or they do not grow."""
    a, W2, b = layers
    largest = [float(np.abs(layer).max()) for layer in layers]
    if not 0 < sorted(largest)[1] <= TINY * max(largest):
        return None
    if max(largest) == largest[0] > largest[1]:
        turned = head_start((b, W2.T, a))
        return turned and turned._replace(layers=(turned.layers[2], turned.layers[1].T, turned.layers[0]))
    return _matrix_dominates(a, W2, b) if max(largest) == largest[1] else _vector_dominates(a, W2, b)


def _vector_dominates(
    a: Float[np.ndarray, " m2"], W2: Float[np.ndarray, "m2 m1"], b: Float[np.ndarray, " m1"]
) -> HeadStart | None:
    size, along = _unit(b)
    small = max(np.abs(a).max(), np.abs(W2).max())
    if not 0 < small <= TINY * size / 16:
        return None
    outer, matrix = a / small, W2 / small
    inner = matrix @ along
    rest = matrix - np.outer(inner, along)

    def at(time: float) -> tuple[np.ndarray, np.ndarray]:
        """Of the pair, times exp(-time)."""
        falling = np.exp(-2 * time)
        grown = [(outer * (1 + s * falling) + inner * (1 - s * falling)) / 2 for s in (1, -1)]
        return grown[0], np.outer(grown[1], along) + rest * np.exp(-time)

    amplitude = np.array([np.linalg.norm(outer + inner)])
    return _until_grown(at, np.ones(1), amplitude, size, small, lambda x, y: (x, y, along))


def _matrix_dominates(
    a: Float[np.ndarray, " m2"], W2: Float[np.ndarray, "m2 m1"], b: Float[np.ndarray, " m1"]
) -> HeadStart | None:
    size, matrix = _unit(W2)
    small = max(np.abs(a).max(), np.abs(b).max())
    if not 0 < small <= TINY * size / 16:
        return None
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    outer, inner = a / small, b / small
    along, across = left.T @ outer, right @ inner
    still_outer, still_inner = outer - left @ along, inner - right.T @ across

    def at(time: float) -> tuple[np.ndarray, np.ndarray]:
        """Of the pair, times exp(-sigma_1 time)."""
        rising = np.exp((values - values[0]) * time) * (along + across) / 2
        falling = np.exp(-(values + values[0]) * time) * (along - across) / 2
        still = np.exp(-values[0] * time)
        return left @ (rising + falling) + still * still_outer, right.T @ (rising - falling) + still * still_inner

    return _until_grown(at, values, np.abs(along + across), size, small, lambda x, y: (x, matrix, y))


def _until_grown(
    at: Callable[[float], tuple[np.ndarray, np.ndarray]],
    rates: Float[np.ndarray, " k"],
    amplitudes: Float[np.ndarray, " k"],
    size: float,
    small: float,
    join: Callable[[np.ndarray, np.ndarray], Layers],
) -> HeadStart | None:
    """Where the pair, ``at`` a time without its growth at the first rate, has come to `TINY` of the third layer."""
    aim = np.log(TINY) + np.log(size) - np.log(small)

    def beyond(time: float) -> float:
        length = np.sqrt(sum(np.sum(part**2) for part in at(time)))
        return float(rates[0] * time + np.log(length) - aim) if length > 0 else -np.inf

    latest = 1.0
    while not beyond(latest) > 0:
        latest *= 2
        if latest > _LONGEST:
            return None
    time = float(brentq(beyond, 0.0, latest, xtol=1e-13 * latest))
    pair = at(time)
    length = np.sqrt(sum(np.sum(part**2) for part in pair))
    # What rounding adds counts against the part that grew, and grows with the time.
    with np.errstate(divide="ignore"):
        leads = int(np.argmax(rates * time + np.log(amplitudes)))
    error = _ROUNDING * (1 + time + 1 / amplitudes[leads]) / rates[leads] if amplitudes[leads] > 0 else np.inf
    return HeadStart(join(*(part * (TINY / length) for part in pair)), time, float(error), size)


def _unit(layer: Float[np.ndarray, "..."]) -> tuple[float, Float[np.ndarray, "..."]]:
    """The norm, which neither overflows nor underflows, and the layer divided by it."""
    largest = float(np.abs(layer).max())
    length = float(np.linalg.norm(layer / largest))
    return largest * length, layer / largest / length
