"""What a network is to be held against: a constant, a linear model, and a narrow network trained directly."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float
from pydantic import TypeAdapter

from nucleate.activations import Activation
from nucleate.baselines.comparison import (
    Comparison,
    Entrant,
    compare_entrants,
    count_units,
    judge_outputs,
)
from nucleate.devices import in_float64, single_blas_thread
from nucleate.init_scale import InitScale
from nucleate.models import count_parameters, outputs_of
from nucleate.network import Network
from nucleate.optimizers import ADAM
from nucleate.problems import Loss, Problem, Split
from nucleate.problems.moments import relative_weights
from nucleate.training import train_many

STRENGTHS = tuple(10.0**power for power in range(4, -5, -1))
"""The strengths of the linear model's penalty that are tried; of equally good ones the first, the strongest, counts."""
_RATES = (0.03, 0.01, 0.003)
_SEEDS = 3
_STEPS, _BATCH = 3000, 256
_MOST_ITERATIONS, _FLAT = 2000, 1e-8


@dataclass(frozen=True)
class Baseline:
    """Another model of the same problem, with the problem's metric on its validation and test rows.

    Parameters
    ----------
    name : str
    widths : tuple of int
        Hidden ones.
    parameters : int
    validation, test : float
        Of its best validated seed.
    further : dict of str to float
        The loss's further metrics on the test rows.
    comparison : Comparison or None
        With the network that it stands beside, where there is one, on the test rows, which chose neither.
    of_best : Comparison or None
        The same of the best validated seed of each alone, where the network has several: a further look at the same
        rows, so that those at all baselines hold together.
    """

    name: str
    widths: tuple[int, ...]
    parameters: int
    validation: float
    test: float
    further: dict[str, float] = field(default_factory=dict)
    comparison: Comparison | None = None
    of_best: Comparison | None = None

    @property
    def uncompared(self) -> "Baseline":
        """The same without its comparisons, as beside a network that has learned nothing."""
        return replace(self, comparison=None, of_best=None)


def baseline_from_json(**kept: Any) -> Baseline:
    """The baseline of which `dataclasses.asdict` was kept; a ValueError for what are not the fields of one."""
    return TypeAdapter(Baseline).validate_python(kept)


Outputs = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n c"]]
"""A fitted model, as its outputs for rows."""


@dataclass(frozen=True)
class Contender:
    """A kind of model, fitted.

    Parameters
    ----------
    name : str
    widths : tuple of int
        Hidden ones.
    parameters : int
    seeds : tuple of callable
        From rows to outputs: the one chosen on validation first, then those of every other seed.
    """

    name: str
    widths: tuple[int, ...]
    parameters: int
    seeds: tuple[Outputs, ...]

    def alone(self, problem: Problem) -> Baseline:
        """What it comes to on the problem's rows, beside no network.

        Parameters
        ----------
        problem : Problem

        Returns
        -------
        Baseline
        """
        return hold_against(problem, (), (self,))[0]


def hold_against(
    problem: Problem,
    networks: Sequence[Outputs],
    contenders: Sequence[Contender],
    *,
    varies: bool = False,
    among: int = 1,
) -> tuple[Baseline, ...]:
    """Each contender beside a network, compared on the test rows: those for validation chose among either's kind.

    Parameters
    ----------
    problem : Problem
    networks : sequence of callable
        The network of each of its seeds, from rows to outputs; with none, nothing is compared.
    contenders : sequence of Contender
    varies : bool
        Whether these networks are those of some seeds, of which there could be others; otherwise they are given.
    among : int
        How many comparisons shall hold together; by default each holds by itself.

    Returns
    -------
    tuple of Baseline
    """
    ours = _entrant(problem, networks, varies=varies) if networks else None
    return tuple(_baseline(problem, contender, ours, among) for contender in contenders)


def _baseline(problem: Problem, contender: Contender, network: Entrant | None, among: int) -> Baseline:
    best, part = contender.seeds[0], problem.test
    validation, test = (
        problem.metric(best(part.x), part.y, part.weights) for part in (problem.validation, problem.test)
    )
    comparison = (
        None
        if network is None
        else compare_entrants(
            problem.loss.metric,
            len(part.x),
            network,
            _entrant(problem, contender.seeds, varies=len(contender.seeds) > 1),
            among,
            **count_units(part),
        )
    )
    return Baseline(
        contender.name,
        contender.widths,
        contender.parameters,
        validation,
        test,
        further_metrics(problem, best(part.x), part),
        comparison,
    )


def _entrant(problem: Problem, seeds: Sequence[Outputs], *, varies: bool) -> Entrant:
    part = problem.test
    return Entrant([judge_outputs(problem, outputs(part.x), part) for outputs in seeds], varies)


def further_metrics(problem: Problem, outputs: Float[np.ndarray, "n c"], part: Split) -> dict[str, float]:
    """The loss's further metrics of a network's outputs for a part's rows, by their names."""
    predicted, true = problem.predict(outputs), problem.preprocessing.in_units(part.y)
    further = [metric for metric in problem.loss.further if metric.value is not None]
    return {metric.name: metric(predicted, true, part.weights) for metric in further}


def constant(problem: Problem) -> Contender:
    """The outputs that do not depend on the inputs: the mean of amounts, the frequencies of classes.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Contender

    Examples
    --------
    >>> from nucleate import load_problem
    >>> iris = load_problem("iris")
    >>> round(constant(iris).alone(iris).test, 2)
    0.33
    """
    outputs = problem.loss.constant_outputs(problem.train.y, problem.train.weights)
    return Contender("constant", (), problem.outputs, (lambda x: np.broadcast_to(outputs, (len(x), len(outputs))),))


def linear(problem: Problem) -> Contender:
    """The linear model ``W x + b`` for the problem's loss, the strength of its penalty chosen on the validation rows.

    It minimizes the loss plus ``strength/(2n) |W|^2``: ridge regression for squared errors, multinomial logistic
    regression for cross-entropy. Strengths go from 1e-4 to 1e4; of equally good ones the strongest is taken.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Contender

    Examples
    --------
    >>> from nucleate import load_problem
    >>> linear(load_problem("iris")).parameters
    15
    """
    best = min(fit_linear(problem.loss, problem.train, STRENGTHS), key=partial(_cost, problem))
    return Contender("linear model", (), (problem.inputs + 1) * problem.outputs, (best,))


def narrow(problem: Problem, hidden: tuple[int, ...], activation: Activation) -> Contender:
    """A network of these widths from the standard initialization, the best on validation of three rates and seeds.

    Parameters
    ----------
    problem : Problem
    hidden : tuple of int
    activation : Activation

    Returns
    -------
    Contender
    """
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
        measures=(),
        optimizer=ADAM,
        steps=_STEPS,
        batch_size=_BATCH if len(problem.train.x) > _BATCH else None,
        early_stopping=True,
        evaluations=30,
    )
    trained: list[Outputs] = [partial(outputs_of, run.best) for run in runs]
    cost = partial(_cost, problem)
    seeds = sorted((min(trained[seed::_SEEDS], key=cost) for seed in range(_SEEDS)), key=cost)
    return Contender("narrow network", hidden, count_parameters(networks[0]), tuple(seeds))


def _cost(problem: Problem, outputs: Outputs) -> float:
    """On validation, where NaN is worse than any number; of equals the first is taken."""
    part = problem.validation
    value = problem.metric(outputs(part.x), part.y, part.weights)
    return problem.loss.metric.cost(value) if np.isfinite(value) else np.inf


def _count(part: Split) -> float:
    """How many rows there are; whole weights say how often a row was seen."""
    weights = part.weights
    return len(part.x) if weights is None or (weights != np.floor(weights)).any() else float(weights.sum())


def fit_linear(loss: Loss, part: Split, strengths: tuple[float, ...]) -> Iterator[Outputs]:
    """For each strength the ``W x + b`` with the least loss plus ``strength/(2n) |W|^2``.

    The search (L-BFGS) is over ``V`` with ``W = V S Q^T``, where ``Q`` are the eigenvectors of the covariance of the
    inputs and ``S = (eigenvalues + strength/n)^(-1/2)``: for squared errors the objective is then a sphere, and for
    others it is no longer the inputs that make it ill-conditioned. Derived here.
    """
    n, d, weigh = _count(part), part.x.shape[1], part.weights
    mean = np.average(part.x, axis=0, weights=weigh)
    relative = None if weigh is None else relative_weights(weigh)
    cost = loss.rows if loss.smooth is None else loss.smooth
    values, vectors = np.linalg.eigh(np.cov(part.x.T, bias=True, aweights=weigh).reshape(d, d))
    for strength in strengths:
        shrink = 1 / np.sqrt(np.maximum(values, 0.0) + strength / n)
        turn = vectors * shrink
        # L-BFGS asks BLAS for so little that its threads would spin for most of the time.
        with single_blas_thread():
            found = scipy.optimize.minimize(
                _penalized,
                np.zeros((d + 1) * part.y.shape[1]),
                ((part.x - mean) @ turn, part.y, relative, strength / n * shrink**2, cost),
                method="L-BFGS-B",
                jac=True,
                options={"maxiter": _MOST_ITERATIONS, "maxfun": 2 * _MOST_ITERATIONS, "ftol": 0.0, "gtol": _FLAT},
            ).x.reshape(-1, d + 1)
        weights = found[:, :-1] @ turn.T
        yield partial(_affine, weights, found[:, -1] - weights @ mean)


def _affine(
    weights: Float[np.ndarray, "c d"], bias: Float[np.ndarray, " c"], x: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n c"]:
    return x @ weights.T + bias


@in_float64
@partial(jax.jit, static_argnames="cost")
@jax.value_and_grad
def _penalized(
    point: Float[Array, " c*(d+1)"],
    x: Float[Array, "n d"],
    y: Float[Array, "n c"],
    relative: Float[Array, " n"] | None,
    penalty: Float[Array, " d"],
    cost: Callable[[Float[Array, "n c"], Float[Array, "n c"]], Float[Array, " n"]],
) -> Float[Array, ""]:
    """The loss and its penalty, and their gradient by ``(V, b)``, flat."""
    turned = point.reshape(-1, x.shape[1] + 1)
    weights, bias = turned[:, :-1], turned[:, -1]
    costs = cost(x @ weights.T + bias, y)
    return jnp.mean(costs if relative is None else relative * costs) + 0.5 * jnp.sum(penalty * weights**2)
