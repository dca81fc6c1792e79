"""Many runs: a grid of init scales, learning rates and seeds, kept in a folder that survives any interruption."""

from nucleate.sweeping.clusters import DaskExecutor, RayExecutor
from nucleate.sweeping.executors import Executor, Future
from nucleate.sweeping.forecasts import (
    Recommendation,
    forecast_study,
    measure_study,
    recommend_scale,
    tabulate_forecasts,
)
from nucleate.sweeping.grid import sweep
from nucleate.sweeping.outlook import Outlook, Remedy, outlooks
from nucleate.sweeping.processes import ProcessExecutor

__all__ = [
    "DaskExecutor",
    "Executor",
    "Future",
    "Outlook",
    "ProcessExecutor",
    "RayExecutor",
    "Recommendation",
    "Remedy",
    "forecast_study",
    "measure_study",
    "outlooks",
    "recommend_scale",
    "sweep",
    "tabulate_forecasts",
]
