"""Before training: how long the plateau will last, which way the neurons will turn, and whether they all will."""

from nucleate.forecasting.expected import Forecast, StepForecast
from nucleate.forecasting.forecasts import Outcome, forecast, forecast_many, measure_outcomes

__all__ = [
    "Forecast",
    "Outcome",
    "StepForecast",
    "forecast",
    "forecast_many",
    "measure_outcomes",
]
