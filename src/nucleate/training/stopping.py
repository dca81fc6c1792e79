"""What ends a run before its last step, judged from what has been recorded of it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from nucleate.observe import AHEAD, FLAT, Layer, Stages, stages

Status = Literal["running", "finished", "early_stopped", "diverged", "nan", "underflow", "dead"]

TRAINED = ("finished", "early_stopped")

LOST = 0.5
"""A run underflows when, on its initial plateau, rounding loses the step of more than this share of its parameters."""


PATIENCE = 10.0
"""A secondary plateau that seems to end is waited for until this many times the step of its beginning."""


def has_converged(
    steps: Int[np.ndarray, " t"], train_loss: Float[np.ndarray, " t"], validation_loss: Float[np.ndarray, " t"]
) -> bool:
    """Early stopping with a patience taken from the stage of the loss curve.

    On the initial plateau it waits without limit: nothing has been learnt that could be lost. Later it waits, from the
    step of the best validation loss, as long as it took to reach that step or the present stage, whichever is longer:
    after a plateau of 10,000 steps the next may last as long. And it waits on a secondary plateau that seems to end:
    on which validation is no more than 4 % above its best, and the training loss falls faster and faster, by more from
    s / 1.5 to s than from s / 2.25 to s / 1.5. Until s is 1.5^3 = 3.4 times the plateau's beginning these stretches lie
    partly in the descent before, so till then it waits untold, and at 10 times it waits no more.

    The limit: a plateau that shows no end by 3.4 times its beginning is taken for the last. That is where a first
    plateau was short, as with one hidden layer, and the next is long.

    Examples
    --------
    >>> steps = np.arange(0, 1001, 50)
    >>> falling = 1 - 0.5 / (1 + np.exp((200 - steps) / 20))
    >>> has_converged(steps, falling, falling + 1e-3 * np.abs(steps - 350))
    True
    >>> has_converged(steps, np.ones(21), np.ones(21) + 1e-3 * steps)
    False
    """
    stage = stages(steps, train_loss)
    if stage.current == "initial plateau":
        return False
    best = float(steps[np.argmin(validation_loss)])
    if steps[-1] - best < max(best, stage.began):
        return False
    return not (validation_loss[-1] <= (1 + FLAT) * min(validation_loss) and _seems_to_end(stage, steps, train_loss))


def _seems_to_end(stage: Stages, steps: Int[np.ndarray, " t"], train_loss: Float[np.ndarray, " t"]) -> bool:
    """Whether the training loss leaves a secondary plateau, or it is too early to tell."""
    now = steps[-1]
    if stage.current != "secondary plateau" or now >= PATIENCE * stage.began:
        return False
    before, lately, here = np.interp([now / AHEAD**2, now / AHEAD, now], steps, train_loss)
    return bool(now < AHEAD**3 * stage.began or lately - here > before - lately)


def has_vanished(train_loss: Float[np.ndarray, " t"], lost: float) -> bool:
    """Whether rounding holds the run where it is: most steps lost, or no gradient at all, with nothing learnt yet.

    ``lost`` is the engine's reading: NaN means that every gradient is exactly zero.
    """
    on_plateau = train_loss[-1] > 0.99 * train_loss[0]
    return bool(on_plateau and train_loss[-1] > 0 and not lost <= LOST)


def is_dead(layers: Sequence[Layer]) -> bool:
    """Whether some layer is silent on all the data because nothing that enters it is positive (as in ReLU)."""
    return any(
        not layer.leaving.any() and not (layer.entering > 0).any() and bool(layer.entering.any()) for layer in layers
    )
