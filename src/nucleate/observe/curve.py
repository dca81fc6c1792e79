"""The stages of a run, found from its loss curve: initial plateau, descent, secondary plateau.

Definitions made for this package. All are relative to the run's own times and falls, so that a plateau of ten steps
and one of a million are judged alike.
"""

from dataclasses import dataclass
from itertools import product
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
CERTAIN = 5.0
"""A fall counts when it is so many times the error that the curve's noise leaves of it."""
STEADY = 0.005
"""Noise of more than this share of the loss is averaged out of what follows the initial plateau."""
_UPPER_QUARTILE = 0.924
"""Of what normal noise of deviation 1 turns back by."""


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

    A curve may be noisy, as under mini-batches: its noise is what it turns back by from one evaluation to the next, as
    a curve that falls, or that rises, does nowhere. The initial plateau then ends when the loss, averaged over as many
    evaluations as the noise asks for, has fallen by 1 % and by five times its error more; with few evaluations a small
    fall in much noise is therefore not seen. What follows is read of the moving average. In such a curve a boundary
    may move, or be taken back, as more evaluations tell how noisy it is.

    Parameters
    ----------
    steps, loss : arrays of shape (t,)
    plateau_loss : float, optional
        The loss of the best constant output, where the model can learn one: falling to it is not yet learning from the
        inputs, so the plateau ends below it. The loss at the start where that is smaller, or nothing is given.

    Returns
    -------
    Stages

    Raises
    ------
    ArchitectureError
        For steps that do not increase from 0, another number of losses, or losses that are NaN or infinite.

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
    at, level = int(below[0]), (1 - LEFT) * plateau
    if noise(loss) > 0:
        left = _left_in_noise(loss, plateau_loss)
        if left is None:
            return Stages()
        at, level = left
        plateau = level / (1 - LEFT)
    # An average may have fallen where no single evaluation crosses its level.
    share = max((loss[at - 1] - level) / (loss[at - 1] - loss[at]), 0.0) if loss[at] < loss[at - 1] else 0.0
    boundaries = [float(steps[at - 1] + share * (steps[at] - steps[at - 1]))]
    loss = smoothed(loss)
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


def noise(loss: Float[np.ndarray, " t"]) -> float:
    """The standard deviation of normal noise that turns a curve back as far; 0 for one that hardly ever turns back.

    Examples
    --------
    >>> noise(np.exp(-np.arange(50) / 10)), round(noise(np.random.default_rng(0).standard_normal(10_000)), 1)
    (0.0, 1.0)
    """
    moves = np.diff(loss)
    if len(moves) < 2:
        return 0.0
    back = np.where(moves[1:] * moves[:-1] < 0, np.minimum(abs(moves[1:]), abs(moves[:-1])), 0.0)
    # Where a smooth curve turns, or a spike stands out, it does so at a few evaluations only.
    return float(np.quantile(back, 0.75)) / _UPPER_QUARTILE


def smoothed(loss: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """A moving average over as many evaluations as the noise asks for; a curve with hardly any is returned as it is."""
    size = float(np.median(loss))
    share = noise(loss) / size if size > 0 else 0.0
    half = min(int((share / STEADY) ** 2 / 2), len(loss) // 16)
    if half == 0:
        return loss
    total = np.append(0.0, np.cumsum(loss))
    here = np.arange(len(loss))
    first, beyond = np.maximum(here - half, 0), np.minimum(here + half + 1, len(loss))
    return (total[beyond] - total[first]) / (beyond - first)


def ends_higher(loss: Float[np.ndarray, " t"]) -> bool:
    """Whether a curve ends higher than it was, by more than the noise of its evaluations.

    Averages of some evaluations and of the last ones are compared; the noise is taken to be a share of the loss, as
    that of batches is. A curve that hardly ever turns back is read as it is.

    Examples
    --------
    >>> batches = 1 + 0.5 * np.random.default_rng(0).standard_normal(60)
    >>> ends_higher(batches), ends_higher(batches * np.where(np.arange(60) < 50, 1, 4))
    (False, True)
    """
    if noise(loss) == 0:
        return bool(loss[-1] > loss.min())
    around = (loss[:-2] + loss[1:-1] + loss[2:]) / 3
    # A loss below zero is no measure of its noise.
    has_share = bool(around.min() > 0)
    # An average that holds the evaluation itself leaves two thirds of its variance.
    residual = 1.5**0.5 * (loss[1:-1] - around) / (around if has_share else 1.0)
    # What is learned for some rows alone varies by a larger share.
    error = CERTAIN * float(max(residual.std(), residual[len(residual) // 2 :].std()))
    # Averages of 1, 2, 4, ... evaluations from each on.
    means = {1: loss}
    while 4 * (half := max(means)) <= len(loss):
        means[2 * half] = (means[half][:-half] + means[half][half:]) / 2
    for (first, before), (last, until) in product(means.items(), repeat=2):
        low, end = float(before[: len(loss) - last - first + 1].min()), float(until[-1])
        level = (first * low + last * end) / (first + last) if has_share else 1.0
        if end - low > error * level * (1 / first + 1 / last) ** 0.5:
            return True
    return False


def _left_in_noise(loss: Float[np.ndarray, " t"], plateau_loss: float | None) -> tuple[int, float] | None:
    """Where a noisy curve has left its initial plateau, and the level at which it did; None where it has not.

    The averages of the first evaluations and of those up to here are compared; of how many, the noise decides.
    """
    best = np.inf if plateau_loss is None else plateau_loss
    total, here = np.append(0.0, np.cumsum(loss)), np.arange(1, len(loss))
    # Few evaluations may show less of the noise than there is.
    error = CERTAIN * noise(loss) * (1 + 2 / len(loss) ** 0.5)
    needed = np.clip((error / (LEFT * min(loss[0], best))) ** 2, 1, here[-1])
    windows = 2 ** np.arange(int(np.log2(needed)) + 1)
    fallen: list[tuple[int, int, float]] = []
    for first, last in ((first, last) for last in windows.tolist() for first in windows.tolist()):
        ends = here[here + 1 >= first + last]
        now = (total[ends + 1] - total[ends + 1 - last]) / last
        level = (1 - LEFT) * min(float(total[first]) / first, best)
        below = np.flatnonzero(now <= level - error * (1 / first + 1 / last) ** 0.5)
        if below.size:
            fallen.append((int(ends[below[0]]), last, level))
    if not fallen:
        return None
    end, last, level = min(fallen)
    at = end + 1 - last + int(np.flatnonzero(loss[end + 1 - last : end + 1] <= level)[0])
    while at > 1 and loss[at - 1] <= level:
        at -= 1
    return max(at, 1), level
