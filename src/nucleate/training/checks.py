"""What runs must be before they are trained, or forecast, together."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from nucleate import devices
from nucleate._arrays import is_real, is_whole
from nucleate._wording import say_error
from nucleate.devices import CORES, MEMORY
from nucleate.errors import SpecError
from nucleate.models import check_members, count_parameters, describe, dtype_of, outputs_of_columns, take_apart
from nucleate.network import Network, check_widths
from nucleate.optimizers import Optimizer
from nucleate.problems import Problem

MOST_TOGETHER = 4096
"""Runs that step together at most; by then a device has no core left that waits."""


def check_runs(
    problem: Problem,
    models: Sequence[Any],
    learning_rates: Sequence[float],
    optimizer: Optimizer | None = None,
    weight_decays: Sequence[float] | None = None,
) -> None:
    """Refuse models that do not fit the problem, each other, their rates, their decays, the optimizer or the memory.

    Rates and decays are one for each model. What does not fit is a SpecError; what is no model, see `nucleate.models`,
    an ArchitectureError.
    """
    if not isinstance(problem, Problem):
        raise SpecError(f"The problem is {problem!r:.60}; make it one first, as by nucleate.load_problem.")
    problem.loss.check(problem.train.y)
    if not len(models) == len(learning_rates) > 0:
        raise SpecError(
            f"There are {len(models)} networks and {len(learning_rates)} learning rates; give one of each for every "
            "run."
        )
    for number, model in enumerate(models):
        if number == 0 or isinstance(model, Network):
            check_fit(model, problem)
        if describe(model) != describe(models[0]):
            raise SpecError(
                f"The networks of one batch must have one architecture, but there are {describe(models[0])} and "
                f"{describe(model)}; train them in batches of their own."
            )
    for rate in learning_rates:
        if not is_real(rate) or not 0 < rate < np.inf:
            raise SpecError(f"The learning rate is {rate!r}; it must be a positive number.")
    if optimizer is not None:
        optimizer.check(take_apart(models[0])[0])
        _check_decays(len(models), optimizer, weight_decays)
    what = f"{len(models)} x {describe(models[0])}"
    _refuse_too_large(what, _memory_needed(models[0], len(models), len(problem.train.x)))


def check_widths_fit(problem: Problem, hidden: Sequence[int], dtype: str, runs: int) -> None:
    """Refuse as many fully connected networks as do not fit the memory together, before any is drawn."""
    widths = check_widths(problem.inputs, hidden, problem.outputs)
    parameters = sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(widths))
    needs = _bytes_needed(
        np.dtype(dtype).itemsize, parameters, widths[1:-1], sum(widths[1:-1]), runs, len(problem.train.x)
    )
    _refuse_too_large(f"{runs} x Network({'-'.join(map(str, widths))}, {dtype})", needs)


def _refuse_too_large(what: str, needs: Sequence[tuple[str, float, float]]) -> None:
    for place, need, memory in needs:
        if need > memory:
            raise SpecError(
                f"{what} together need about {need / 1e9:.3g} GB, and {place} has {memory / 1e9:.3g}; make the hidden "
                "widths smaller, or train fewer at once."
            )


def most_together(problem: Problem, model: Any) -> int:
    """How many runs of a model are given to the device at once: 1 where each has a core of its own.

    Otherwise a power of two, at most `MOST_TOGETHER`, for which half of each memory is enough.
    """
    runs = MOST_TOGETHER if devices.steps_together() else 1
    while runs > 1 and any(2 * need > memory for _, need, memory in _memory_needed(model, runs, len(problem.train.x))):
        runs //= 2
    return runs


def _check_decays(runs: int, optimizer: Optimizer, weight_decays: Sequence[float] | None) -> None:
    if weight_decays is None:
        if optimizer.decoupled:
            raise SpecError(undecided_decay(optimizer))
        return
    if len(weight_decays) != runs:
        raise SpecError(f"There are {runs} networks and {len(weight_decays)} weight decays; give one of each a run.")
    for decay in weight_decays:
        if not is_real(decay) or not 0 <= decay < np.inf:
            raise SpecError(f"The weight decay is {decay!r:.60}; it must be a finite number, 0 or more.")
    if any(weight_decays) and optimizer.moves_alone:
        raise SpecError(
            f"The optimizer {optimizer.name!r} decays weights itself, and a weight decay is given beside it; leave out "
            "one of the two."
        )


def undecided_decay(optimizer: Optimizer) -> str:
    """The sentence on an optimizer that is there for its weight decay, of which nobody said how large it is."""
    return (
        f"The optimizer {optimizer.name!r} decays weights, and nothing says by how much; give the weight decay too "
        "(PyTorch's default is 0.01, optax's 0.0001)."
    )


def check_fit(model: Any, problem: Problem) -> None:
    """Refuse a model whose inputs and outputs are not those of the problem, or that does not read its rows."""
    if not isinstance(problem, Problem):
        raise SpecError(f"The problem is {problem!r:.60}; make it one first, as by nucleate.load_problem.")
    shape = (problem.inputs, problem.outputs)
    if isinstance(model, Network):
        if (model.widths[0], model.widths[-1]) != shape:
            raise SpecError(
                f"The network goes from {model.widths[0]} inputs to {model.widths[-1]} outputs, but problem "
                f"{problem.name!r} from {shape[0]} to {shape[1]}; make the network with these numbers."
            )
        return
    check_members(model)
    if hasattr(model, "check_rows"):
        for part in (problem.train, problem.validation, problem.test):
            model.check_rows(part.x)
    parameters, frame = take_apart(model)
    x = jax.ShapeDtypeStruct((problem.inputs, 3), dtype_of(model))
    try:
        with devices.float64():
            outputs = jax.eval_shape(lambda given, x: outputs_of_columns(frame(given), x), parameters, x)
    except Exception as error:
        raise SpecError(
            f"The model {describe(model)} cannot be called with rows of {problem.inputs} inputs "
            f"({say_error(error)[:160]}); it takes x of shape (n, d) and gives outputs of shape (n, c)."
        ) from error
    if outputs.shape != (problem.outputs, 3):
        raise SpecError(
            f"The model {describe(model)} makes outputs of shape {outputs.shape[::-1]} for 3 rows; problem "
            f"{problem.name!r} needs (3, {problem.outputs})."
        )


def check_batch_size(problem: Problem, batch_size: int | None) -> None:
    """Refuse more rows a step than there are."""
    if batch_size is not None and batch_size > len(problem.train.x):
        raise SpecError(
            f"The batch size is {batch_size}, but there are {len(problem.train.x)} training rows; "
            "make it smaller, or leave it out to train on all rows at once."
        )


def check_seeds(models: Sequence[Any], seeds: Sequence[int] | None) -> Sequence[int]:
    """One seed of the order of the rows for each model, 0 where none are given."""
    seeds = [0] * len(models) if seeds is None else seeds
    for seed in seeds:
        if not is_whole(seed) or not 0 <= seed < 2**31:
            raise SpecError(f"The seed is {seed!r:.60}; it must be a whole number from 0 to 2147483647.")
    if len(models) != len(seeds):
        raise SpecError(f"There are {len(models)} networks and {len(seeds)} seeds; give one of each for every run.")
    return seeds


def check_dropout(models: Sequence[Any], dropout: float) -> None:
    """Refuse, by a `SpecError`, dropout in models of which it is not known what their hidden neurons are."""
    if dropout and not isinstance(models[0], Network):
        raise SpecError(
            f"Dropout is of the hidden layers of a nucleate.Network; a {type(models[0]).__name__} has to drop by "
            "itself, so leave out the dropout."
        )


def _memory_needed(model: Any, runs: int, rows: int) -> list[tuple[str, float, float]]:
    """As `_bytes_needed`, of so many runs of a model."""
    widths = model.hidden if isinstance(model, Network) else (0,)
    # Of a model of another kind, what it says itself.
    signals = sum(widths) if isinstance(model, Network) else getattr(model, "signals", 0)
    return _bytes_needed(np.dtype(dtype_of(model)).itemsize, count_parameters(model), widths, signals, runs, rows)


def _bytes_needed(
    number: int, of_each: int, widths: Sequence[int], signals: int, runs: int, rows: int
) -> list[tuple[str, float, float]]:
    """Of each memory its name, the bytes needed, from below, and those it has.

    Parameters in training and as kept, activations of the runs that step at once, cosines of one layer.
    """
    parameters = runs * of_each * number
    activations = 2 * rows * signals * number
    cosines = 2 * max(widths) ** 2 * 8
    if not devices.steps_together():
        return [("this machine", math.fsum([6 * parameters, CORES * activations, cosines]), MEMORY)]
    full = devices.at_once(runs)
    return [
        ("this machine", math.fsum([6 * parameters, cosines]), MEMORY),
        # Before a step, after it, and the gradient.
        (
            f"its {devices.device().device_kind}",
            math.fsum([3 * full / runs * parameters, full * activations]),
            devices.device_memory(),
        ),
    ]
