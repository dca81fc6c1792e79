"""Pictures of a study, as matplotlib Figures to save in any format or to change first: one for each of the page's."""

from nucleate.report.figures._forecast import forecast_against_measured
from nucleate.report.figures._grid import cosine_heat_maps, loss_by_scale, phase_map
from nucleate.report.figures._reduction import before_and_after
from nucleate.report.figures._run import neuron_directions, singular_values, trajectory
from nucleate.report.figures._style import png, save

__all__ = [
    "before_and_after",
    "cosine_heat_maps",
    "forecast_against_measured",
    "loss_by_scale",
    "neuron_directions",
    "phase_map",
    "png",
    "save",
    "singular_values",
    "trajectory",
]
