"""The verb: find the smaller network, then say how sure it is."""

from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate.errors import SpecError
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.reduction.baselines import linear_model, narrow_network
from nucleate.reduction.bound import Box, merge_bound
from nucleate.reduction.certificate import certify, check_rows
from nucleate.reduction.interpolation import interpolate, interpolation_bound
from nucleate.reduction.layers import Method, layers_of, network_of
from nucleate.reduction.merging import groups, merge
from nucleate.reduction.reduction import BeforeAfter, Bound, MethodName, Reduction
from nucleate.reduction.search import Search, calibration_rows
from nucleate.reduction.selection import select
from nucleate.reduction.tolerance import Tolerance, outputs_of
from nucleate.reduction.tuning import taught_by, tune

METHODS: dict[MethodName, Method] = {"select": select, "interpolate": interpolate, "merge": merge}


def reduce(
    network: Network,
    problem: Problem,
    tolerance: float = 0.01,
    method: MethodName = "select",
    *,
    fine_tune: int = 0,
    distill: int = 0,
    baselines: bool = True,
    seed: int = 0,
) -> Reduction:
    """The smallest network found that does the work of ``network`` within the tolerance.

    Layers are narrowed from the first to the last over a grid of unequal widths, on the training inputs and others like
    them; labels are looked at on the validation rows alone, and the test rows, which certify the result, only at the
    end. Where no smaller network is within the tolerance the original comes back.

    Parameters
    ----------
    network : Network
        Of any depth and activation, trained on ``problem.train``.
    problem : Problem
    tolerance : float
        The relative change of the metric that is allowed on validation, and of the outputs what explains it; see
        docs/reduce.md.
    method : {"select", "interpolate", "merge"}
        ``select`` keeps the neurons that explain most and refits what reads them; ``interpolate`` keeps those from
        which the others can be interpolated; ``merge`` lets neurons of one direction act as one, without data.
    fine_tune, distill : int
        Steps of Adam afterwards, on the labels, or on what the original says.
    baselines : bool
        Whether to fit a linear model and train a narrow network beside.
    seed : int
        Of the calibration rows.

    Raises
    ------
    SpecError
        For a tolerance, a method or a number of steps out of range, or a network that does not fit the problem.
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
    _check(network, problem, method, fine_tune, distill)
    fits = Tolerance(problem, network, tolerance)
    rows = calibration_rows(problem.train.x, seed)
    found = Search(network, METHODS[method], rows, problem.validation.x, fits).cheapest()
    small = network_of(found.layers, network.activation, network.dtype)
    if distill:
        small = tune(small, taught_by(network, problem), distill)
    if fine_tune:
        small = tune(small, problem, fine_tune)
    metrics = {
        part: BeforeAfter(*(problem.metric(outputs_of(net, split), split.y) for net in (network, small)))
        for part, split in (("validation", problem.validation), ("test", problem.test))
    }
    return Reduction(
        problem=problem.name,
        data_hash=problem.data_hash,
        method=method,
        tolerance=tolerance,
        metric_name=problem.metric_name,
        original=network,
        network=small,
        preprocessing=problem.preprocessing,
        validation=metrics["validation"],
        test=metrics["test"],
        certificate=certify(network, small, problem),
        bound=None if distill or fine_tune else _bound(method, network, found.traces, problem.train.x),
        groups=groups(network, problem.train.x),
        baselines=(linear_model(problem), narrow_network(problem, small.hidden, network.activation))
        if baselines
        else (),
    )


def _check(network: Network, problem: Problem, method: str, fine_tune: int, distill: int) -> None:
    if method not in METHODS:
        raise SpecError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    if fine_tune < 0 or distill < 0:
        raise SpecError(f"The steps are {fine_tune} to fine-tune and {distill} to distill; they must be 0 or more.")
    shape = (network.widths[0], network.widths[-1])
    if shape != (problem.inputs, problem.outputs):
        raise SpecError(
            f"The network goes from {shape[0]} inputs to {shape[1]} outputs, but problem {problem.name!r} from "
            f"{problem.inputs} to {problem.outputs}; give the data it was trained on."
        )
    for part in (problem.train, problem.validation, problem.test):
        if not np.isfinite(outputs_of(network, part)).all():
            raise SpecError(
                "The network's outputs are not finite on these data; its run has diverged, so give another."
            )
    check_rows(problem)


def _bound(method: MethodName, network: Network, traces: tuple[Any, ...], x: Float[np.ndarray, "n d"]) -> Bound | None:
    layers, activation = layers_of(network), network.activation
    if not (traces and np.isfinite(activation.lipschitz)):
        return None
    match method:
        case "merge":
            changed = merge_bound(layers, traces, activation, Box(x.min(axis=0), x.max(axis=0)))
            return Bound(float(changed.max()), "largest over the box of the training inputs")
        case "interpolate":
            value = interpolation_bound(traces, layers, activation.lipschitz)
            return Bound(value, "root mean square on the calibration rows")
        case _:
            return None
