"""Clusters of directions: how many ways the neurons of a layer point."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float, Int

from nucleate.errors import ArchitectureError
from nucleate.observe.norms import effective_number, number, unit_rows


def cosine_similarity(vectors: Float[np.ndarray, "... m k"]) -> Float[np.ndarray, "... m m"]:
    """The cosine between each two rows, exact at any scale of the rows.

    A dead neuron, a row of zeros, has no direction: its cosine is 0 with all others and with itself. All others have
    1 on the diagonal, so that the diagonal tells who is alive.

    Parameters
    ----------
    vectors : array of shape (..., m, k)

    Returns
    -------
    array of shape (..., m, m)

    Examples
    --------
    >>> cosine_similarity(np.array([[1.0, 0.0], [-2e-200, 0.0], [0.0, 0.0]]))
    array([[ 1., -1.,  0.], [-1.,  1.,  0.], [ 0.,  0.,  0.]])
    """
    unit = unit_rows(vectors)
    cosine: np.ndarray = np.clip(unit @ unit.swapaxes(-1, -2), -1.0, 1.0)
    same = np.arange(unit.shape[-2])
    cosine[..., same, same] = unit.any(axis=-1)
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

    Parameters
    ----------
    vectors : array of shape (m, k)
    threshold : float

    Returns
    -------
    float

    Examples
    --------
    >>> condensed_pairs(np.array([[1.0, 0.0], [-3.0, 0.1], [0.0, 1.0]]))
    0.3333333333333333
    """
    return float(share_of_pairs(cosine_similarity(vectors), threshold))


def share_of_pairs(cosine: Float[np.ndarray, "... m m"], threshold: float) -> Any:
    """`condensed_pairs` from the cosines."""
    m = cosine.shape[-1]
    if m == 1:
        return number(np.ones(cosine.shape[:-2]))
    # The matrix has each pair twice, and each living neuron with itself once.
    itself = cosine.diagonal(axis1=-2, axis2=-1) > threshold
    above = np.count_nonzero(np.abs(cosine) > threshold, axis=(-2, -1)) - np.count_nonzero(itself, axis=-1)
    return number(above / (m * (m - 1)))


def majority_sign(projections: Float[np.ndarray, " m"]) -> float:
    """The sign of the sum, or of the first where that vanishes: settles the one that a singular vector leaves open."""
    return -1.0 if (round(projections.sum(), 10) or projections[0]) < 0 else 1.0


THRESHOLD = 0.95


@dataclass(frozen=True, eq=False)
class Directions:
    """The directions along which neurons gather.

    Parameters
    ----------
    labels : array of int, shape (m,)
        The direction of each neuron, numbered from 0 by the number of its neurons, largest first (of two as large,
        that of the earlier neuron); -1 for a dead neuron.
    centres : array, shape (count, k)
        Unit vectors.
    """

    labels: Int[np.ndarray, " m"]
    centres: Float[np.ndarray, "count k"]

    @property
    def count(self) -> int:
        """The number of directions."""
        return len(self.centres)


def directions(vectors: Float[np.ndarray, "m k"], *, signed: bool, threshold: float = THRESHOLD) -> Directions:
    """Gather neurons into directions by average linkage, until no two groups have a mean cosine above the threshold.

    Parameters
    ----------
    vectors : array, shape (m, k)
        One neuron a row; rows of zeros are dead and belong to no direction.
    signed : bool
        Whether opposite vectors are two directions (ReLU) or one (odd and even activations).
    threshold : float
        The mean cosine, without its sign if not ``signed``, down to which groups are joined.

    Returns
    -------
    Directions
        The centre of a direction is the leading singular vector of its neurons' unit vectors, on the side of most of
        them, or of the first where they are in balance.

    Examples
    --------
    >>> found = directions(np.array([[0.0, 2.0], [1.0, 0.0], [-3.0, 0.0], [0.0, 0.0]]), signed=False)
    >>> found.labels, found.count
    (array([ 1,  0,  0, -1]), 2)
    >>> directions(np.array([[0.0, 2.0], [1.0, 0.0], [-3.0, 0.0]]), signed=True).count
    3
    """
    unit = unit_rows(vectors)
    labels = cluster(cosine_similarity(unit), signed=signed, threshold=threshold)
    count = labels.max(initial=-1) + 1
    centres = [_centre(unit[labels == label]) for label in range(count)]
    return Directions(labels, np.array(centres).reshape(count, unit.shape[1]))


def cluster(cosine: Float[np.ndarray, "m m"], *, signed: bool, threshold: float) -> Int[np.ndarray, " m"]:
    """The labels of `directions`, from the cosines."""
    return numbered_by_size(leaders_of(cosine[None], signed=signed, threshold=threshold)[0])[0]


def numbered_by_size(leaders: Int[np.ndarray, " m"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " count"]]:
    """Groups, told by who leads each neuron, numbered as in `Directions`, and their leaders in order of the numbers."""
    labels, alive = np.full(len(leaders), -1), leaders >= 0
    found, first, group, sizes = np.unique(leaders[alive], return_index=True, return_inverse=True, return_counts=True)
    by_size = np.lexsort((first, -sizes))
    labels[alive] = np.argsort(by_size)[group]
    return labels, found[by_size]


def leaders_of(
    cosine: Float[np.ndarray, "runs m m"], *, signed: bool, threshold: float = THRESHOLD
) -> Int[np.ndarray, "runs m"]:
    """For each neuron of each run the first one of its direction, -1 for the dead."""
    m = cosine.shape[-1]
    alive = cosine.diagonal(axis1=-2, axis2=-1) != 0
    distance = 1.0 - (cosine if signed else np.abs(cosine))
    near = (distance <= 1.0 - threshold) & alive[:, :, None] & alive[:, None, :]
    near[:, np.arange(m), np.arange(m)] = alive
    leaders = np.where(alive, near.argmax(axis=-1), -1)
    # Where nearness gathers them by itself, as before they condense and after, no linkage would do otherwise.
    gathered = leaders[:, :, None] == leaders[:, None, :]
    for run in np.flatnonzero((near != (gathered & alive[:, :, None])).any(axis=(1, 2))):
        # Average linkage joins nobody to those that are near nobody: all their distances, and so the means of them, are
        # too large.
        some = np.flatnonzero(np.count_nonzero(near[run], axis=1) > 1)
        apart = scipy.spatial.distance.squareform(distance[run][np.ix_(some, some)], checks=False)
        joined = scipy.cluster.hierarchy.linkage(apart, "average")
        pairs = joined[joined[:, 2] <= 1.0 - threshold, :2].astype(int)
        # Each neuron's last group: SciPy's fcluster, which says so too, takes longer than its linkage.
        groups = np.arange(len(some) + len(pairs))
        for group, pair in reversed([*enumerate(pairs, start=len(some))]):
            groups[pair] = groups[group]
        _, first, group = np.unique(groups[: len(some)], return_index=True, return_inverse=True)
        leaders[run, some] = some[first[group]]
    return leaders


def count_directions(cosine: Float[np.ndarray, "runs m m"], *, signed: bool) -> Int[np.ndarray, " runs"]:
    """How many directions the neurons of each run take."""
    leaders = leaders_of(cosine, signed=signed)
    return np.count_nonzero(leaders == np.arange(cosine.shape[-1]), axis=1)


def directions_in_use(
    vectors: Float[np.ndarray, "m k"],
    contributions: Float[np.ndarray, " m"],
    *,
    signed: bool,
    threshold: float = THRESHOLD,
) -> float:
    """The exponential of the entropy of the neurons' contributions, added up over their directions.

    Directions to which little of the layer's work belongs count little; dead neurons do not count.

    Parameters
    ----------
    vectors : array, shape (m, k)
        One neuron a row.
    contributions : array, shape (m,)
        As by `nucleate.observe.contributions`.
    signed, threshold
        As in `directions`.

    Returns
    -------
    float

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]])
    >>> directions_in_use(vectors, np.array([1.0, 2.0, 3.0]), signed=False)
    2.0
    """
    labels = cluster(cosine_similarity(vectors), signed=signed, threshold=threshold)
    alive = labels >= 0
    return float(effective_number(np.bincount(labels[alive], weights=contributions[alive])))


def _centre(unit: Float[np.ndarray, "members k"]) -> Float[np.ndarray, " k"]:
    leading = np.linalg.svd(unit, full_matrices=False).Vh[0]
    return majority_sign(unit @ leading) * leading


def alignment(vectors: Float[np.ndarray, "m k"], target: Float[np.ndarray, " k"]) -> Float[np.ndarray, " m"]:
    """The cosine, with its sign, between each neuron and a given direction; 0 for a dead neuron.

    For a squared error and an activation with slope 1 at zero, the target of the first layer is the mean of
    ``y_i x_i`` (Chen and Luo 2024, arXiv 2402.15958), with 1 appended to ``x_i`` where the layer has a bias.

    Parameters
    ----------
    vectors : array of shape (m, k)
    target : array of shape (k,)

    Returns
    -------
    array of shape (m,)

    Raises
    ------
    ArchitectureError
        If the target has not as many entries as a neuron.

    Examples
    --------
    >>> alignment(np.array([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]]), np.array([0.0, 1e-3]))
    array([ 0.8, -1. ,  0. ])
    """
    inputs = np.shape(vectors)[1]
    if np.shape(target) != (inputs,):
        raise ArchitectureError(
            f"The target direction has shape {np.shape(target)} for neurons with {inputs} entries, "
            f"the bias included; give {inputs} numbers."
        )
    return unit_rows(vectors) @ unit_rows(np.asarray(target)[None])[0]
