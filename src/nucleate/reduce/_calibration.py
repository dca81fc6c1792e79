"""The rows on which a reduction is made: the training inputs, and others that are like them."""

import numpy as np
from jaxtyping import Float

MOST_ROWS = 2000
JITTER = 0.1
"""The standard deviation of the jitter, in those of the columns."""


def calibration_rows(x: Float[np.ndarray, "n d"], seed: int = 0) -> Float[np.ndarray, "rows d"]:
    """Training inputs, as many with jitter, and as many between two of them; labels play no part.

    Between and around the training rows the reduced network is to do what the original does, not only on them.

    Parameters
    ----------
    x : array of shape (n, d)
        Of more than 2000 rows, 2000 evenly spaced ones are used.
    seed : int

    Examples
    --------
    >>> calibration_rows(np.random.default_rng(0).standard_normal((100, 3))).shape
    (300, 3)
    """
    rng = np.random.default_rng(seed)
    x = x[np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).astype(np.int64)]
    jittered = x + JITTER * x.std(axis=0) * rng.standard_normal(x.shape)
    share = rng.uniform(size=(len(x), 1))
    between = share * x + (1 - share) * x[rng.permutation(len(x))]
    return np.vstack([x, jittered, between])
