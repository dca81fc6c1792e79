"""The stages of a run, found from its loss curve: initial plateau, descent, secondary plateau.

Definitions made for this package. All are relative to the run's own times and falls, so that a plateau of ten steps
and one of a million are judged alike.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from nucleate._arrays import real_array
from nucleate.errors import ArchitectureError

StageName = Literal["initial plateau", "descent", "secondary plateau", "rise"]

LEFT = 0.01
"""The initial plateau ends when the loss has fallen by this share of the plateau's."""
RISEN = 0.5
"""The loss has risen when it has won back more than this share of its deepest fall below the plateau."""
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
    risen : bool
        Whether the curve ends with most of its fall undone.
    """

    boundaries: tuple[float, ...] = ()
    risen: bool = False

    @property
    def plateau_end(self) -> float | None:
        """The step at which the loss is 1 % below its plateau's; None while it has not been."""
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
        if self.risen:
            return "rise"
        return "descent" if len(self.boundaries) % 2 else "secondary plateau"

    @property
    def began(self) -> float:
        """The step at which the current stage began."""
        return self.boundaries[-1] if self.boundaries else 0.0


def stages(steps: Int[np.ndarray, " t"], loss: Float[np.ndarray, " t"], plateau_loss: float | None = None) -> Stages:
    """The stages of a loss curve known at some increasing steps, the first of them 0.

    It never looks beyond the last step, so it may be asked while the run goes on, and more of the curve does not move
    a boundary that was found; a curve that has risen may fall again. A curve that starts at zero has nothing to fall
    by and stays on its plateau.

    The limit: the curve is taken for free of noise, as the loss on all training rows is under full batches. Where it
    fluctuates by a percent, its first dip counts as the end of the plateau. Smooth such a curve before.

    Parameters
    ----------
    steps, loss : arrays of shape (t,)
    plateau_loss : float, optional
        The loss of the best constant output, where the model can learn one: falling to it is not yet learning from the
        inputs, so the plateau ends below it. The loss at the start where that is smaller, or nothing is given.

    Returns
    -------
    Stages

    Examples
    --------
    A sigmoid descent from 1 to 1/2 around step 1000:

    >>> steps = np.arange(0, 3000, 10)
    >>> curve = 1 - 0.5 / (1 + np.exp((1000 - steps) / 50))
    >>> stages(steps, curve)
    Stages(boundaries=(805.1..., 1160.0), risen=False)
    >>> stages(steps, curve, plateau_loss=0.5).current
    'initial plateau'
    """
    steps, loss = real_array("The list of steps", steps, rank=1), real_array("The loss curve", loss, rank=1)
    if len(steps) != len(loss) or not len(loss) or steps[0] != 0 or (np.diff(steps) <= 0).any():
        raise ArchitectureError(
            f"There are {len(steps)} steps and {len(loss)} losses; give one loss a step, the steps increasing from 0."
        )
    if not np.isfinite(loss).all():
        raise ArchitectureError("The losses hold NaN or infinity; give the curve up to where it was finite.")
    plateau = loss[0] if plateau_loss is None else min(loss[0], plateau_loss)
    # The second condition is for zero, and for numbers so small that 99 % of them are rounded up again.
    below = np.flatnonzero((loss <= (1 - LEFT) * plateau) & (loss < plateau))
    if below.size == 0:
        return Stages()
    at = int(below[0])
    share = (loss[at - 1] - (1 - LEFT) * plateau) / (loss[at - 1] - loss[at])
    boundaries = [float(steps[at - 1] + share * (steps[at] - steps[at - 1]))]
    risen = bool(plateau - loss[-1] < (1 - RISEN) * (plateau - loss.min()))

    judged = int(np.searchsorted(AHEAD * steps, steps[-1], side="right"))
    fall = loss[:judged] - np.interp(AHEAD * steps[:judged], steps, loss)
    top, origin = plateau, at
    while True:
        here, ahead = loss[origin:judged], fall[origin:judged]
        if len(boundaries) % 2:
            ends = (ahead < FLAT * here) & (ahead < SPENT * (top - here))
        else:
            ends = (ahead >= FLAT * here) & (here <= (1 - RESUMED) * top)
        if not ends.any():
            return Stages(tuple(boundaries), risen)
        origin += int(np.flatnonzero(ends)[0])
        top = loss[origin]
        boundaries.append(float(steps[origin]))
