"""What a forecast says."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from nucleate._wording import card
from nucleate.optimizers import Optimizer
from nucleate.training import Rule

CLEAR = 0.5
"""With a second singular value of at most this share of the first, neurons turn to the target direction."""
NEAR = 0.8
"""From this share on the two are near; in between the axis of a start may be off the target direction, or not."""


@dataclass(frozen=True)
class StepForecast:
    """The first step at which the loss will have fallen by some share, and the interval it is expected in.

    Parameters
    ----------
    estimate, lower, upper : int
    """

    estimate: int
    lower: int
    upper: int

    def __str__(self) -> str:
        return f"{self.estimate} [{self.lower}, {self.upper}]"


@dataclass(frozen=True)
class Stair:
    """One stair of the loss curve that the linear part makes; its mode is a direction of the outputs.

    Parameters
    ----------
    begins, ends : StepForecast or None
        When a tenth, and when nine tenths of the mode are fitted; None: not as far as the run was followed.
    in_regime, end_in_regime : bool
        Whether the interval is to be trusted, of the one and of the other: what the network does beyond its leading
        part moves it, and the beginning of each stair up to here, by at most 5 %.
    correction : float
        By how much it moves the beginning of this one, relative to its step.
    output : array of shape (c,)
        The unit vector of the outputs that this stair fits.
    direction : array of shape (d,), or (d + 1,) with a first-layer bias
        The unit vector along which the first layer grows, of what the stairs before have left.
    gap : float
        The second singular value of that, as a share of the first: near 1 the direction is one of many.
    share : float or None
        The share of the first layer's neurons that join: at its end they are nearer to its direction than to that of
        any stair before. 1 for the first.
    loss_level : float
        The loss of the saddle, or the minimum, behind it.
    """

    begins: StepForecast | None
    ends: StepForecast | None
    in_regime: bool
    end_in_regime: bool
    correction: float
    output: Float[np.ndarray, " c"] = field(repr=False)
    direction: Float[np.ndarray, " d"] = field(repr=False)
    gap: float
    share: float | None
    loss_level: float


@dataclass(frozen=True)
class MatrixForecast:
    """How a matrix of a model that is no network condenses: onto one direction of what it reads, and of what it gives.

    Parameters
    ----------
    name : str
        Such as ``conv1``, or ``value2`` of the second block; of a model of one's own the place of the array in it.
    incoming, outgoing : arrays of shape (k,) and (m,)
        Its leading right and left singular vectors from this start, when the loss will have fallen by 10 %, or where it
        does not, at the end of what was followed. Signs mean nothing.
    share : float
        The first direction's share of the squared norm then: 1 is a matrix of rank one.
    condenses : int or None
        About when that share is 0.9 and stays so; None: not by then.
    """

    name: str
    incoming: Float[np.ndarray, " k"] = field(repr=False)
    outgoing: Float[np.ndarray, " m"] = field(repr=False)
    share: float
    condenses: int | None


@dataclass(frozen=True)
class KeyForecast:
    """When the keys and queries of a block start to grow, and in which direction.

    Parameters
    ----------
    block : int
        From 1.
    doubled : StepForecast or None
        When the norm of both together will be twice that of the start; None: not as far as they were followed.
    in_regime : bool
        Whether the interval is to be trusted, judged as that of a drop.
    query, key : arrays of shape (w,)
        The leading directions of what they read, at that step.
    """

    block: int
    doubled: StepForecast | None
    in_regime: bool
    query: Float[np.ndarray, " w"] = field(repr=False)
    key: Float[np.ndarray, " w"] = field(repr=False)


@dataclass(frozen=True)
class Forecast:
    """What is expected of one training run.

    Parameters
    ----------
    optimizer, learning_rate, weight_decay : Optimizer, float, float
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
    late_steps, late_loss : arrays of shape (s,)
        The leading part's loss from there to the steps of training asked for, as late as the interval of ``left_by``
        allows; empty where no budget was given or the plateau is not left within it.
    target_directions : array of shape (k, d), or (k, d + 1) with a first-layer bias
        Unit vectors onto which neurons of the first layer turn, strongest first, opposite ones given once.
    gap : float or None
        The second singular value of the moment M as a share of the first: 0 for one output. Near 1 neurons need not
        turn to the target direction. None for activations whose directions are maxima of the one-neuron correlation.
    candidates : array of shape (k, d), or (k, d + 1)
        The right singular vectors whose value is at least 0.8 of the first; all directions where ``gap`` is None.
    axis : array of shape (d,) or (d + 1,), or None
        The neurons' common axis from this start, where the condensed share is counted: their leading right singular
        vector in the leading flow. None where ``gap`` is, and where the leading part diverges.
    condensed_share : float or None
        The share of the first layer's neurons with ``|cos| > 0.9`` to one of the `axes` when the loss has fallen by
        10 %, or where it does not, at the end of what was followed; None where the leading part diverges.
    sides : array of shape (m_1,), or None
        The sign of each neuron's cosine with the nearest of the `axes` at that time.
    horizon : int
    rule : Rule
        How the run steps.
    decays_away : bool
        Whether the plateau never ends, to leading order, however many steps are taken: where the leading part was left,
        the weights shrink faster than the gradient can make them grow, and ever faster so.
    batch_size : int or None
        None for full batches.
    seed : int
        Of the order of the rows, where there are mini-batches.
    stairs : tuple of Stair
        In their order, as many as were asked for and the linear part makes.
    matrices : tuple of MatrixForecast
        Of a model that is no network, those of its matrices that move to this order. It has no directions of a first
        layer, which are empty then, and no share, sides or axis, which are None.
    keys : tuple of KeyForecast
        One a block of a transformer, where they were asked for and the optimizer follows the gradient.
    orders : int
        Of how many orders of the rows, from the seeds on from ``seed``, the intervals hold: more than one where the
        training's own order is not known, as of a PyTorch DataLoader. Estimates are their medians, all else is that of
        the first.
    """

    optimizer: Optimizer
    learning_rate: float
    weight_decay: float
    drop_steps: dict[float, StepForecast | None]
    left_by: int | None
    in_regime: bool
    correction: float
    across: float
    steps: Float[np.ndarray, " t"] = field(repr=False)
    loss: Float[np.ndarray, " t"] = field(repr=False)
    late_steps: Float[np.ndarray, " s"] = field(repr=False)
    late_loss: Float[np.ndarray, " s"] = field(repr=False)
    target_directions: Float[np.ndarray, "k d"] = field(repr=False)
    gap: float | None
    candidates: Float[np.ndarray, "k d"] = field(repr=False)
    axis: Float[np.ndarray, " d"] | None = field(repr=False)
    condensed_share: float | None
    sides: Int[np.ndarray, " m_1"] | None = field(repr=False)
    horizon: int
    rule: Rule = field(repr=False)
    decays_away: bool
    batch_size: int | None = None
    seed: int = 0
    stairs: tuple[Stair, ...] = ()
    matrices: tuple[MatrixForecast, ...] = ()
    keys: tuple[KeyForecast, ...] = ()
    orders: int = 1

    @property
    def counts_against(self) -> Literal["target directions", "axis of this start"]:
        """What ``condensed_share`` and ``sides`` count: where two singular values are near, the start's own axis."""
        own = self.gap is not None and self.gap >= NEAR and self.axis is not None
        return "axis of this start" if own else "target directions"

    @property
    def axes(self) -> Float[np.ndarray, "k d"]:
        """The directions that they are about."""
        if self.axis is None or self.counts_against == "target directions":
            return self.target_directions
        return self.axis[None]

    @property
    def axis_cosine(self) -> float | None:
        """How near this start's axis is to the target direction, as ``|cos|``; None where there is no axis."""
        return None if self.axis is None else float(abs(self.target_directions[0] @ self.axis))

    def loss_by(self, step: int) -> float | None:
        """The training loss expected at a step at the latest; None where it was not followed so far.

        Parameters
        ----------
        step : int

        Returns
        -------
        float or None
        """
        if not len(self.late_steps) or not self.late_steps[0] <= step <= self.late_steps[-1]:
            return None
        return float(np.interp(step, self.late_steps, self.late_loss))

    def __repr__(self) -> str:
        drop, at = self.drop_steps[0.1], f"{self.optimizer.name}, learning rate {self.learning_rate:g}"
        said = f"loss down by 10 % at step {drop}" if drop else "no step at which the loss is down by 10 %"
        if self.decays_away:
            said = "the plateau never ends"
        elif drop and self.condensed_share is not None:
            said += f", {self.condensed_share:.0%} of the first layer condensed by then"
        regime = "in the theory's regime" if self.in_regime else "outside the theory's regime"
        return f"Forecast({at}: {said}, {regime})"

    def _repr_html_(self) -> str:
        rows: dict[str, object] = {"weight decay": f"{self.weight_decay:g}"} if self.weight_decay else {}
        if self.orders > 1:
            rows["batches"] = f"of {self.batch_size} rows in {self.orders} orders, none of them the training's own"
        rows |= {f"loss down by {drop:.0%} at step": step or "—" for drop, step in self.drop_steps.items()}
        rows |= {
            f"stair {place} begins at step": stair.begins or "—" for place, stair in enumerate(self.stairs, start=1)
        }
        rows |= {
            "neurons that condense": (
                "—"
                if self.condensed_share is None
                else f"{self.condensed_share:.0%} of the first layer, onto the {self.counts_against}"
            ),
            "directions": len(self.target_directions),
            "second singular value": "—" if self.gap is None else f"{self.gap:.2f} of the first",
            "in the theory's regime": "yes" if self.in_regime else "no: orders of magnitude only",
        }
        return card(f"Forecast for {self.optimizer.name}, learning rate {self.learning_rate:g}", rows)
