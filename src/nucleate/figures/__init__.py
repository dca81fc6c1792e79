"""Pictures of a study, as matplotlib Figures to save in any format or to change first: one for each of the page's."""

from nucleate.figures.grid import cosine_heat_maps, forecast_against_measured, loss_by_scale, phase_map
from nucleate.figures.reduction import before_and_after
from nucleate.figures.run import in_plane, neuron_directions, singular_values, trajectory, unit_vectors
from nucleate.figures.style import BLUE, FORMATS, GREEN, GREY, ORANGE, check_path, colors, legend, panels, png, save

__all__ = [
    "BLUE",
    "FORMATS",
    "GREEN",
    "GREY",
    "ORANGE",
    "before_and_after",
    "check_path",
    "colors",
    "cosine_heat_maps",
    "forecast_against_measured",
    "in_plane",
    "legend",
    "loss_by_scale",
    "neuron_directions",
    "panels",
    "phase_map",
    "png",
    "save",
    "singular_values",
    "trajectory",
    "unit_vectors",
]
