"""When runs are looked at."""

import numpy as np
from jaxtyping import Int

SNAPSHOTS = 22
"""Of how many recorded steps a watched run keeps a snapshot."""


def snapshot_looks(records: int) -> frozenset[int]:
    """Which of the looks at a run are kept as snapshots: evenly spaced ones, the first and the last among them.

    Examples
    --------
    >>> sorted(snapshot_looks(5)), len(snapshot_looks(80))
    ([0, 1, 2, 3, 4], 22)
    """
    return frozenset(np.linspace(0, records - 1, min(records, SNAPSHOTS)).round().astype(int).tolist())


def record_steps(steps: int, records: int) -> Int[np.ndarray, " records"]:
    """About ``records`` steps from 0 to ``steps``, half of them evenly spaced and half evenly in the logarithm.

    Plateaus last from a few steps to nearly all of them, so neither spacing alone would show every run.

    Examples
    --------
    >>> record_steps(100, 10)
    array([  0,   1,   3,  10,  25,  32,  50,  75, 100])
    """
    even = np.linspace(0, steps, max(records // 2, 2))
    logarithmic = np.geomspace(1, max(steps, 1), max(records - even.size, 2))
    return np.unique(np.concatenate([even, logarithmic]).round().astype(np.int64))
