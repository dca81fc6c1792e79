"""Many runs: a grid of init scales, learning rates and seeds, kept in a folder that survives any interruption."""

from nucleate.sweeping.chunks import forecast_chunk, train_chunk
from nucleate.sweeping.clusters import DaskExecutor, RayExecutor
from nucleate.sweeping.executors import Executor, Future
from nucleate.sweeping.forecasts import (
    Recommendation,
    describe_stairs,
    forecast_study,
    measure_study,
    name_directions,
    recommend_scale,
    stairs_of,
    tabulate_forecasts,
)
from nucleate.sweeping.grid import study_folder, sweep
from nucleate.sweeping.outlook import Outlook, Remedy, outlooks
from nucleate.sweeping.processes import ProcessExecutor
from nucleate.sweeping.progress import Progress, show_progress
from nucleate.sweeping.runner import run_study

__all__ = [
    "DaskExecutor",
    "Executor",
    "Future",
    "Outlook",
    "ProcessExecutor",
    "Progress",
    "RayExecutor",
    "Recommendation",
    "Remedy",
    "describe_stairs",
    "forecast_chunk",
    "forecast_study",
    "measure_study",
    "name_directions",
    "outlooks",
    "recommend_scale",
    "run_study",
    "show_progress",
    "stairs_of",
    "study_folder",
    "sweep",
    "tabulate_forecasts",
    "train_chunk",
]
