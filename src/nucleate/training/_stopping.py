"""What ends a run before its last step, judged from what has been recorded of it."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from nucleate.network import Network
from nucleate.observe import stages

Status = Literal["running", "finished", "early_stopped", "diverged", "nan", "underflow", "dead"]

LOST = 0.5
"""A run underflows when, on its initial plateau, rounding loses the step of more than this share of its parameters."""


def has_converged(
    steps: Int[np.ndarray, " t"], train_loss: Float[np.ndarray, " t"], validation_loss: Float[np.ndarray, " t"]
) -> bool:
    """Early stopping with a patience taken from the stage of the loss curve.

    On the initial plateau it waits without limit: nothing has been learnt that could be lost. Later it waits, from the
    step of the best validation loss, as long as it took to reach that step or the present stage, whichever is longer:
    after a plateau of 10,000 steps the next may last as long.

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
    return bool(steps[-1] - best >= max(best, stage.began))


def has_vanished(train_loss: Float[np.ndarray, " t"], lost: float) -> bool:
    """Whether rounding holds the run where it is: most steps lost, or no gradient at all, with nothing learnt yet.

    ``lost`` is the engine's reading: NaN means that every gradient is exactly zero.
    """
    on_plateau = train_loss[-1] > 0.99 * train_loss[0]
    return bool(on_plateau and train_loss[-1] > 0 and not lost <= LOST)


def is_dead(network: Network, x: Float[np.ndarray, "n d"]) -> bool:
    """Whether some hidden layer is silent on all the data because nothing that enters it is positive (as in ReLU)."""
    return any(
        not np.any(network.activation(entering)) and not np.any(np.asarray(entering) > 0) and bool(np.any(entering))
        for entering in network.pre_activations(jnp.asarray(x.T, network.dtype))
    )
