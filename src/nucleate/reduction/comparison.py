"""Whether another model is better than a network, worse, or cannot be told apart from it, on the rows at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from nucleate.problems import Metric, Problem

DRAWS = 1000
"""How often rows and seeds are drawn anew."""
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Comparison:
    """Another model held against a network on the same rows, those for validation and test together.

    Neither model was fitted to these rows. They, and where the other model was trained from several seeds the seeds
    too, are drawn anew with replacement, and both models judged on each draw: a paired bootstrap (Efron 1979). So the
    interval contains the noise of the rows and of the seeds, and what both models find hard cancels.

    Parameters
    ----------
    rows : int
    network, other : float
        The metric of either on these rows; of several seeds the one that is best on validation.
    lower, upper : float
        The 95 % interval of how much worse the other one is; negative where it is better.
    """

    rows: int
    network: float
    other: float
    lower: float
    upper: float

    @property
    def verdict(self) -> Literal["better", "worse", "alike"]:
        """What the other model is, beyond the noise.

        >>> Comparison(80, 0.5, 0.1, -0.5, -0.3).verdict, Comparison(80, 0.5, 0.5, -0.1, 0.1).verdict
        ('better', 'alike')
        """
        if self.upper < 0:
            return "better"
        return "worse" if self.lower > 0 else "alike"

    @property
    def difference(self) -> float:
        """How far apart the metrics are."""
        return abs(self.other - self.network)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, by its verdict; if alike, how much better and how much worse.

        >>> Comparison(80, 0.5, 0.1, -0.5, -0.3).interval, Comparison(80, 0.5, 0.5, 0.0, 0.1).interval
        ((0.3, 0.5), (0.0, 0.1))
        """
        if self.verdict == "better":
            return -self.upper, -self.lower
        return (self.lower, self.upper) if self.verdict == "worse" else (abs(self.lower), self.upper)

    def __str__(self) -> str:
        low, high = self.interval
        if self.verdict == "alike":
            return f"cannot be told apart on {self.rows} rows (from {low:.3g} better to {high:.3g} worse)"
        return f"{self.verdict} by {self.difference:.3g} ({low:.3g} to {high:.3g}) on {self.rows} rows"


def compare(
    problem: Problem, network: Float[np.ndarray, "n c"], others: Sequence[Float[np.ndarray, "n c"]]
) -> Comparison:
    """Hold another model's outputs against a network's, on the rows for validation and test one after the other.

    Parameters
    ----------
    problem : Problem
    network : array of shape (n, c)
    others : sequence of arrays of shape (n, c)
        Of each seed of the other model; the first is the one that counts.

    Returns
    -------
    Comparison
    """
    metric = problem.loss.metric
    true = problem.preprocessing.in_units(held_out(problem)[1])
    ours, theirs = problem.predict(network), [problem.predict(outputs) for outputs in others]
    random = np.random.default_rng(0)
    excess = []
    for _ in range(DRAWS):
        rows = random.integers(len(true), size=len(true))
        other = theirs[random.integers(len(theirs))]
        costs = [metric.cost(_judge(metric, predicted[rows], true[rows])) for predicted in (other, ours)]
        excess.append(costs[0] - costs[1])
    lower, upper = map(float, np.quantile(excess, _TAILS))
    return Comparison(len(true), _judge(metric, ours, true), _judge(metric, theirs[0], true), lower, upper)


def held_out(problem: Problem) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n c"]]:
    """Inputs and targets of the rows for validation and test."""
    parts = problem.validation, problem.test
    return np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])


def _judge(metric: Metric, predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    assert metric.value is not None  # a problem that can train has one
    return metric.value(predicted, true)
