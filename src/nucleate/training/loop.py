"""Train one network, or many of one architecture together."""

from collections.abc import Callable, Sequence
from typing import Any

from nucleate._arrays import is_whole
from nucleate.devices import on_device
from nucleate.errors import SpecError
from nucleate.observe import MEASURES, Measure
from nucleate.problems import Problem
from nucleate.training.batch import Batch
from nucleate.training.run import Run
from nucleate.training.settings import make_settings


def train_many(
    models: Sequence[Any],
    problem: Problem,
    *,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    measures: Sequence[Measure] = MEASURES,
    on_evaluation: Callable[[Batch], None] | None = None,
    device: str = "auto",
    **settings: Any,
) -> list[Run]:
    """Train models of one architecture with one program, spread over the cores.

    Parameters
    ----------
    models : sequence of models
        Networks, or other JAX pytrees, see `nucleate.models`.
    problem : Problem
    learning_rates : sequence of float
        One for each model: the peak, where there is a schedule.
    weight_decays : sequence of float, optional
        One for each model; without them nothing decays. Both kinds are multiplied by the learning rate and decay every
        parameter, see `nucleate.training.Rule`.
    seeds : sequence of int, optional
        One for each model, for the order of the rows; 0 where not given.
    measures : sequence of Measure
        What is measured of every layer at every evaluation.
    on_evaluation : callable, optional
        Called with the `Batch` after every evaluation.
    device : {"auto", "cpu", "gpu"}
        Where to compute; by default where JAX does.
    **settings
        The fields of `Settings`: ``optimizer``, ``schedule``, ``warmup``, ``clip``, ``steps``, ``batch_size``,
        ``evaluations``, ``early_stopping``.

    Returns
    -------
    list of Run
        One for each model.

    Raises
    ------
    SpecError
        For a setting out of range, networks that do not fit the problem or each other, or a device that there is not.

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> from nucleate.problems import load_problem
    >>> networks = [Network.create(5, [20], 1, scale=InitScale("gain", gain)) for gain in (1.0, 0.1)]
    >>> runs = train_many(networks, load_problem("sine-5d"), learning_rates=[0.01, 0.01], steps=50)
    >>> [run.status for run in runs]
    ['finished', 'finished']
    """
    seeds = [0] * len(models) if seeds is None else seeds
    for seed in seeds:
        if not is_whole(seed) or not 0 <= seed < 2**31:
            raise SpecError(f"The seed is {seed!r:.60}; it must be a whole number from 0 to 2147483647.")
    if len(models) != len(seeds):
        raise SpecError(f"There are {len(models)} networks and {len(seeds)} seeds; give one of each for every run.")
    with on_device(device):
        made = make_settings(**settings)
        batch = Batch(problem, models, learning_rates, seeds, made, measures=measures, weight_decays=weight_decays)
        while not batch.done:
            batch.advance()
            if on_evaluation is not None:
                on_evaluation(batch)
        return batch.runs()


def train(
    model: Any,
    problem: Problem,
    *,
    learning_rate: float = 0.05,
    weight_decay: float | None = None,
    seed: int = 0,
    measures: Sequence[Measure] = MEASURES,
    on_evaluation: Callable[[Batch], None] | None = None,
    device: str = "auto",
    **settings: Any,
) -> Run:
    """Train one network, or another model; see `train_many`.

    Parameters
    ----------
    model : model
        A `Network`, or another JAX pytree, see `nucleate.models`.
    problem : Problem
    learning_rate : float
        The peak, where there is a schedule.
    weight_decay : float, optional
        ``adamw`` asks for one; of the other optimizers nothing decays without it.
    seed : int
        Of the order of the rows, where there are mini-batches.
    measures : sequence of Measure
        What is measured of every layer at every evaluation.
    on_evaluation : callable, optional
        Called with the `Batch` after every evaluation.
    device : {"auto", "cpu", "gpu"}
        Where to compute; by default where JAX does.
    **settings
        The fields of `Settings`: ``optimizer``, ``schedule``, ``warmup``, ``clip``, ``steps``, ``batch_size``,
        ``evaluations``, ``early_stopping``.

    Returns
    -------
    Run

    Raises
    ------
    SpecError
        For a setting out of range, a model that does not fit the problem, or a device that there is not.

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> from nucleate.problems import load_problem
    >>> network = Network.create(5, [20], 1, scale=InitScale("gain", 0.1), bias=[True, False])
    >>> run = train(network, load_problem("sine-5d"), learning_rate=0.01, steps=50)
    >>> run.trajectory.columns[:4]
    ['step', 'train_loss', 'validation_loss', 'effective_neurons_1']
    """
    if "seeds" in settings or "learning_rates" in settings:
        raise SpecError("train makes one run and takes seed and learning_rate; for several use train_many, or sweep.")
    return train_many(
        [model],
        problem,
        learning_rates=[learning_rate],
        weight_decays=None if weight_decay is None else [weight_decay],
        seeds=[seed],
        measures=measures,
        on_evaluation=on_evaluation,
        device=device,
        **settings,
    )[0]
