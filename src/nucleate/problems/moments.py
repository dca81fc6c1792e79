"""Moments of rows of different weight: a row of weight 2 counts as the row twice."""

import numpy as np
from jaxtyping import Float, Shaped


def relative_weights(weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The same with mean 1, as a part of the rows has them."""
    # Divided first, so that nothing overflows.
    scaled = weights / weights.max()
    return scaled / scaled.mean()


def mean_of(values: Float[np.ndarray, "k n"], weights: Float[np.ndarray, " n"] | None) -> Float[np.ndarray, " k"]:
    """The mean of each row of values."""
    return np.average(values, axis=1, weights=weights)


def std_of(values: Float[np.ndarray, "k n"], weights: Float[np.ndarray, " n"] | None) -> Float[np.ndarray, " k"]:
    """The standard deviation of each row of values."""
    away = values - mean_of(values, weights)[:, None]
    return np.sqrt(mean_of(away**2, weights))


def median(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """The middle value of rows that are repeated as often as they weigh, or the mean of the two in the middle.

    >>> median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])), median(np.array([1.0, 2.0]), np.ones(2))
    (2.0, 1.5)
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    half = reached[-1] / 2
    lower = np.searchsorted(reached, half * (1 - 1e-12))
    upper = min(np.searchsorted(reached, half * (1 + 1e-12), side="right"), len(values) - 1)
    return float((values[order[lower]] + values[order[upper]]) / 2)


def most_frequent(values: Shaped[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> Shaped[np.ndarray, ""]:
    """The value that weighs most; of equal ones the first in their order."""
    known, places = np.unique(values, return_inverse=True)
    return known[np.bincount(places, weights).argmax()]
