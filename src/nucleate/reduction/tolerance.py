"""When a smaller network does the same work: what it may lose of the metric, and how far its outputs may move."""

from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import softmax

from nucleate.errors import SpecError
from nucleate.network import Network
from nucleate.problems import Problem, Split


class Tolerance:
    """A relative change of the metric, and the change of the outputs that would explain it.

    Deviations that know nothing of the residuals add to them as squares, so a relative change t of the root mean
    squared error answers to a root mean square deviation of ``sqrt((1 + t)^2 - 1)`` times it: 0.14 for 1 %. For labels
    it is the share that changes. Both are asked for: with the metric alone, the best of many small networks is one that
    was lucky on the validation rows.

    Parameters
    ----------
    problem : Problem
    network : Network
        The original.
    tolerance : float
        Between 0 and 1.

    Raises
    ------
    SpecError
        For another tolerance.
    """

    def __init__(self, problem: Problem, network: Network, tolerance: float) -> None:
        check_tolerance(tolerance)
        self._problem, self._tolerance = problem, tolerance
        self._outputs = outputs_of(network, problem.validation)
        self._metric = problem.metric(self._outputs, problem.validation.y)

    def __call__(self, outputs: Float[np.ndarray, "v c"]) -> bool:
        """Whether these outputs on the validation rows are within the tolerance."""
        if not np.isfinite(outputs).all():
            return False
        metric = self._problem.metric(outputs, self._problem.validation.y)
        if self._problem.task == "classification":
            changed = np.mean(labels_change(self._outputs, outputs))
            return bool(changed <= self._tolerance and metric >= (1 - self._tolerance) * self._metric)
        deviation = np.sqrt(np.mean(np.square(changes(self._problem, self._outputs, outputs))))
        allowed = self._metric * np.sqrt((1 + self._tolerance) ** 2 - 1)
        return bool(deviation <= allowed and metric <= (1 + self._tolerance) * self._metric)


def check_tolerance(tolerance: Any) -> None:
    """Raise `SpecError` for a tolerance that is not between 0 and 1."""
    if not (isinstance(tolerance, Real) and 0 < float(tolerance) < 1):
        raise SpecError(f"The tolerance is {tolerance}; it must be between 0 and 1, such as 0.01 for 1 %.")


def outputs_of(network: Network, part: Split) -> Float[np.ndarray, "n c"]:
    """The outputs of the network itself, in its own dtype, as float64."""
    return np.asarray(network(part.x), np.float64)


def changes(
    problem: Problem, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, "n c"]:
    """How far outputs move, row by row: in the targets' own units, or in class probabilities."""
    if problem.task == "classification":
        return np.asarray(softmax(after, axis=1) - softmax(before, axis=1))
    return np.asarray((after - before) * [column.std for column in problem.preprocessing.targets])


def labels_change(before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"]) -> Bool[np.ndarray, " n"]:
    """Where the likeliest class is another one."""
    changed: np.ndarray = before.argmax(axis=1) != after.argmax(axis=1)
    return changed
