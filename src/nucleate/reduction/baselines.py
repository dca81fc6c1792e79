"""What a reduced network is to be held against: a linear model, and a network of its size trained from the start."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge

from nucleate.activations import Activation
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.problems import Problem, Split
from nucleate.reduction.search import count_parameters
from nucleate.reduction.tolerance import outputs_of
from nucleate.training import train_many

_STRENGTHS = tuple(10.0**power for power in range(-4, 5))
_RATES = (0.03, 0.01, 0.003)
_SEEDS = 3
_STEPS, _BATCH = 3000, 256


@dataclass(frozen=True)
class Baseline:
    """Another model of the same problem, with the problem's metric on its validation and test rows."""

    name: str
    widths: tuple[int, ...]
    parameters: int
    validation: float
    test: float


def linear_model(problem: Problem) -> Baseline:
    """Ridge or logistic regression, its penalty chosen on the validation rows."""
    candidates = [(_metric(problem, model, problem.validation), model) for model in _linear(problem)]
    validation, model = _better(problem, candidates)
    parameters = (problem.inputs + 1) * problem.outputs
    return Baseline("linear model", (), parameters, validation, _metric(problem, model, problem.test))


def narrow_network(problem: Problem, hidden: tuple[int, ...], activation: Activation) -> Baseline:
    """A network of these widths from the usual init scale, the best of three rates and three seeds on validation."""
    networks = [
        Network.create(
            problem.inputs,
            hidden,
            problem.outputs,
            scale=InitScale("gain", 1.0),
            activation=activation,
            bias=True,
            seed=seed,
        )
        for seed in range(_SEEDS)
    ]
    runs = train_many(
        [network for _ in _RATES for network in networks],
        problem,
        learning_rates=[rate for rate in _RATES for _ in networks],
        seeds=[*range(_SEEDS)] * len(_RATES),
        optimizer="adam",
        steps=_STEPS,
        batch_size=_BATCH if len(problem.train.x) > _BATCH else None,
        early_stopping=True,
        records=30,
    )
    trained = [
        (problem.metric(outputs_of(run.best, problem.validation), problem.validation.y), run.best) for run in runs
    ]
    validation, network = _better(problem, trained)
    test = problem.metric(outputs_of(network, problem.test), problem.test.y)
    return Baseline("narrow network", hidden, count_parameters(network), validation, test)


def _linear(problem: Problem) -> Iterator[Any]:
    x, y = problem.train.x, problem.train.y
    for strength in _STRENGTHS:
        if problem.task == "regression":
            yield Ridge(alpha=strength).fit(x, y)
        else:
            yield LogisticRegression(C=1 / strength, max_iter=5000).fit(x, y.argmax(axis=1))


def _metric(problem: Problem, model: Any, part: Split) -> float:
    outputs = model.predict(part.x) if problem.task == "regression" else model.predict_proba(part.x)
    return problem.metric(outputs.reshape(len(part.x), -1), part.y)


def _better(problem: Problem, candidates: list[tuple[float, Any]]) -> tuple[float, Any]:
    """The best on validation, the first of equals."""
    sign = 1 if problem.task == "regression" else -1
    return min(candidates, key=lambda candidate: sign * candidate[0])
