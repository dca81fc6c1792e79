"""Rows that are copies of others, and no measurements of their own."""

import numpy as np
from jaxtyping import Float, Int


def copies_in(rows: Float[np.ndarray, "n k"]) -> Int[np.ndarray, " n"] | None:
    """Which of the different rows each is, where some repeat others though chance would hardly repeat one.

    Rows of few values come again by chance, and are each a measurement. So the pairs that agree by chance are counted
    as if columns were independent, each with the share of the pairs of different rows that agree in it. Where one such
    pair or more is to be expected, repeated rows say nothing, and there are no copies.

    Parameters
    ----------
    rows : array of shape (n, k)
        Targets included.

    Returns
    -------
    array of int, shape (n,), or None
        None where no row is a copy.

    Examples
    --------
    >>> copies_in(np.array([[0.1, 2.3], [4.2, 0.7], [0.1, 2.3]]))
    array([0, 1, 0])
    >>> copies_in(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])) is None
    True
    """
    places: dict[bytes, int] = {}
    # Zero may have a sign.
    which = np.array([places.setdefault(row.tobytes(), len(places)) for row in rows + 0.0], np.int64)
    count, different = len(rows), len(places)
    if different == count:
        return None
    expected = count * (count - 1) / 2
    for column in rows[np.unique(which, return_index=True)[1]].T:
        times = np.unique(column, return_counts=True)[1].astype(float)
        expected *= (times * (times - 1)).sum() / max(different * (different - 1), 1)
    return which if expected < 1 else None
