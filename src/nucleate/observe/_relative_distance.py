"""How far the parameters went from where they started: what tells the regimes of the phase diagram apart."""

import numpy as np
from jaxtyping import Float

from nucleate.observe._norms import norm


def relative_distance(now: Float[np.ndarray, "..."], start: Float[np.ndarray, "..."]) -> float:
    """``RD = |now - start| / |start|`` (Luo et al. 2021, arXiv 2007.07497): large where neurons condense.

    It stays near 0 in the linear regime and grows without bound with the width in the condensed one. From a start at
    zero it is infinite, or 0 for what did not move.

    Examples
    --------
    >>> relative_distance(np.array([3.0, 5.0]), np.array([3.0, 4.0]))
    0.2
    """
    moved, size = norm(np.subtract(now, start, dtype=np.float64)), norm(start)
    if size == 0:
        return float("inf") if moved else 0.0
    return moved / size
