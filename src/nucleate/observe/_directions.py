"""Clusters of directions: how many ways the neurons of a layer point."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from nucleate.observe._cosine import cosine_similarity, majority_sign
from nucleate.observe._norms import unit_rows

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
    labels = np.full(len(cosine), -1)
    alive = np.flatnonzero(cosine.diagonal())
    if alive.size < 2:
        labels[alive] = 0
        return labels
    likeness = cosine[np.ix_(alive, alive)]
    distance = squareform(1.0 - (likeness if signed else np.abs(likeness)), checks=False)
    groups = fcluster(linkage(distance, "average"), 1.0 - threshold, "distance")
    _, first, group, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    by_size = np.lexsort((first, -sizes))
    labels[alive] = np.argsort(by_size)[group]
    return labels


def _centre(unit: Float[np.ndarray, "members k"]) -> Float[np.ndarray, " k"]:
    leading = np.linalg.svd(unit, full_matrices=False).Vh[0]
    centre: np.ndarray = majority_sign(unit @ leading) * leading
    return centre
