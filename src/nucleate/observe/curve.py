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
RESUMED = 0.1
"""A later plateau ends when the loss has fallen by this share of where it began, and is falling still."""
AHEAD = 1.5
"""Whether the curve is flat at step s is judged by what it does until this many times s."""
FLAT = 0.04
"""Flat: until then the loss falls by less than this share of itself..."""
SPENT = 0.1
"""... and, where a descent is to end, by less than this share of what the descent has brought."""


@dataclass(frozen=True)
class Stages:
    """Where the stages of a run meet.

    Parameters
    ----------
    boundaries : tuple of float
        The steps at which an initial plateau, a descent, a secondary plateau, a further descent, a further plateau and
        so on end, as far as the curve is known; the first is interpolated.
    """

    boundaries: tuple[float, ...] = ()

    @property
    def plateau_end(self) -> float | None:
        """The step at which the loss has fallen by 1 %; None while it has not."""
        return self.boundaries[0] if self.boundaries else None

    @property
    def descent_end(self) -> float | None:
        """The step at which the first descent has become flat; None while it has not."""
        return self.boundaries[1] if len(self.boundaries) > 1 else None

    @property
    def current(self) -> StageName:
        """The stage in which the curve ends."""
        if not self.boundaries:
            return "initial plateau"
        return "descent" if len(self.boundaries) % 2 else "secondary plateau"

    @property
    def began(self) -> float:
        """The step at which the current stage began."""
        return self.boundaries[-1] if self.boundaries else 0.0


def stages(steps: Int[np.ndarray, " t"], loss: Float[np.ndarray, " t"]) -> Stages:
    """The stages of a loss curve known at some increasing steps, the first of them 0.

    It never looks beyond the last step, so it may be asked while the run goes on, and more of the curve does not move
    a boundary that was found.

    Examples
    --------
    A sigmoid descent from 1 to 1/2 around step 1000:

    >>> steps = np.arange(0, 3000, 10)
    >>> stages(steps, 1 - 0.5 / (1 + np.exp((1000 - steps) / 50)))
    Stages(boundaries=(805.1..., 1160.0))
    """
    left = np.flatnonzero(loss <= (1 - LEFT) * loss[0])
    if left.size == 0:
        return Stages()
    at = int(left[0])
    share = (loss[at - 1] - (1 - LEFT) * loss[0]) / (loss[at - 1] - loss[at])
    boundaries = [float(steps[at - 1] + share * (steps[at] - steps[at - 1]))]

    judged = int(np.searchsorted(AHEAD * steps, steps[-1], side="right"))
    fall = loss[:judged] - np.interp(AHEAD * steps[:judged], steps, loss)
    top, origin = loss[0], at
    while True:
        here, ahead = loss[origin:judged], fall[origin:judged]
        if len(boundaries) % 2:
            ends = (ahead < FLAT * here) & (ahead < SPENT * (top - here))
        else:
            ends = (ahead >= FLAT * here) & (here <= (1 - RESUMED) * top)
        if not ends.any():
            return Stages(tuple(boundaries))
        origin += int(np.flatnonzero(ends)[0])
        top = loss[origin]
        boundaries.append(float(steps[origin]))
