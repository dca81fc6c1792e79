"""Norms that hold at any scale: of 1e-200 as of 1, where the square would be rounded to zero.

All take matrices with further axes in front, such as one of runs, which what they give has too.
"""

from typing import Any

import numpy as np
import scipy
from jaxtyping import Float

from nucleate._arrays import real_array

_ROUNDING = 8 * np.finfo(np.float64).eps


def scaled(array: Float[np.ndarray, "..."], axis: int | tuple[int, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The array with its largest entry along ``axis`` brought to size 1, and what it was divided by (1 for zeros)."""
    array = real_array("What is measured", array)
    # Without an array of sizes between, which costs more than both ends of the numbers.
    ends = (array.max(axis=axis, keepdims=True, initial=0.0), array.min(axis=axis, keepdims=True, initial=0.0))
    largest = np.maximum(ends[0], -ends[1])
    scale = np.where(largest > 0, largest, 1.0)
    return array / scale, scale


def norm(array: Float[np.ndarray, "..."], axis: int | tuple[int, ...] | None = None) -> Any:
    """The root of the sum of squares over all entries, or over those along ``axis``."""
    unit, scale = scaled(array, axis)
    return number(scale.squeeze(axis) * np.sqrt(np.square(unit).sum(axis=axis)))


def row_norms(matrix: Float[np.ndarray, "... m k"]) -> Float[np.ndarray, "... m"]:
    """The Euclidean norm of each row."""
    unit, scale = scaled(matrices(matrix), axis=-1)
    return scale[..., 0] * np.linalg.norm(unit, axis=-1)


def unit_rows(matrix: Float[np.ndarray, "... m k"]) -> Float[np.ndarray, "... m k"]:
    """Each row divided by its norm; rows of zeros stay."""
    unit, _ = scaled(matrices(matrix), axis=-1)
    lengths = np.linalg.norm(unit, axis=-1, keepdims=True)
    return unit / np.where(lengths > 0, lengths, 1.0)


def standardized(
    matrix: Float[np.ndarray, "... m n"],
) -> tuple[Float[np.ndarray, "... m n"], Float[np.ndarray, "... m"]]:
    """Each row less its mean and divided by its standard deviation, which comes second.

    A row that varies by no more than rounding is constant: zeros, of deviation 0.
    """
    unit, scale = scaled(matrices(matrix), axis=-1)
    unit -= unit.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.einsum("...n,...n->...", unit, unit) / unit.shape[-1])
    deviation[deviation <= _ROUNDING] = 0.0
    unit /= np.where(deviation > 0, deviation, np.inf)[..., None]
    return unit, scale[..., 0] * deviation


def effective_number(sizes: Float[np.ndarray, "... k"]) -> Any:
    """``exp(-sum p log p)`` for the shares ``p`` of non-negative sizes: k if all are equal, 1 if one has everything.

    0 where there is nothing to share.

    >>> effective_number(np.array([2e-300, 0.0, 0.0]))
    1.0
    >>> effective_number(np.zeros(3))
    0.0
    """
    largest = sizes.max(axis=-1, keepdims=True, initial=0.0)
    shares = sizes / np.where(largest == 0, 1.0, largest)
    total = shares.sum(axis=-1, keepdims=True)
    entropy = scipy.special.entr(shares / np.where(total == 0, 1.0, total)).sum(axis=-1)
    return number(np.where(largest[..., 0] == 0, 0.0, np.exp(entropy)))


def number(array: np.ndarray) -> Any:
    """The number that an array without axes holds; any other array as it is."""
    return array.item() if np.ndim(array) == 0 else array


def matrices(given: Any) -> Float[np.ndarray, "... m k"]:
    """What a person gives as a matrix, or matrices with axes in front, in float64."""
    array = real_array("What is measured", given)
    return array if array.ndim >= 2 else real_array("What is measured", array, rank=2)
