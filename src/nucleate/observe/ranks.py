"""Three ranks of a matrix, from its singular values: how low-rank a layer's weights or activations have become.

Each is 0 for a zero matrix, 1 for a matrix of rank one, at most the smaller side, and the same at any scale.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nucleate.errors import ArchitectureError
from nucleate.observe.norms import effective_number, matrices, norm, number, scaled

TOLERANCE = 0.01
_LARGE = 100
"""From this side on, eigenvalues are found sooner than singular values."""
_SPAN = 1e-10
"""The least eigenvalue beside the largest of which rounding leaves enough."""


class Ranks(NamedTuple):
    """The three ranks of a matrix; of matrices with axes in front, arrays with these axes."""

    stable: Any
    effective: Any
    numerical: Any


def stable_rank(matrix: Float[np.ndarray, "m k"]) -> float:
    """``|A|_F^2 / |A|_2^2``: the energy in units of the strongest direction's (Rudelson and Vershynin 2007).

    Parameters
    ----------
    matrix : array of shape (m, k)

    Returns
    -------
    float

    Raises
    ------
    ArchitectureError
        If an entry is NaN or infinite, or it is no matrix.

    Examples
    --------
    >>> stable_rank(np.diag([2.0, 1.0, 0.0]))
    1.25
    """
    return float(ranks(matrix).stable)


def effective_rank(matrix: Float[np.ndarray, "m k"]) -> float:
    """The exponential of the entropy of the singular values divided by their sum (Roy and Vetterli 2007).

    Parameters
    ----------
    matrix : array of shape (m, k)

    Returns
    -------
    float

    Raises
    ------
    ArchitectureError
        If an entry is NaN or infinite, or it is no matrix.

    Examples
    --------
    >>> round(effective_rank(np.eye(3)), 12)
    3.0
    """
    return float(ranks(matrix).effective)


def numerical_rank(matrix: Float[np.ndarray, "m k"], tolerance: float = TOLERANCE) -> int:
    """How many singular values exceed ``tolerance`` times the largest.

    The default counts the directions with at least a hundredth of the strongest one's effect. At the tolerance of
    rounding, 1e-7 or below, every trained matrix keeps the full rank of its random start.

    Parameters
    ----------
    matrix : array of shape (m, k)
    tolerance : float
        Relative to the largest singular value.

    Returns
    -------
    int

    Raises
    ------
    ArchitectureError
        If an entry is NaN or infinite, or it is no matrix.

    Examples
    --------
    >>> numerical_rank(np.diag([1.0, 0.1, 1e-5])), numerical_rank(np.diag([1.0, 0.1, 1e-5]), tolerance=1e-6)
    (2, 3)
    """
    return int(ranks(matrix, tolerance).numerical)


def ranks(matrix: Float[np.ndarray, "... m k"], tolerance: float = TOLERANCE) -> Ranks:
    """All three ranks from one singular value decomposition."""
    matrix = matrices(matrix)
    if not np.isfinite(matrix).all():
        raise ArchitectureError(
            "A matrix with NaN or infinite entries, as diverged runs leave them, has no rank; take an earlier network."
        )
    # Of tall matrices LAPACK finds the values faster than of wide ones; it scales them itself where that is needed.
    tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.swapaxes(-1, -2)
    rows, columns = tall.shape[-2:]
    large = columns >= _LARGE and rows < 2 * columns
    values = _of_large(tall) if large else np.linalg.svd(tall, compute_uv=False)
    relative = values / np.where(values[..., :1] > 0, values[..., :1], 1.0)
    return Ranks(
        number(np.square(relative).sum(axis=-1)),
        effective_number(relative),
        number(np.count_nonzero(relative > tolerance, axis=-1)),
    )


def _of_large(tall: Float[np.ndarray, "... m k"]) -> Float[np.ndarray, "... k"]:
    """The singular values, each to 1e-10 of the largest: from the eigenvalues of ``AᵀA`` where these span less than ten
    digits."""
    unit, _ = scaled(tall, axis=(-2, -1))
    squares = np.linalg.eigvalsh(unit.swapaxes(-1, -2) @ unit)[..., ::-1]
    values: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
    lost = squares[..., -1] <= _SPAN * squares[..., 0]
    values[lost] = np.linalg.svd(unit[lost], compute_uv=False)
    return values


def relative_distance(
    now: Float[np.ndarray, "..."], start: Float[np.ndarray, "..."], axis: tuple[int, ...] | None = None
) -> Any:
    """``RD = |now - start| / |start|`` (Luo et al. 2021, arXiv 2007.07497): large where neurons condense.

    It stays near 0 in the linear regime and grows without bound with the width in the condensed one. From a start at
    zero it is infinite, or 0 for what did not move.

    Parameters
    ----------
    now, start : arrays of one shape
    axis : tuple of int, optional
        The axes of one thing, where the arrays hold several; by default all.

    Returns
    -------
    float, or array of the axes that are left

    Examples
    --------
    >>> relative_distance(np.array([3.0, 5.0]), np.array([3.0, 4.0]))
    0.2
    """
    moved, size = norm(np.subtract(now, start, dtype=np.float64), axis), norm(start, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return number(np.where(np.equal(moved, 0) & np.equal(size, 0), 0.0, np.divide(moved, size)))
