"""What a forecast says."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from nucleate._wording import card
from nucleate.optimizers import Optimizer


@dataclass(frozen=True)
class StepForecast:
    """The first step at which the loss will have fallen by some share, and the interval it is expected in."""

    estimate: int
    lower: int
    upper: int

    def __str__(self) -> str:
        return f"{self.estimate} [{self.lower}, {self.upper}]"


@dataclass(frozen=True)
class Forecast:
    """What is expected of one training run.

    Parameters
    ----------
    optimizer, learning_rate : Optimizer, float
        What it holds for.
    drop_steps : dict of float to (StepForecast or None)
        For 0.01, 0.1 and 0.3: when the training loss will have fallen by that share of its start. None: the leading
        part does not fall so far in its first descent, or not within ``horizon`` steps, or diverges before. Where it
        does but the network lags behind as far as it was followed, the estimate is that end and the interval reaches
        to twice as far.
    left_by : int or None
        The step by which the initial plateau will have been left: the upper end of the largest of these drops, if it
        is more than a bias beyond the first layer brings by fitting the targets' mean.
    in_regime : bool
        Whether the network follows its leading part closely enough, as measured on the way to the 10 % drop, for the
        intervals to be trusted; otherwise they are orders of magnitude. Judged by the 1 % drop where the leading part
        falls no further, and never by a drop that fitting the mean brings.
    correction, across : float
        What ``in_regime`` is judged by: the relative change of the time by the network's departure from its leading
        part, and the mean share of its gradient that points off the path.
    steps, loss : arrays of shape (t,)
        The loss curve through the first descent.
    target_directions : array of shape (k, d), or (k, d + 1) with a first-layer bias
        Unit vectors onto which neurons of the first layer turn, strongest first, opposite ones given once.
    condensed_share : float or None
        The share of these neurons with ``|cos| > 0.9`` to one of them when the loss has fallen by 10 %, or where it
        does not, at the end of what was followed; None where the leading part diverges.
    sides : array of shape (m_1,), or None
        The sign of each neuron's cosine with its nearest target direction at that time.
    horizon : int
    """

    optimizer: Optimizer
    learning_rate: float
    drop_steps: dict[float, StepForecast | None]
    left_by: int | None
    in_regime: bool
    correction: float
    across: float
    steps: Float[np.ndarray, " t"] = field(repr=False)
    loss: Float[np.ndarray, " t"] = field(repr=False)
    target_directions: Float[np.ndarray, "k d"] = field(repr=False)
    condensed_share: float | None
    sides: Int[np.ndarray, " m_1"] | None = field(repr=False)
    horizon: int

    def _repr_html_(self) -> str:
        rows: dict[str, object] = {
            f"loss down by {drop:.0%} at step": step or "—" for drop, step in self.drop_steps.items()
        }
        rows |= {
            "neurons that condense": (
                "—" if self.condensed_share is None else f"{self.condensed_share:.0%} of the first layer"
            ),
            "directions": len(self.target_directions),
            "in the theory's regime": "yes" if self.in_regime else "no: orders of magnitude only",
        }
        return card(f"Forecast for {self.optimizer.name}, learning rate {self.learning_rate:g}", rows)
