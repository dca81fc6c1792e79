"""Pictures of a study, as matplotlib Figures to save in any format or to change first: one for each of the page's."""

from nucleate.figures.grid import cosine_heat_maps, forecast_against_measured, loss_by_scale, phase_map
from nucleate.figures.reduction import before_and_after
from nucleate.figures.run import neuron_directions, singular_values, trajectory
from nucleate.figures.style import panels, png, save

__all__ = [
    "before_and_after",
    "cosine_heat_maps",
    "forecast_against_measured",
    "loss_by_scale",
    "neuron_directions",
    "panels",
    "phase_map",
    "png",
    "save",
    "singular_values",
    "trajectory",
]
