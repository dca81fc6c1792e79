"""What a step of training makes of a gradient: the optimizer, and what is done before and after it."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from nucleate.optimizers import GD, Optimizer
from nucleate.schedules import CONSTANT, Factor, Schedule

_FINE, _POINTS = 4096, 4096


@dataclass(frozen=True)
class Rule:
    """How a run steps, all but its learning rate and its weight decay.

    The gradient is clipped; a coupled decay adds ``decay theta`` to it; the optimizer makes a step of it at the rate
    that the schedule has come to; and a decoupled decay takes ``rate decay theta`` away beside that step. So both kinds
    are multiplied by the learning rate, and both decay every parameter, biases too, as in optax and PyTorch.

    Parameters
    ----------
    optimizer : Optimizer
    schedule : Schedule
    warmup : int
        The steps in which the rate rises to its peak before.
    clip : float or None
        The largest norm of the gradient, over all parameters; None clips nothing.
    steps : int
        Of the run, which the schedule is made for.
    decays : bool
        Whether runs have a weight decay, which may be zero.

    Examples
    --------
    >>> step = Rule(GD, decays=True).transformation(0.1, 0.5)
    >>> theta = np.array([2.0])
    >>> print(step.update(np.array([1.0]), step.init(theta), theta)[0].round(6))
    [-0.2]
    """

    optimizer: Optimizer = GD
    schedule: Schedule = CONSTANT
    warmup: int = 0
    clip: float | None = None
    steps: int = 0
    decays: bool = False

    def __post_init__(self) -> None:
        if self.is_steady:
            # So that runs of other lengths share a program.
            object.__setattr__(self, "steps", 0)

    @property
    def is_steady(self) -> bool:
        """Whether the learning rate stays what it is."""
        return self.schedule.is_constant and self.warmup == 0

    @property
    def at_peak(self) -> "Rule":
        """The same with a learning rate that stays at its peak, as `transformation` has it where no step is given."""
        return replace(self, schedule=CONSTANT, warmup=0)

    @cached_property
    def _factor(self) -> Factor:
        return self.schedule.factor(self.steps, self.warmup)

    def transformation(
        self,
        learning_rate: float | Float[Array, ""],
        decay: float | Float[Array, ""] | None = None,
        step: Int[Array, ""] | None = None,
    ) -> optax.GradientTransformation:
        """The optax transformation of a step; its state is that of every other step.

        Parameters
        ----------
        learning_rate : float
            The peak.
        decay : float, optional
            Of the weights, where there is one.
        step : int, optional
            How many were taken before; where not given, the rate is at its peak.

        Returns
        -------
        optax.GradientTransformation
        """
        rate = learning_rate
        if step is not None and not self.is_steady:
            rate = rate * jnp.asarray(self._factor(step), jnp.result_type(rate)).reshape(())
        parts = [optax.clip_by_global_norm(self.clip)] if self.clip is not None else []
        if decay is not None and not self.optimizer.decoupled:
            parts.append(optax.add_decayed_weights(decay))
        parts.append(self.optimizer.transformation(rate))
        if decay is not None and self.optimizer.decoupled:
            # Of the steps, which are added.
            parts.append(optax.add_decayed_weights(-rate * decay))
        return parts[0] if len(parts) == 1 else optax.chain(*parts)

    def pull(self, gradient: Any, parameters: Any, decay: Float[Array, ""] | None) -> Any:
        """What gradient descent under this rule follows: the clipped gradient, and what decays.

        Parameters
        ----------
        gradient, parameters : pytrees of arrays
        decay : float or None

        Returns
        -------
        pytree
        """
        if self.clip is not None:
            clip = optax.clip_by_global_norm(self.clip)
            gradient, _ = clip.update(gradient, clip.init(parameters))
        if self.decays:
            gradient = jax.tree.map(lambda g, p: g + decay * p, gradient, parameters)
        return gradient

    def passed(self, steps: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        """After how many steps at the peak rate a run has come as far as after these.

        Parameters
        ----------
        steps : array of shape (t,)

        Returns
        -------
        array of shape (t,)
        """
        if self.is_steady:
            return np.asarray(steps, float)
        at, sums = self._course
        return np.interp(steps, at, sums)

    def reached(self, passed: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        """The inverse of `passed`; the end of the run where they are more than it has.

        Parameters
        ----------
        passed : array of shape (t,)

        Returns
        -------
        array of shape (t,)
        """
        if self.is_steady:
            return np.asarray(passed, float)
        at, sums = self._course
        moving = np.append(True, np.diff(sums) > 0)
        return np.interp(passed, sums[moving], at[moving])

    @cached_property
    def _course(self) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Steps of the run, close together where it begins, and the sum of the factors before each."""
        fine = np.arange(min(self.steps, max(_FINE, 2 * self.warmup)) + 1)
        at = np.unique(np.append(fine, np.linspace(0, self.steps, _POINTS).round().astype(np.int64)))
        factors = self.schedule.factors(self.steps, self.warmup, at.astype(np.int32))
        gaps = np.diff(at)
        # Of single steps the first counts, over longer stretches the mean.
        means = np.where(gaps == 1, factors[:-1], (factors[:-1] + factors[1:]) / 2)
        return at.astype(float), np.append(0.0, np.cumsum(means * gaps))
