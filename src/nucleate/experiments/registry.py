"""All experiments, in the order in which they are listed and run."""

from typing import Any

from nucleate._wording import choose_one, shown
from nucleate.errors import SpecError
from nucleate.experiments import (
    anchors,
    blow_up,
    condition,
    dropout,
    escape_law,
    generalization,
    kernels,
    low_rank,
    multiplicity,
    norm_eps,
    phase_diagram,
    plateau_end,
    staircase,
    target_direction,
    two_stages,
    units_in_use,
    weight_decay,
)
from nucleate.experiments.experiment import Experiment

EXPERIMENTS: tuple[Experiment[Any], ...] = (
    target_direction.EXPERIMENT,
    plateau_end.EXPERIMENT,
    blow_up.EXPERIMENT,
    condition.EXPERIMENT,
    low_rank.EXPERIMENT,
    multiplicity.EXPERIMENT,
    multiplicity.EXPERIMENT_ADAM,
    escape_law.EXPERIMENT,
    phase_diagram.EXPERIMENT,
    generalization.EXPERIMENT,
    dropout.EXPERIMENT,
    weight_decay.EXPERIMENT,
    kernels.EXPERIMENT,
    units_in_use.EXPERIMENT,
    anchors.EXPERIMENT,
    staircase.EXPERIMENT,
    two_stages.EXPERIMENT,
    norm_eps.EXPERIMENT,
)


def get_experiment(name: str) -> Experiment[Any]:
    """The experiment of that name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Experiment

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
    raise SpecError(f"There is no experiment {shown(name)}{choose_one(name, names)}.")
