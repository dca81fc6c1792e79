"""How many, counted by weight: the exponential of the entropy (Hill 1973, the number of order 1)."""

import numpy as np
from jaxtyping import Float
from scipy.special import entr


def effective_number(sizes: Float[np.ndarray, " k"]) -> float:
    """``exp(-sum p log p)`` for the shares ``p`` of non-negative sizes: k if all are equal, 1 if one has everything.

    0 where there is nothing to share.

    Examples
    --------
    >>> effective_number(np.array([2e-300, 0.0, 0.0]))
    1.0
    >>> effective_number(np.zeros(3))
    0.0
    """
    largest = sizes.max(initial=0.0)
    if largest == 0:
        return 0.0
    shares = sizes / largest
    return float(np.exp(entr(shares / shares.sum()).sum()))
