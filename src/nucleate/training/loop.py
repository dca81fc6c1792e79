"""Train one network, or many of one architecture together."""

from collections.abc import Callable, Sequence
from typing import Any

from nucleate.errors import SpecError
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.training.batch import Batch
from nucleate.training.run import Run
from nucleate.training.settings import make_settings


def train_many(
    networks: Sequence[Network],
    problem: Problem,
    *,
    learning_rates: Sequence[float],
    seeds: Sequence[int] | None = None,
    on_record: Callable[[Batch], None] | None = None,
    **settings: Any,
) -> list[Run]:
    """Train networks of one architecture in one program, spread over the cores.

    Parameters
    ----------
    networks : sequence of Network
    problem : Problem
    learning_rates : sequence of float
        One for each network.
    seeds : sequence of int, optional
        One for each network, for the order of the rows; 0 where not given.
    on_record : callable, optional
        Called after every recorded step.
    **settings
        The fields of `Settings`.

    Raises
    ------
    SpecError
        For a setting out of range, or networks that do not fit the problem or each other.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> from nucleate.problems import load_problem
    >>> networks = [Network.create(5, [20], 1, scale=InitScale("gain", gain)) for gain in (1.0, 0.1)]
    >>> runs = train_many(networks, load_problem("sine-5d"), learning_rates=[0.01, 0.01], steps=50)
    >>> [run.status for run in runs]
    ['finished', 'finished']
    """
    seeds = [0] * len(networks) if seeds is None else seeds
    if len(networks) != len(seeds):
        raise SpecError(f"There are {len(networks)} networks and {len(seeds)} seeds; give one of each for every run.")
    batch = Batch(problem, networks, learning_rates, seeds, make_settings(**settings))
    while not batch.done:
        batch.advance()
        if on_record is not None:
            on_record(batch)
    return batch.runs()


def train(
    network: Network,
    problem: Problem,
    *,
    learning_rate: float = 0.05,
    seed: int = 0,
    on_record: Callable[[Batch], None] | None = None,
    **settings: Any,
) -> Run:
    """Train one network; see `train_many` for the parameters, errors and settings.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> from nucleate.problems import load_problem
    >>> network = Network.create(5, [20], 1, scale=InitScale("gain", 0.1), bias=[True, False])
    >>> run = train(network, load_problem("sine-5d"), learning_rate=0.01, steps=50)
    >>> run.trajectory.columns[:4]
    ['step', 'train_loss', 'validation_loss', 'effective_neurons_1']
    """
    return train_many(
        [network], problem, learning_rates=[learning_rate], seeds=[seed], on_record=on_record, **settings
    )[0]
