"""What a forecast says."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from nucleate._card import card
from nucleate.optimizers import OptimizerName


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
    optimizer, learning_rate : str, float
        What it holds for.
    drop_steps : dict of float to (StepForecast or None)
        For 0.01, 0.1 and 0.3: when the training loss will have fallen by that share of its start. None: not within
        ``horizon`` steps, or not in the first descent.
    in_regime : bool
        Whether the network follows its leading part closely enough, as measured on the way, for the intervals to be
        trusted; otherwise they are orders of magnitude.
    correction, across : float
        What ``in_regime`` is judged by: the relative change of the time by the network's departure from its leading
        part, and the mean share of its gradient that points off the path.
    steps, loss : arrays of shape (t,)
        The loss curve through the first descent.
    target_directions : array of shape (k, d), or (k, d + 1) with a first-layer bias
        Unit vectors onto which neurons of the first layer turn, strongest first, opposite ones given once.
    condensed_share : float
        The share of these neurons with ``|cos| > 0.9`` to one of them when the loss has fallen by 10 %.
    sides : array of shape (m_1,)
        The sign of each neuron's cosine with its nearest target direction at that time.
    horizon : int
    """

    optimizer: OptimizerName
    learning_rate: float
    drop_steps: dict[float, StepForecast | None]
    in_regime: bool
    correction: float
    across: float
    steps: Float[np.ndarray, " t"] = field(repr=False)
    loss: Float[np.ndarray, " t"] = field(repr=False)
    target_directions: Float[np.ndarray, "k d"] = field(repr=False)
    condensed_share: float
    sides: Int[np.ndarray, " m_1"] = field(repr=False)
    horizon: int

    def _repr_html_(self) -> str:
        rows: dict[str, object] = {
            f"loss down by {drop:.0%} at step": step or "—" for drop, step in self.drop_steps.items()
        }
        rows |= {
            "neurons that condense": f"{self.condensed_share:.0%} of the first layer",
            "directions": len(self.target_directions),
            "in the theory's regime": "yes" if self.in_regime else "no: orders of magnitude only",
        }
        return card(f"Forecast for {self.optimizer}, learning rate {self.learning_rate:g}", rows)
