"""The verb: find the smaller network, train it a little further if asked to, then say how sure it is."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from nucleate._arrays import is_whole
from nucleate._wording import choose_one
from nucleate.baselines import Baseline, constant, hold_against, linear, narrow
from nucleate.baselines.models import further_metrics
from nucleate.errors import SpecError
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.optimizers import ADAM
from nucleate.problems import Problem, Split
from nucleate.pytorch.exchange import is_module
from nucleate.reduction.bound import MERGE
from nucleate.reduction.certificate import certify, check_rows
from nucleate.reduction.interpolation import INTERPOLATE
from nucleate.reduction.layers import Method, network_of
from nucleate.reduction.merging import groups
from nucleate.reduction.modules.reducing import reduce_module
from nucleate.reduction.modules.reduction import ModuleReduction
from nucleate.reduction.reduction import BeforeAfter, Reduction
from nucleate.reduction.search import Search, calibration_rows, calibration_weights
from nucleate.reduction.selection import SELECT
from nucleate.reduction.tolerance import fits_within
from nucleate.training import train_many
from nucleate.training.checks import check_fit

if TYPE_CHECKING:
    import torch

METHODS = {method.name: method for method in (SELECT, INTERPOLATE, MERGE)}
_RATES = (0.01, 0.003, 0.001)


@overload
def reduce(
    network: Network,
    problem: Problem | None = None,
    tolerance: float = 0.01,
    method: str | Method = "select",
    *,
    fine_tune: int = 0,
    distill: int = 0,
    baselines: bool = True,
    seed: int = 0,
) -> Reduction: ...


@overload
def reduce(
    network: "torch.nn.Module", problem: Any = None, tolerance: float = 0.01, *, seed: int = 0, **of_module: Any
) -> ModuleReduction: ...


def reduce(
    network: Any,
    problem: Any = None,
    tolerance: float = 0.01,
    method: str | Method = "select",
    *,
    fine_tune: Any = 0,
    distill: int = 0,
    baselines: bool = True,
    seed: int = 0,
    **of_module: Any,
) -> Reduction | ModuleReduction:
    """The smallest network found that does the work of ``network`` within the tolerance.

    A PyTorch module is reduced as `reduce_module` says, whose parameters it takes: the data in place of the problem.

    Layers are narrowed from the first to the last over a grid of unequal widths, on the training inputs and others like
    them; labels are needed on the validation rows alone, and the test rows, which certify the result, only at the end.
    Where no smaller network is within the tolerance the original comes back.

    Parameters
    ----------
    network : Network
        Of any depth and activation, trained on ``problem.train``.
    problem : Problem
    tolerance : float
        The relative change of the metric that is allowed on validation, and of the outputs what explains it; see
        docs/reduce.md.
    method : {"select", "interpolate", "merge"} or Method
        ``select`` keeps the neurons that explain most and refits what reads them; ``interpolate`` keeps those from
        which the others can be interpolated; ``merge`` lets neurons of one direction act as one, without data.
    fine_tune, distill : int
        Steps of Adam afterwards, on the labels, or on what the original says.
    baselines : bool
        Whether to hold the result against the best constant, a linear model and a narrow network.
    seed : int
        Of the calibration rows.
    **of_module
        Further parameters of `reduce_module`, for a PyTorch module.

    Returns
    -------
    Reduction or ModuleReduction

    Raises
    ------
    SpecError
        For a tolerance, a method, a seed or a number of steps out of range, a model that is not a `Network`, or a
        network that does not fit the problem or has diverged.
    DataError
        If there are too few test rows to certify anything.

    Examples
    --------
    >>> from nucleate import InitScale, load_problem, train
    >>> problem = load_problem("diabetes")
    >>> network = Network.create(10, [30, 30], 1, scale=InitScale("gain", 0.1), bias=[True, False, False])
    >>> small = reduce(train(network, problem, learning_rate=0.1, steps=300).best, problem, baselines=False)
    >>> small.share_kept < 0.1
    True
    """
    if is_module(network):
        if get_method(method) is not SELECT or distill or baselines is not True:
            raise SpecError(
                "`method`, `distill` and `baselines` are of a nucleate.Network; leave them out for a PyTorch module."
            )
        data = of_module.pop("data", problem)
        return reduce_module(network, data, tolerance, fine_tune=fine_tune or None, seed=seed, **of_module)
    if of_module:
        names = ", ".join(f"`{name}`" for name in of_module)
        raise SpecError(
            f"{names} can be given for a PyTorch module only, and this is a {type(network).__name__}; leave it out."
        )
    method = get_method(method)
    if problem is None:
        raise SpecError(
            "There is no problem; reduce takes a Network and its Problem, reduce_study a study or its folder."
        )
    _check(network, problem, fine_tune, distill, seed)
    fits = fits_within(problem, network, tolerance)
    rows = calibration_rows(problem.train.x, seed)
    weights = calibration_weights(problem.train.weights)
    found = Search(network, method, rows, problem.validation.x, fits, weights).cheapest()
    small = network_of(found.layers, network.activation, network.dtype)
    if distill:
        small = tune(small, taught_by(network, problem), distill)
    if fine_tune:
        small = tune(small, problem, fine_tune)
    # Bounds are of what the method left, and hold wherever the activation is Lipschitz.
    has_bound = found.traces and not (distill or fine_tune) and np.isfinite(network.activation.lipschitz)
    return Reduction(
        problem=problem.name,
        data_hash=problem.data_hash,
        method=method.name,
        tolerance=tolerance,
        metric=problem.loss.metric,
        original=network,
        network=small,
        preprocessing=problem.preprocessing,
        validation=_metrics(network, small, problem, problem.validation),
        test=_metrics(network, small, problem, problem.test),
        certificate=certify(network, small, problem),
        bound=method.bound(network, found.traces, problem.train.x) if method.bound and has_bound else None,
        groups=groups(network, problem.train.x),
        baselines=_baselines(small, problem) if baselines else (),
        further=BeforeAfter(
            *(further_metrics(problem, outputs_of(model, problem.test.x), problem.test) for model in (network, small))
        ),
    )


def get_method(given: Any) -> Method:
    """The method of that name; a `Method` is returned as it is."""
    if isinstance(given, Method):
        return given
    if isinstance(given, str) and given in METHODS:
        return METHODS[given]
    raise SpecError(f"There is no method {given!r}{choose_one(given, METHODS)}.")


def tune(network: Network, problem: Problem, steps: int) -> Network:
    """Adam on the problem at three rates; the best on validation, the network as it was included."""
    runs = train_many(
        [network] * len(_RATES),
        problem,
        learning_rates=_RATES,
        measures=(),
        optimizer=ADAM,
        steps=steps,
        evaluations=max(4, steps // 2),
    )
    candidates = [network, *(run.best for run in runs)]
    part = problem.validation
    costs = [problem.loss(outputs_of(candidate, part.x), part.y, part.weights) for candidate in candidates]
    return candidates[int(np.argmin(costs))]


def taught_by(teacher: Network, problem: Problem) -> Problem:
    """The same problem with what the teacher's outputs predict as targets of training and validation."""

    def taught(part: Split) -> Split:
        return replace(part, y=problem.loss.link(outputs_of(teacher, part.x)))

    return replace(problem, train=taught(problem.train), validation=taught(problem.validation))


def _baselines(network: Network, problem: Problem) -> tuple[Baseline, ...]:
    contenders = (constant(problem), linear(problem), narrow(problem, network.hidden, network.activation))
    return hold_against(problem, [partial(outputs_of, network)], contenders)


def _metrics(network: Network, small: Network, problem: Problem, part: Split) -> BeforeAfter[float]:
    return BeforeAfter(*(problem.metric(outputs_of(model, part.x), part.y, part.weights) for model in (network, small)))


def _check(network: Network, problem: Problem, fine_tune: int, distill: int, seed: int) -> None:
    if not isinstance(network, Network):
        raise SpecError(
            f"A {type(network).__name__} cannot be reduced, for reductions are of fully connected networks; give a "
            "nucleate.Network."
        )
    if not all(is_whole(steps) and steps >= 0 for steps in (fine_tune, distill)):
        raise SpecError(
            f"The steps are {fine_tune!r:.60} to fine-tune and {distill!r:.60} to distill; they must be whole numbers, "
            "0 or more."
        )
    if not is_whole(seed) or seed < 0:
        raise SpecError(f"The seed is {seed!r:.60}; it must be a whole number, 0 or more.")
    check_fit(network, problem)
    for part in (problem.train, problem.validation, problem.test):
        if not np.isfinite(outputs_of(network, part.x)).all():
            raise SpecError(
                "The network's outputs are not finite on these data; its run has diverged, so give another."
            )
    check_rows(problem)
