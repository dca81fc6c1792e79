"""Moments of rows of different weight: a row of weight 2 counts as the row twice."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped


def relative_weights(weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The same with mean 1, as a part of the rows has them.

    Parameters
    ----------
    weights : array of shape (n,)

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> relative_weights(np.array([1.0, 3.0]))
    array([0.5, 1.5])
    """
    # Divided first, so that nothing overflows.
    scaled = weights / weights.max()
    shares: np.ndarray = scaled / scaled.mean()
    return shares


def mean_of(values: Float[np.ndarray, "k n"], weights: Float[np.ndarray, " n"] | None) -> Float[np.ndarray, " k"]:
    """The mean of each row of values."""
    means: np.ndarray = values.mean(axis=1) if weights is None else np.average(values, axis=1, weights=weights)
    return means


def std_of(values: Float[np.ndarray, "k n"], weights: Float[np.ndarray, " n"] | None) -> Float[np.ndarray, " k"]:
    """The standard deviation of each row of values."""
    if weights is None:
        stds: np.ndarray = values.std(axis=1)
    else:
        away = values - mean_of(values, weights)[:, None]
        stds = np.sqrt(np.average(away**2, axis=1, weights=weights))
    return stds


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
    most: Shaped[np.ndarray, ""] = known[np.bincount(places, weights).argmax()]
    return most


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Whether a function can be called with so many arguments, the last of which are weights."""
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:
        # Of some built-in callables it is not known what they take.
        return True
    return True
