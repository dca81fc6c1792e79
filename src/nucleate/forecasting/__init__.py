"""Before training: how long the plateau will last, which way the neurons will turn, and whether they all will."""

from nucleate.forecasting.expected import Forecast, StepForecast
from nucleate.forecasting.forecasts import Outcome, check_forecasts, forecast, forecast_many

__all__ = [
    "Forecast",
    "Outcome",
    "StepForecast",
    "check_forecasts",
    "forecast",
    "forecast_many",
]
