"""Rows that are copies of others, and no measurements of their own."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from jaxtyping import Int, Shaped


def copies_in(*parts: Shaped[np.ndarray, "n _"]) -> Int[np.ndarray, " n"] | None:
    """Which of the different rows each is, where some repeat others though chance would hardly repeat one.

    Rows of few values come again by chance, and are each a measurement. So the pairs that agree by chance are counted
    as if columns were independent, each with the share of the pairs of different rows that agree in it. Where one such
    pair or more is to be expected, repeated rows say nothing, and there are no copies: None. The parts are the columns
    of the rows, targets included.

    >>> copies_in(np.array([[0.1, 2.3], [4.2, 0.7], [0.1, 2.3]]))
    array([0, 1, 0])
    >>> copies_in(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])) is None
    True
    """
    places: dict[bytes, int] = {}
    which = np.array([places.setdefault(row, len(places)) for row in _said_by(parts)], np.int64)
    count, different = len(which), len(places)
    if different == count:
        return None
    expected, firsts = count * (count - 1) / 2, np.unique(which, return_index=True)[1]
    for column in chain.from_iterable(part[firsts].T for part in parts):
        if expected < 1:
            break
        times = np.unique(column, return_counts=True)[1].astype(float)
        expected *= (times * (times - 1)).sum() / max(different * (different - 1), 1)
    return which if expected < 1 else None


def count_repeated(rows: tuple[Shaped[np.ndarray, "n _"], ...], *others: tuple[Shaped[np.ndarray, "m _"], ...]) -> int:
    """How many rows, told by their columns, targets included, are among others too.

    >>> count_repeated((np.array([[1.0], [2.0], [0.0]]),), (np.array([[2.0], [3.0]]),), (np.array([[-0.0]]),))
    2
    """
    own = list(_said_by(rows))
    wanted = set(own)
    known = {row for other in others for row in _said_by(other) if row in wanted}
    return sum(row in known for row in own)


def _said_by(parts: tuple[Shaped[np.ndarray, "n _"], ...]) -> Iterator[bytes]:
    """What each row holds. Zero may have a sign."""
    return (b"".join((part[row] + 0.0).tobytes() for part in parts) for row in range(len(parts[0])))
