"""The forecast of a whole study, before any of its runs is trained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from nucleate.errors import SpecError
from nucleate.forecasting import Forecast, Outcome, check_forecasts, forecast_many
from nucleate.problems import Problem
from nucleate.studies.plan import PlannedRun, plan_runs
from nucleate.studies.spec import StudySpec

# What may not be reached; without its type, a chunk in which nothing is would not fit those of the others.
_REACHED = dict.fromkeys(
    [
        *(f"{told}_{share}_percent" for told in ("drop", "measured") for share in (1, 10, 30)),
        *("lower_10", "upper_10"),
    ],
    pl.Int64,
)


class Recommendation(NamedTuple):
    """The smallest init scale that leaves its plateau within a budget of steps, and the learning rate that does it."""

    scale: float
    lr: float
    latest_step: int


def forecast_study(spec: StudySpec, problem: Problem, *, horizon: int) -> list[tuple[PlannedRun, Forecast]]:
    """A forecast for every run of the study; see `forecast_runs`."""
    return forecast_runs(spec, problem, plan_runs(spec), horizon=horizon)


def forecast_runs(
    spec: StudySpec, problem: Problem, runs: Sequence[PlannedRun], *, horizon: int
) -> list[tuple[PlannedRun, Forecast]]:
    """A forecast for each of these runs; see `nucleate.forecast_many`.

    Raises
    ------
    SpecError
        For mini-batches: the theory is of the full gradient.
    """
    if spec.batch_size is not None:
        raise SpecError("Forecasts are of full-batch training; leave out the batch size.")
    forecasts = forecast_many(
        [run.network(spec, problem) for run in runs],
        problem,
        learning_rates=[run.learning_rate for run in runs],
        optimizer=spec.optimizer,
        momentum=spec.momentum,
        horizon=horizon,
    )
    return list(zip(runs, forecasts, strict=True))


def check_study(
    spec: StudySpec, problem: Problem, forecasts: Sequence[tuple[PlannedRun, Forecast]], *, steps: int | None = None
) -> list[Outcome]:
    """Train every run through its first descent, for comparison; see `nucleate.forecasting.check_forecasts`."""
    networks = [run.network(spec, problem) for run, _ in forecasts]
    expected = [forecast for _, forecast in forecasts]
    return check_forecasts(networks, problem, expected, momentum=spec.momentum, steps=steps)


def tabulate_forecasts(
    spec: StudySpec, forecasts: Sequence[tuple[PlannedRun, Forecast]], outcomes: Sequence[Outcome] = ()
) -> pl.DataFrame:
    """One row a run: the steps forecast with the interval of the 10 % drop, and beside them what was measured."""
    rows = []
    for index, (run, forecast) in enumerate(forecasts):
        first, middle, last = (forecast.drop_steps[share] for share in (0.01, 0.1, 0.3))
        row: dict[str, Any] = {
            spec.convention: run.scale,
            "lr": run.learning_rate,
            "seed": run.seed,
            "in_regime": forecast.in_regime,
            "drop_1_percent": first and first.estimate,
            "drop_10_percent": middle and middle.estimate,
            "lower_10": middle and middle.lower,
            "upper_10": middle and middle.upper,
            "drop_30_percent": last and last.estimate,
            "condensed_share": forecast.condensed_share,
        }
        if outcomes:
            outcome = outcomes[index]
            row |= {
                "measured_1_percent": outcome.drop_steps[0.01],
                "measured_10_percent": outcome.drop_steps[0.1],
                "measured_30_percent": outcome.drop_steps[0.3],
                "measured_condensed_share": outcome.condensed_share,
                "same_sides": outcome.same_sides(forecast),
            }
        rows.append(row)
    return pl.DataFrame(rows, schema_overrides=_REACHED, infer_schema_length=None)


def name_directions(problem: Problem, forecasts: Sequence[tuple[PlannedRun, Forecast]]) -> list[dict[str, float]]:
    """The target directions, the same for all runs, strongest first: their components by the inputs' names."""
    directions = forecasts[0][1].target_directions
    names = [*problem.preprocessing.encoded_inputs, "bias"]
    return [dict(zip(names, direction.tolist(), strict=False)) for direction in directions]


def recommend_scale(
    spec: StudySpec, forecasts: Sequence[tuple[PlannedRun, Forecast]], *, budget: int
) -> Recommendation | None:
    """The smallest scale at which every seed leaves its plateau within the budget, by the intervals' upper ends.

    Having left it is having lost 30 % of the loss, or what of 10 % and 1 % the first descent brings, and more than the
    best constant output does. None where no scale of the study does so.
    """
    fitting = []
    for scale in spec.scales:
        for lr in spec.lrs:
            cell = [forecast for run, forecast in forecasts if (run.scale, run.learning_rate) == (scale, lr)]
            latest = [forecast.left_by for forecast in cell]
            known = [step for step in latest if step is not None]
            if len(known) == len(cell) and max(known) <= budget:
                fitting.append(Recommendation(scale, lr, max(known)))
    # A larger gamma is a smaller scale; of equal scales the faster learning rate.
    sign = -1 if spec.convention == "gamma" else 1
    return min(fitting, key=lambda cell: (sign * cell.scale, cell.latest_step), default=None)
