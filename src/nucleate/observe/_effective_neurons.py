"""Effective neurons: as how many a layer works."""

import numpy as np
from jaxtyping import Float

from nucleate.observe._cosine import cosine_similarity
from nucleate.observe._directions import THRESHOLD, cluster
from nucleate.observe._entropy import effective_number


def effective_neurons(
    vectors: Float[np.ndarray, "m k"],
    contributions: Float[np.ndarray, " m"],
    *,
    signed: bool,
    threshold: float = THRESHOLD,
) -> float:
    """The exponential of the entropy of the contributions, added up over clusters of directions.

    1 when all neurons work as one, m when m different ones contribute equally, 0 when nothing contributes. A neuron
    that contributes little counts little, wherever it points; a dead one does not count.

    Parameters
    ----------
    vectors : array, shape (m, k)
        What is compared: for what the neurons do, their pre-activations on data. Input weights mislead behind a
        condensed layer, whose equal neurons make different weights do the same.
    contributions : array, shape (m,)
        As by `nucleate.observe.contributions`.
    signed, threshold
        As in `nucleate.observe.directions`.

    Examples
    --------
    >>> effective_neurons(np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]]), np.array([1.0, 2.0, 3.0]), signed=False)
    2.0
    """
    labels = cluster(cosine_similarity(vectors), signed=signed, threshold=threshold)
    alive = labels >= 0
    return effective_number(np.bincount(labels[alive], weights=contributions[alive]))
