"""Before training: how long the plateau will last, which way the neurons will turn, and whether they all will."""

from nucleate.forecasting.expected import (
    CLEAR,
    NEAR,
    Forecast,
    KeyForecast,
    MatrixForecast,
    Stair,
    StepForecast,
)
from nucleate.forecasting.forecasts import CONDENSED, forecast, forecast_many
from nucleate.forecasting.outcomes import KeyOutcome, Outcome, StairOutcome, measure_outcomes

__all__ = [
    "CLEAR",
    "CONDENSED",
    "NEAR",
    "Forecast",
    "KeyForecast",
    "KeyOutcome",
    "MatrixForecast",
    "Outcome",
    "Stair",
    "StairOutcome",
    "StepForecast",
    "forecast",
    "forecast_many",
    "measure_outcomes",
]
