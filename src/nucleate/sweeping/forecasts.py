"""The forecast of a whole study, before any of its runs is trained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from nucleate.errors import SpecError
from nucleate.forecasting import Forecast, Outcome, forecast_many, measure_outcomes
from nucleate.problems import Problem
from nucleate.studies import Plan, PlannedRun, StudySpec, tables


class Recommendation(NamedTuple):
    """The smallest init scale that leaves its plateau within a budget of steps, and the learning rate that does it."""

    scale: float
    lr: float
    latest_step: int


def forecast_study(spec: StudySpec, problem: Problem, *, horizon: int) -> list[tuple[PlannedRun, Forecast]]:
    """A forecast for every run of a study; see `nucleate.forecast_many`.

    Parameters
    ----------
    spec : StudySpec
    problem : Problem
    horizon : int
        Runs still on their plateau at this step are not followed further.

    Returns
    -------
    list of (PlannedRun, Forecast)

    Raises
    ------
    SpecError
        For mini-batches, since the theory is of the full gradient; and as `nucleate.forecast_many`.
    """
    if spec.batch_size is not None:
        raise SpecError("Forecasts are of full-batch training; leave out the batch size.")
    runs = Plan(spec).runs
    forecasts = forecast_many(
        _models(spec, problem, runs),
        problem,
        learning_rates=[run.learning_rate for run in runs],
        optimizer=spec.optimizer,
        horizon=horizon,
    )
    return list(zip(runs, forecasts, strict=True))


def measure_study(
    spec: StudySpec, problem: Problem, forecasts: Sequence[tuple[PlannedRun, Forecast]], *, steps: int | None = None
) -> list[Outcome]:
    """Train every run through its first descent, for comparison; see `nucleate.forecasting.measure_outcomes`.

    Parameters
    ----------
    spec : StudySpec
    problem : Problem
    forecasts : sequence of (PlannedRun, Forecast)
        As `forecast_study` gave them.
    steps : int, optional
        How long a run is trained at least whose drops have no forecast; by default the forecasts' horizon.

    Returns
    -------
    list of Outcome
        One for each forecast.
    """
    models = _models(spec, problem, [run for run, _ in forecasts])
    return measure_outcomes(models, problem, [forecast for _, forecast in forecasts], steps=steps)


def tabulate_forecasts(
    spec: StudySpec, forecasts: Sequence[tuple[PlannedRun, Forecast]], outcomes: Sequence[Outcome] = ()
) -> pl.DataFrame:
    """One row a run: the steps forecast with the interval of the 10 % drop, and beside them what was measured.

    Parameters
    ----------
    spec : StudySpec
    forecasts : sequence of (PlannedRun, Forecast)
    outcomes : sequence of Outcome
        One for each forecast, or none.

    Returns
    -------
    polars DataFrame
        See `nucleate.studies.tables.forecasts_schema`.
    """
    rows = []
    for index, (run, forecast) in enumerate(forecasts):
        main = forecast.drop_steps[0.1]
        row: dict[str, Any] = {
            tables.RUN: run.number,
            spec.convention: run.scale,
            tables.LR: run.learning_rate,
            tables.SEED: run.seed,
            tables.IN_REGIME: forecast.in_regime,
            **{tables.drop(share): step and step.estimate for share, step in forecast.drop_steps.items()},
            tables.LOWER: main and main.lower,
            tables.UPPER: main and main.upper,
            tables.CONDENSED_SHARE: forecast.condensed_share,
        }
        if outcomes:
            outcome = outcomes[index]
            row |= {tables.measured_drop(share): step for share, step in outcome.drop_steps.items()}
            row |= {tables.MEASURED_CONDENSED_SHARE: outcome.condensed_share}
            row |= {tables.SAME_SIDES: outcome.same_sides(forecast)}
        rows.append(row)
    return pl.DataFrame(rows, schema=tables.forecasts_schema(spec.convention, with_outcomes=bool(outcomes)))


def name_directions(problem: Problem, forecasts: Sequence[tuple[PlannedRun, Forecast]]) -> list[dict[str, float]]:
    """The target directions, the same for all runs, strongest first: their components by the inputs' names.

    Parameters
    ----------
    problem : Problem
    forecasts : sequence of (PlannedRun, Forecast)
    """
    directions = forecasts[0][1].target_directions
    names = [*problem.preprocessing.encoded_inputs, "bias"]
    return [dict(zip(names, direction.tolist(), strict=False)) for direction in directions]


def recommend_scale(
    spec: StudySpec, forecasts: Sequence[tuple[PlannedRun, Forecast]], *, budget: int
) -> Recommendation | None:
    """The smallest scale at which every seed leaves its plateau within the budget, by the intervals' upper ends.

    Having left it is having lost 30 % of the loss, or what of 10 % and 1 % the first descent brings, and more than the
    best constant output does.

    Parameters
    ----------
    spec : StudySpec
    forecasts : sequence of (PlannedRun, Forecast)
    budget : int
        In steps.

    Returns
    -------
    Recommendation or None
        None where no scale of the study does so.
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


def _models(spec: StudySpec, problem: Problem, runs: Sequence[PlannedRun]) -> list[Any]:
    plan = Plan(spec)
    return [plan.start(run, problem.inputs, problem.outputs) for run in runs]
