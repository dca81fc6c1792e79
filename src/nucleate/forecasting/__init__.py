"""Before training: how long the plateau will last, which way the neurons will turn, and whether they all will."""

from nucleate.forecasting.expected import CLEAR, NEAR, Forecast, Stair, StepForecast
from nucleate.forecasting.forecasts import CONDENSED, Outcome, StairOutcome, forecast, forecast_many, measure_outcomes

__all__ = [
    "CLEAR",
    "CONDENSED",
    "NEAR",
    "Forecast",
    "Outcome",
    "Stair",
    "StairOutcome",
    "StepForecast",
    "forecast",
    "forecast_many",
    "measure_outcomes",
]
