"""Many runs: a grid of init scales, learning rates and seeds, kept in a folder that survives any interruption."""

from nucleate.sweeping.forecasts import (
    Recommendation,
    check_study,
    forecast_study,
    name_directions,
    recommend_scale,
    tabulate_forecasts,
)
from nucleate.sweeping.grid import study_folder, sweep
from nucleate.sweeping.runner import Progress, run_study

__all__ = [
    "Progress",
    "Recommendation",
    "check_study",
    "forecast_study",
    "name_directions",
    "recommend_scale",
    "run_study",
    "study_folder",
    "sweep",
    "tabulate_forecasts",
]
