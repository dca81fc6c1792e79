"""How long the rest of a study takes, judged by what this process has done of it."""

import numpy as np
from scipy.optimize import nnls

_TELLING = 0.03
"""The share of its own steps after which a process ventures a time."""


class Pace:
    """Seconds a step and seconds a look at a run, fitted to what has been timed.

    Looks are dense at first, so a time by the share of steps alone would be too long many times over.
    """

    def __init__(self) -> None:
        self._work: list[tuple[int, int]] = []
        self._seconds: list[float] = []

    def took(self, seconds: float, *, steps: int, looks: int) -> None:
        """Note how long some steps and looks took, counted over the runs."""
        self._work.append((steps, looks))
        self._seconds.append(seconds)

    def left(self, *, steps: int, looks: int) -> float | None:
        """Seconds for the steps and looks still to do; None while too little is known.

        Examples
        --------
        >>> pace = Pace()
        >>> pace.took(0.2, steps=1, looks=1)
        >>> pace.left(steps=999, looks=9)
        >>> pace.took(10.1, steps=99, looks=1)
        >>> pace.left(steps=900, looks=9)
        91.8...
        """
        done = sum(taken for taken, _ in self._work)
        if done < _TELLING * (done + steps) or done == 0:
            return None
        rates, _ = nnls(np.array(self._work, float), np.array(self._seconds))
        return float(rates @ (steps, looks))
