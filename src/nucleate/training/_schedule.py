"""When runs are looked at."""

import numpy as np
from jaxtyping import Int


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
