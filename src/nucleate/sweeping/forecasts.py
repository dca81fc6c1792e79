"""The forecast of a whole study, before any of its runs is trained."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from nucleate.errors import SpecError
from nucleate.forecasting import Forecast, Outcome, Stair, forecast_many, measure_outcomes
from nucleate.init_scale import InitScale, PerLayer
from nucleate.problems import Problem
from nucleate.studies import Plan, PlannedRun, Study, StudySpec, tables
from nucleate.training.checks import check_widths_fit

AMONG_THE_LOWEST = 0.1
"""A loss is among the lowest if it exceeds the lowest by at most this share of it."""
LEARNED = 0.001
"""Losses below this share of the start are not told apart."""
MOST_STAIRS = 4
"""How many stairs of the loss curve `stairs_of` forecasts."""


class Recommendation(NamedTuple):
    """The smallest init scale that a budget of steps is enough for, and its learning rate.

    Attributes
    ----------
    scale : float or PerLayer
    lr : float
    latest_step : int
        By which the plateau of every seed has ended.
    loss, lowest_loss : float
        Forecast at the budget's end: of its worst seed, and of the cell where that is lowest.
    weight_decay : float
    """

    scale: float | PerLayer
    lr: float
    latest_step: int
    loss: float
    lowest_loss: float
    weight_decay: float


def forecast_study(
    spec: StudySpec, problem: Problem, *, horizon: int, budget: int | None = None, stairs: int = 0
) -> list[tuple[PlannedRun, Forecast]]:
    """A forecast for every run of a study; see `nucleate.forecast_many`.

    Parameters
    ----------
    spec : StudySpec
    problem : Problem
    horizon : int
        Runs still on their plateau at this step are not followed further.
    budget : int, optional
        The most steps for which `recommend_scale` will be asked; by default the horizon.
    stairs : int
        How many stairs of the loss curve to forecast.

    Returns
    -------
    list of (PlannedRun, Forecast)

    Raises
    ------
    SpecError
        For dropout, since the theory is of the gradient of all neurons; and as `nucleate.forecast_many`.
    """
    if spec.dropout:
        raise SpecError("Forecasts are of training without dropout; leave out the dropout.")
    plan = Plan(spec)
    if spec.model is None:
        check_widths_fit(problem, spec.hidden, spec.dtype, len(plan.runs))
    budget = horizon if budget is None else budget
    forecasts = forecast_runs(plan, plan.runs, problem, horizon=horizon, budget=budget, stairs=stairs, keys=True)
    return list(zip(plan.runs, forecasts, strict=True))


def forecast_runs(
    plan: Plan,
    runs: Sequence[PlannedRun],
    problem: Problem,
    *,
    horizon: int,
    budget: int | None = None,
    stairs: int = 0,
    keys: bool = False,
) -> list[Forecast]:
    """A forecast for each of some runs; arguments and errors as of `nucleate.forecast_many`."""
    return forecast_many(
        _models(plan, problem, runs),
        problem,
        learning_rates=[run.learning_rate for run in runs],
        weight_decays=plan.weight_decays(runs),
        **{
            name: getattr(plan.spec, name)
            for name in ("optimizer", "schedule", "warmup", "clip", "steps", "batch_size")
        },
        seeds=[run.seed for run in runs],
        horizon=horizon,
        budget=budget,
        stairs=stairs,
        keys=keys,
    )


def stairs_of(study: Study, run: int) -> tuple[Stair, ...]:
    """The stairs of a run's loss curve within its steps, forecast from its start.

    Two to four; none where the linear part makes only the first descent, or none can be forecast.
    """
    spec, plan = study.spec, Plan(study.spec)
    if spec.model is not None or spec.dropout:
        return ()
    problem = study.load_problem()
    if problem.outputs < 2 or not problem.loss.is_quadratic:
        return ()
    try:
        (expected,) = forecast_runs(plan, [plan.runs[run]], problem, horizon=spec.steps, stairs=MOST_STAIRS)
    except SpecError:
        return ()
    return expected.stairs if len(expected.stairs) > 1 else ()


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
    models = _models(Plan(spec), problem, [run for run, _ in forecasts])
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
    rows, plan = [], Plan(spec)
    for index, (run, forecast) in enumerate(forecasts):
        main = forecast.drop_steps[0.1]
        row: dict[str, Any] = {
            tables.RUN: run.number,
            **plan.cell(run),
            tables.SEED: run.seed,
            tables.IN_REGIME: forecast.in_regime,
            **{tables.drop(share): step and step.estimate for share, step in forecast.drop_steps.items()},
            tables.LOWER: main and main.lower,
            tables.UPPER: main and main.upper,
            tables.CONDENSED_SHARE: forecast.condensed_share,
            tables.GAP: forecast.gap,
            tables.AXIS_COSINE: forecast.axis_cosine,
        }
        if outcomes:
            outcome = outcomes[index]
            row |= {tables.measured_drop(share): step for share, step in outcome.drop_steps.items()}
            row |= {tables.MEASURED_CONDENSED_SHARE: outcome.condensed_share}
            row |= {tables.SAME_SIDES: outcome.same_sides(forecast)}
        rows.append(row)
    return pl.DataFrame(rows, schema=tables.forecasts_schema(spec.axis_types, with_outcomes=bool(outcomes)))


def describe_stairs(problem: Problem, forecast: Forecast, outcome: Outcome | None = None) -> list[dict[str, Any]]:
    """The stairs of one forecast for tables and JSON, with directions by the names of inputs and targets.

    An outcome of the same run is put beside.
    """
    targets = [name for column in problem.preprocessing.targets for name in column.categories or (column.name,)]
    described = []
    for place, stair in enumerate(forecast.stairs):
        row: dict[str, Any] = {
            "stair": place + 1,
            tables.IN_REGIME: stair.in_regime,
            "begins": stair.begins and stair.begins.estimate,
            "lower": stair.begins and stair.begins.lower,
            "upper": stair.begins and stair.begins.upper,
            "ends": stair.ends and stair.ends.estimate,
            "end_in_regime": stair.end_in_regime,
            "end_lower": stair.ends and stair.ends.lower,
            "end_upper": stair.ends and stair.ends.upper,
            "joining_share": stair.share,
            "loss_behind": stair.loss_level,
            "gap": stair.gap,
            "output": dict(zip(targets, stair.output.tolist(), strict=True)),
            "direction": name_directions(problem, stair.direction[None])[0],
        }
        if outcome is not None:
            found = outcome.stairs[place]
            row |= {"measured_begin": found.begins, "measured_end": found.ends, "measured_share": found.share}
        described.append(row)
    return described


def name_directions(problem: Problem, directions: Float[np.ndarray, "k d"]) -> list[dict[str, float]]:
    """The components of directions, such as a forecast's target directions, candidates or axes, by the inputs' names.

    They have d entries, or d + 1 with a first-layer bias.
    """
    names = [*problem.preprocessing.encoded_inputs, "bias"]
    return [dict(zip(names, direction.tolist(), strict=False)) for direction in directions]


def recommend_scale(
    spec: StudySpec, forecasts: Sequence[tuple[PlannedRun, Forecast]], *, budget: int
) -> Recommendation | None:
    """The smallest scale at which every seed has left its plateau and learned as much as any by the end of the budget.

    Having left the plateau is having lost 30 % of the loss, or what of 10 % and 1 % the first descent brings, and more
    than the best constant output does, by the upper end of the interval. Having learned as much is that the loss
    forecast for the budget's end, as late as that interval allows, is at most a tenth above the lowest that is
    forecast for any cell; losses below a thousandth of the start are not told apart.

    Parameters
    ----------
    spec : StudySpec
    forecasts : sequence of (PlannedRun, Forecast)
    budget : int
        In steps; at most that for which the forecasts were made.

    Returns
    -------
    Recommendation or None
        None where no scale of the study leaves its plateau within the budget.

    Raises
    ------
    SpecError
        For a budget beyond that for which the forecasts were made.
    """
    left = []
    cells: dict[tuple[float | PerLayer, float, float], list[Forecast]] = {}
    for run, forecast in forecasts:
        cells.setdefault((run.scale, run.learning_rate, run.weight_decay), []).append(forecast)
    for (scale, lr, decay), cell in cells.items():
        steps = [forecast.left_by for forecast in cell]
        known = [step for step in steps if step is not None and step <= budget]
        losses = [_loss_by(forecast, budget) for forecast in cell] if len(known) == len(cell) else [math.nan]
        # The leading part may also diverge behind its first descent.
        if all(map(math.isfinite, losses)):
            left.append(Recommendation(scale, lr, max(known), max(losses), math.nan, decay))
    if not left:
        return None
    lowest = min(cell.loss for cell in left)
    enough = max((1 + AMONG_THE_LOWEST) * lowest, LEARNED * min(forecast.loss[0] for _, forecast in forecasts))
    fitting = [cell._replace(lowest_loss=lowest) for cell in left if cell.loss <= enough]
    # Of equal scales the faster learning rate.
    return min(fitting, key=lambda cell: (-InitScale(spec.convention, cell.scale).smallness, cell.latest_step))


def _loss_by(forecast: Forecast, budget: int) -> float:
    loss = forecast.loss_by(budget)
    if loss is None:
        raise SpecError(
            f"The forecasts do not reach to a budget of {budget} steps; make them with budget={budget}, "
            "or ask for less."
        )
    return loss


def _models(plan: Plan, problem: Problem, runs: Sequence[PlannedRun]) -> list[Any]:
    return [plan.start(run, problem.inputs, problem.outputs) for run in runs]
