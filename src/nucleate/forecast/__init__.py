"""Before training: how long the plateau will last, which way the neurons will turn, and whether they all will."""

import sys

from nucleate._verb import Verb
from nucleate.forecast._check import Outcome, check_forecasts
from nucleate.forecast._expected import Forecast, StepForecast
from nucleate.forecast._forecast import forecast, forecast_many

__all__ = ["Forecast", "Outcome", "StepForecast", "check_forecasts", "forecast", "forecast_many"]

sys.modules[__name__].__class__ = Verb
