"""Cosine similarity of neurons: the field's picture of condensation, and two readings of it.

As in Zhou et al. 2022 (arXiv 2105.11686) and Chen and Luo 2024 (arXiv 2402.15958), neurons point the same way when
the cosine of their input weights is near 1 or, for an activation that does not mind the sign, near -1.
"""

import numpy as np
from jaxtyping import Float, Int

from nucleate.observe._norms import unit_rows


def cosine_similarity(vectors: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m m"]:
    """The cosine between each two rows, exact at any scale of the rows.

    A dead neuron, a row of zeros, has no direction: its cosine is 0 with all others and with itself. All others have
    1 on the diagonal, so that the diagonal tells who is alive.

    Examples
    --------
    >>> cosine_similarity(np.array([[1.0, 0.0], [-2e-200, 0.0], [0.0, 0.0]]))
    array([[ 1., -1.,  0.], [-1.,  1.,  0.], [ 0.,  0.,  0.]])
    """
    unit = unit_rows(vectors)
    cosine: np.ndarray = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(cosine, unit.any(axis=1))
    return cosine


def leading_order(cosine: Float[np.ndarray, "m m"]) -> Int[np.ndarray, " m"]:
    """The order of the neurons that shows condensed groups as blocks: by the leading eigenvector, descending.

    Opposite directions end at opposite ends, the larger group first. Equal neurons keep their order.

    Parameters
    ----------
    cosine : array of shape (m, m)
        As made by `cosine_similarity`.

    Returns
    -------
    array of shape (m,)
        ``cosine[np.ix_(order, order)]`` is the matrix to draw.

    Examples
    --------
    >>> leading_order(cosine_similarity(np.array([[1.0], [-1.0], [2.0], [-3.0], [0.5]])))
    array([0, 2, 4, 1, 3])
    """
    eigenvector = np.linalg.eigh(cosine)[1][:, -1]
    # Rounding keeps the noise of the last digits from shuffling neurons that are equal.
    return np.argsort(-majority_sign(eigenvector) * np.round(eigenvector, 10), kind="stable")


def condensed_pairs(vectors: Float[np.ndarray, "m k"], threshold: float = 0.9) -> float:
    """The share of the pairs of neurons with ``|cos| > threshold``; 1 for a single neuron, which has no pair.

    Examples
    --------
    >>> condensed_pairs(np.array([[1.0, 0.0], [-3.0, 0.1], [0.0, 1.0]]))
    0.3333333333333333
    """
    return share_of_pairs(cosine_similarity(vectors), threshold)


def share_of_pairs(cosine: Float[np.ndarray, "m m"], threshold: float) -> float:
    """`condensed_pairs` from the cosines."""
    m = len(cosine)
    if m == 1:
        return 1.0
    # The matrix has each pair twice, and each living neuron with itself once.
    above = np.count_nonzero(np.abs(cosine) > threshold) - np.count_nonzero(cosine.diagonal() > threshold)
    return float(above / (m * (m - 1)))


def majority_sign(projections: Float[np.ndarray, " m"]) -> float:
    """The sign of the sum, or of the first where that vanishes: settles the one that a singular vector leaves open."""
    return -1.0 if (round(projections.sum(), 10) or projections[0]) < 0 else 1.0
