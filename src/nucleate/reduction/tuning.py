"""Train a reduced network a little further, on the labels or on what the original says."""

from dataclasses import replace

import numpy as np
from scipy.special import softmax

from nucleate.network import Network
from nucleate.problems import Problem, Split
from nucleate.reduction.tolerance import outputs_of
from nucleate.training import train_many

_RATES = (0.01, 0.003, 0.001)


def tune(network: Network, problem: Problem, steps: int) -> Network:
    """Adam on the labels at three rates; the best on validation, the network as it was included."""
    runs = train_many(
        [network] * len(_RATES),
        problem,
        learning_rates=_RATES,
        optimizer="adam",
        steps=steps,
        records=max(4, steps // 2),
    )
    candidates = [network, *(run.best for run in runs if run.status == "finished")]
    losses = [float(problem.loss(candidate(problem.validation.x), problem.validation.y)) for candidate in candidates]
    return candidates[int(np.argmin(losses))]


def taught_by(teacher: Network, problem: Problem) -> Problem:
    """The same problem with the teacher's outputs (its class probabilities) as targets of training and validation."""

    def taught(part: Split) -> Split:
        outputs = outputs_of(teacher, part)
        return Split(part.x, outputs if problem.task == "regression" else softmax(outputs, axis=1))

    return replace(problem, train=taught(problem.train), validation=taught(problem.validation))
