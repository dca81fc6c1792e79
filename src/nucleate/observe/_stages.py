"""The stages of a run, found from its loss curve: initial plateau, descent, secondary plateau.

Definitions made for this package. All are relative to the run's own times and falls, so that a plateau of ten steps
and one of a million are judged alike.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

StageName = Literal["initial plateau", "descent", "secondary plateau"]

LEFT = 0.01
"""The initial plateau ends when the loss has fallen by this share of its start."""
AHEAD = 1.5
"""The curve is judged flat at step s by what it does until this many times s."""
FLAT = 0.04
"""Flat: until then the loss falls by less than this share of itself..."""
SPENT = 0.1
"""... and by less than this share of all it has fallen before."""


@dataclass(frozen=True)
class Stages:
    """Where the stages of a run meet, in steps.

    Parameters
    ----------
    plateau_end : float or None
        The step, interpolated, at which the loss has fallen by 1 %; None while it has not.
    descent_end : float or None
        The first later step at which the curve is flat; None while it is not.
    """

    plateau_end: float | None
    descent_end: float | None

    @property
    def current(self) -> StageName:
        """The stage in which the curve ends."""
        if self.plateau_end is None:
            return "initial plateau"
        return "descent" if self.descent_end is None else "secondary plateau"

    @property
    def began(self) -> float:
        """The step at which the current stage began."""
        return self.descent_end or self.plateau_end or 0.0


def stages(steps: Int[np.ndarray, " t"], loss: Float[np.ndarray, " t"]) -> Stages:
    """The stages of a loss curve known at some increasing steps, the first of them 0.

    It never looks beyond the last step, so it may be asked while the run goes on, and more of the curve does not move
    an end that was found.

    Examples
    --------
    A sigmoid descent from 1 to 1/2 around step 1000:

    >>> steps = np.arange(0, 3000, 10)
    >>> stages(steps, 1 - 0.5 / (1 + np.exp((1000 - steps) / 50)))
    Stages(plateau_end=805.1..., descent_end=1160.0)
    """
    left = np.flatnonzero(loss <= (1 - LEFT) * loss[0])
    if left.size == 0:
        return Stages(None, None)
    first = int(left[0])
    share = (loss[first - 1] - (1 - LEFT) * loss[0]) / (loss[first - 1] - loss[first])
    plateau_end = float(steps[first - 1] + share * (steps[first] - steps[first - 1]))

    candidates = steps[first:][AHEAD * steps[first:] <= steps[-1]]
    here = loss[first : first + candidates.size]
    fall = here - np.interp(AHEAD * candidates, steps, loss)
    flat = np.flatnonzero((fall < FLAT * here) & (fall < SPENT * (loss[0] - here)))
    return Stages(plateau_end, float(candidates[flat[0]]) if flat.size else None)
