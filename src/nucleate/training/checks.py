"""What runs must be before they are trained, or forecast, together."""

import math
from collections.abc import Sequence

import numpy as np

from nucleate import devices as devices
from nucleate.devices import MEMORY
from nucleate.errors import SpecError
from nucleate.network import Network
from nucleate.problems import Problem


def check_runs(problem: Problem, networks: Sequence[Network], learning_rates: Sequence[float]) -> None:
    """Refuse networks that do not fit the problem, each other, their learning rates or the memory.

    Raises
    ------
    SpecError
        With what does not fit.
    """
    if not len(networks) == len(learning_rates) > 0:
        raise SpecError(
            f"There are {len(networks)} networks and {len(learning_rates)} learning rates; give one of each for every "
            "run."
        )
    shape = (problem.inputs, problem.outputs)
    for network in networks:
        if (network.widths[0], network.widths[-1]) != shape:
            raise SpecError(
                f"The network goes from {network.widths[0]} inputs to {network.widths[-1]} outputs, but problem "
                f"{problem.name!r} from {shape[0]} to {shape[1]}; make the network with these numbers."
            )
        # A network's repr is its architecture.
        if repr(network) != repr(networks[0]):
            raise SpecError(
                f"The networks of one batch must have one architecture, but there are {networks[0]} and {network}; "
                "train them in batches of their own."
            )
    for rate in learning_rates:
        if not 0 < rate < np.inf:
            raise SpecError(f"The learning rate is {rate}; it must be a positive number.")
    need = _memory_needed(networks[0], len(networks), len(problem.train.x))
    if need > MEMORY:
        raise SpecError(
            f"{len(networks)} x {networks[0]} together need about {need / 1e9:.3g} GB, and this machine has "
            f"{MEMORY / 1e9:.3g}; make the hidden widths smaller, or train fewer at once."
        )


def check_batch_size(problem: Problem, batch_size: int | None) -> None:
    """Refuse more rows a step than there are.

    Raises
    ------
    SpecError
        With both numbers.
    """
    if batch_size is not None and batch_size > len(problem.train.x):
        raise SpecError(
            f"The batch size is {batch_size}, but there are {len(problem.train.x)} training rows; "
            "make it smaller, or leave it out to train on all rows at once."
        )


def _memory_needed(network: Network, runs: int, rows: int) -> float:
    """Bytes, from below: parameters in training and as kept, activations of a run a core, cosines of one layer."""
    number = np.dtype(network.dtype).itemsize
    parameters = sum(weight.size for weight in network.weights)
    kept = 6 * runs * parameters * number
    activations = 2 * devices.CORES * rows * sum(network.hidden) * number
    cosines = 2 * max(network.hidden) ** 2 * 8
    return math.fsum([kept, activations, cosines])
