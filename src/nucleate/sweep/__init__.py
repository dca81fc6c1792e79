"""Many runs: a grid of init scales, learning rates and seeds, kept in a folder that survives any interruption."""

import sys

from nucleate._verb import Verb
from nucleate.sweep._forecast import (
    Recommendation,
    check_study,
    forecast_study,
    name_directions,
    recommend_scale,
    tabulate_forecasts,
)
from nucleate.sweep._plan import PlannedRun, plan_runs
from nucleate.sweep._runner import Progress, run_study
from nucleate.sweep._spec import StudySpec, make_spec, read_spec
from nucleate.sweep._store import Study
from nucleate.sweep._summary import summarise
from nucleate.sweep._sweep import study_folder, sweep

__all__ = [
    "PlannedRun",
    "Progress",
    "Recommendation",
    "Study",
    "StudySpec",
    "check_study",
    "forecast_study",
    "make_spec",
    "name_directions",
    "plan_runs",
    "read_spec",
    "recommend_scale",
    "run_study",
    "study_folder",
    "summarise",
    "sweep",
    "tabulate_forecasts",
]

sys.modules[__name__].__class__ = Verb
