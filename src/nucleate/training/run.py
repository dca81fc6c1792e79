"""What is kept of a training run."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from nucleate.observe import Snapshot, Stages, stages
from nucleate.training.settings import Settings
from nucleate.training.stopping import Status


@dataclass(frozen=True)
class Run:
    """One training run.

    Parameters
    ----------
    status : str
        ``finished``; ``early_stopped`` (validation got no better); ``diverged`` (the loss exceeded 10,000 times its
        start); ``nan`` (the loss is NaN); ``underflow`` (rounding holds the run where it started); ``dead`` (a
        layer of a network has no live unit: each gives the same on all training rows, as ReLUs that are off do).
    steps : int
        Steps taken.
    trajectory : polars.DataFrame
        One row an evaluation: ``step``, ``train_loss``, ``validation_loss`` and the measures of `observe.measure`.
    initial, final, best : model
        At the start, at the last evaluation, and at the evaluation with the lowest validation loss.
    drop_steps : dict of float to (int or None)
        For 0.01, 0.1 and 0.3: the first step at which the loss of all training rows had fallen by that share of its
        start; under mini-batches it is looked for where an evaluation finds that it fell, and known to 0.4 %.
    learning_rate, seed : float, int
    weight_decay : float
    plateau_loss : float or None
        That of the best constant output, where the model may learn one: see `nucleate.observe.stages`.
    notes : tuple of str
        What happened that the reader of the numbers must know.
    snapshots : tuple of Snapshot
        Of some of the evaluations, for a run that was watched.
    settings : Settings or None
        How it was trained, where that is known.
    """

    status: Status
    steps: int
    trajectory: pl.DataFrame
    initial: Any
    final: Any
    best: Any
    drop_steps: dict[float, int | None]
    learning_rate: float
    seed: int
    weight_decay: float = 0.0
    plateau_loss: float | None = None
    notes: tuple[str, ...] = ()
    snapshots: tuple[Snapshot, ...] = field(default=(), repr=False)
    settings: Settings | None = field(default=None, repr=False)

    @property
    def best_step(self) -> int:
        """The step of the evaluation with the lowest validation loss."""
        return int(self.trajectory["step"][int(np.argmin(self.trajectory["validation_loss"]))])

    @property
    def stages(self) -> Stages:
        """Where the run's plateaus and its descent meet."""
        steps, train_loss = (self.trajectory[name].to_numpy() for name in ("step", "train_loss"))
        if np.isnan(train_loss[0]):
            # A run that ended where it began has no curve.
            return Stages()
        return stages(steps, train_loss, self.plateau_loss)

    def __repr__(self) -> str:
        last = self.trajectory.row(-1, named=True)
        return (
            f"Run({self.status} after {self.steps} steps, train loss {last['train_loss']:.4g}, "
            f"validation loss {last['validation_loss']:.4g}, {self.stages.current})"
        )
