"""What ends a run before its last step, judged from what has been recorded of it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate.observe import Layer, LayerStack, Stages, stages
from nucleate.observe.curve import AHEAD, FLAT, smoothed
from nucleate.problems import Problem


class Status(StrEnum):
    """How a run ended, or that it has not; each is the text that tables have for it."""

    RUNNING = "running"
    FINISHED = "finished"
    EARLY_STOPPED = "early_stopped"
    DIVERGED = "diverged"
    NAN = "nan"
    UNDERFLOW = "underflow"
    DEAD = "dead"

    __repr__ = str.__repr__

    @property
    def is_running(self) -> bool:
        """Whether the run goes on."""
        return self is Status.RUNNING


TRAINED = (Status.FINISHED, Status.EARLY_STOPPED)
"""How runs end that trained as far as was asked."""
BLOWN_UP = (Status.DIVERGED, Status.NAN)
"""How runs end whose loss left all bounds."""

LOST = 0.5
"""A run underflows when, on its initial plateau, rounding loses the step of more than this share of its parameters."""


PATIENCE = 10.0
"""A secondary plateau that seems to end is waited for until this many times the step of its beginning."""

SATURATED = 1e-6
"""A unit is saturated when what leaves it varies over the rows by less than this share of what enters it."""


def plateau_loss(model: Any, problem: Problem) -> float | None:
    """The loss of the best constant output where the model may learn one; None where it cannot.

    A network can by a bias beyond the first layer, or an activation that is not zero at zero; it says so by
    ``fits_constants``, and a model of another kind may too. Of one that does not, it is not known, and it has learned
    from the inputs only what no constant reaches; so its plateau is measured from the constant too.
    """
    if getattr(model, "fits_constants", True) is False:
        return None
    return problem.loss.constant_loss(problem.train.y, problem.train.weights)


def has_converged(
    steps: Int[np.ndarray, " t"],
    train_loss: Float[np.ndarray, " t"],
    validation_loss: Float[np.ndarray, " t"],
    plateau_loss: float | None = None,
) -> bool:
    """Early stopping with a patience taken from the stage of the loss curve.

    On the initial plateau it waits without limit: nothing has been learned that could be lost. Later it waits, from the
    step of the best validation loss, as long as it took to reach that step or the present stage, whichever is longer:
    after a plateau of 10,000 steps the next may last as long. And it waits on a secondary plateau that seems to end:
    on which validation is no more than 4 % above its best, and the training loss falls faster and faster, by more from
    s / 1.5 to s than from s / 2.25 to s / 1.5. Until s is 1.5^3 = 3.4 times the plateau's beginning these stretches lie
    partly in the descent before, so till then it waits untold, and at 10 times it waits no more. Of noisy curves the
    moving averages are judged, but the best validation loss is that of a single evaluation.

    The limit: a plateau that shows no end by 3.4 times its beginning is taken for the last. That is where a first
    plateau was short, as with one hidden layer, and the next is long.

    >>> steps = np.arange(0, 1001, 50)
    >>> falling = 1 - 0.5 / (1 + np.exp((200 - steps) / 20))
    >>> has_converged(steps, falling, falling + 1e-3 * np.abs(steps - 350))
    True
    >>> has_converged(steps, np.ones(21), np.ones(21) + 1e-3 * steps)
    False
    """
    stage = stages(steps, train_loss, plateau_loss)
    if stage.current == "initial plateau":
        return False
    best = float(steps[np.argmin(validation_loss)])
    if steps[-1] - best < max(best, stage.began):
        return False
    validation_loss, train_loss = smoothed(validation_loss), smoothed(train_loss)
    return not (validation_loss[-1] <= (1 + FLAT) * min(validation_loss) and _seems_to_end(stage, steps, train_loss))


def _seems_to_end(stage: Stages, steps: Int[np.ndarray, " t"], train_loss: Float[np.ndarray, " t"]) -> bool:
    """Whether the training loss leaves a secondary plateau, or it is too early to tell."""
    now = steps[-1]
    if stage.current != "secondary plateau" or now >= PATIENCE * stage.began:
        return False
    before, lately, here = np.interp([now / AHEAD**2, now / AHEAD, now], steps, train_loss)
    return bool(now < AHEAD**3 * stage.began or lately - here > before - lately)


def has_vanished(train_loss: Float[np.ndarray, " t"], lost: float) -> bool:
    """Whether rounding holds the run where it is: most steps lost, or no gradient at all, with nothing learned yet.

    ``lost`` is the engine's reading: NaN means that every gradient is exactly zero.
    """
    on_plateau = (train_loss > 0.99 * train_loss[0]).all()
    return bool(on_plateau and train_loss[-1] > 0 and not lost <= LOST)


def dead_layer(layers: Sequence[Layer]) -> Layer | None:
    """The first layer without a live unit, one that gives something else on one row than on another; None without."""
    return next((layer for layer in layers if is_dead(layer)), None)


def is_dead(layer: Layer | LayerStack) -> Any:
    """Whether a layer, or that of each run of a stack, has no live unit."""
    enters = (layer.ranges.least_entering != 0) | (layer.ranges.most_entering != 0)
    return enters.any(axis=-1) & dead_units(layer).all(axis=-1)


def dead_units(layer: Layer | LayerStack) -> Bool[np.ndarray, "... m"]:
    """Which units give the same on all rows: those that are off, and those out where the activation is flat."""
    return _is_off(layer) | _is_flat(layer)


def stands_still(layer: Layer, before: Sequence[Layer]) -> bool:
    """Whether what enters a layer is, to the last bit, what it was before: a dead layer that does so stays dead."""
    return any(layer.name == past.name and np.array_equal(layer.entering, past.entering) for past in before)


def saturated_layer(layers: Sequence[Layer]) -> Layer | None:
    """The first layer whose units are all at a bound on all rows, be it the upper or the lower; None without."""
    return next(
        (layer for layer in layers if _is_flat(layer, np.ptp(np.abs(layer.leaving - layer.at_zero), axis=1)).all()),
        None,
    )


def _is_off(layer: Layer | LayerStack) -> Bool[np.ndarray, "... m"]:
    """Silent on all rows because nothing that enters is positive, as in ReLU."""
    ends = layer.ranges
    return (ends.least_leaving == 0) & (ends.most_leaving == 0) & (ends.most_entering <= 0)


def _is_flat(
    layer: Layer | LayerStack, leaves_over: Float[np.ndarray, "... m"] | None = None
) -> Bool[np.ndarray, "... m"]:
    """Out where the activation is flat: what enters is not small and varies, what leaves does not."""
    ends = layer.ranges
    if leaves_over is None:
        leaves_over = ends.most_leaving - ends.least_leaving
    is_large = np.maximum(-ends.least_entering, ends.most_entering) >= 1
    return is_large & (leaves_over < SATURATED * (ends.most_entering - ends.least_entering))


def has_constant_outputs(outputs: Float[np.ndarray, "n c"]) -> bool:
    """Whether the outputs are the same on all rows, to a millionth of their size."""
    return bool((np.ptp(outputs, axis=0) <= 1e-6 * np.abs(outputs).max()).all())
