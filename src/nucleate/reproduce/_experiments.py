"""All experiments, in the order in which they are listed and run."""

from typing import Any

from nucleate.errors import SpecError
from nucleate.problems._wording import did_you_mean
from nucleate.reproduce import (
    _blow_up,
    _condition,
    _escape_law,
    _generalisation,
    _low_rank,
    _multiplicity,
    _phase_diagram,
    _plateau_end,
    _target_direction,
)
from nucleate.reproduce._experiment import Experiment

EXPERIMENTS: tuple[Experiment[Any], ...] = (
    _target_direction.EXPERIMENT,
    _plateau_end.EXPERIMENT,
    _blow_up.EXPERIMENT,
    _condition.EXPERIMENT,
    _low_rank.EXPERIMENT,
    _multiplicity.EXPERIMENT,
    _multiplicity.EXPERIMENT_ADAM,
    _escape_law.EXPERIMENT,
    _phase_diagram.EXPERIMENT,
    _generalisation.EXPERIMENT,
)


def get_experiment(name: str) -> Experiment[Any]:
    """The experiment of that name.

    Raises
    ------
    SpecError
        If there is none, with the names there are.

    Examples
    --------
    >>> [criterion.threshold for criterion in get_experiment("target-direction").criteria]
    [0.95, 0.1, 0.1]
    """
    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    names = [experiment.name for experiment in EXPERIMENTS]
    raise SpecError(f"There is no experiment {name!r}{did_you_mean(name, names) or '.'} There are {', '.join(names)}.")
