"""`nucleate forecast`."""

from typing import Annotated

import typer

from nucleate.cli._flags import (
    Activation,
    Bias,
    DataArgument,
    DropMissing,
    Dtype,
    Epsilons,
    Gains,
    Gammas,
    Hidden,
    Json,
    LearningRates,
    Momentum,
    Optimizer,
    Seeds,
    Spec,
    SplitSeed,
    Target,
    Task,
)
from nucleate.cli._options import fields_from
from nucleate.cli._output import print_forecast, print_json, working
from nucleate.cli._studies import spec_from, with_scales


def forecast(
    data: DataArgument = None,
    target: Target = None,
    task: Task = None,
    drop_missing: DropMissing = None,
    hidden: Hidden = None,
    activation: Activation = None,
    bias: Bias = None,
    gains: Gains = None,
    epsilons: Epsilons = None,
    gammas: Gammas = None,
    lrs: LearningRates = None,
    seeds: Seeds = None,
    optimizer: Optimizer = None,
    momentum: Momentum = None,
    split_seed: SplitSeed = None,
    dtype: Dtype = None,
    spec: Spec = None,
    budget: Annotated[int, typer.Option(min=1, max=10**6, help="Steps within which the plateau shall end.")] = 5000,
    check: Annotated[bool, typer.Option("--check", help="Train too, and put the outcome beside the forecast.")] = False,
    json: Json = False,
) -> None:
    """Before training: when does the plateau end, how far will it condense, which scale fits? Same flags as sweep."""
    fields = with_scales(fields_from(locals(), drop=("budget", "check")), spec)
    from nucleate.sweeping import check_study, forecast_study, name_directions, recommend_scale, tabulate_forecasts

    checked = spec_from(fields, spec)
    problem = checked.load_problem()
    # Twenty budgets: beyond that a plateau is of no use to anyone who has one.
    horizon = 20 * budget
    with working("simulating the first descent"):
        forecasts = forecast_study(checked, problem, horizon=horizon)
    with working("training through the first descent"):
        outcomes = check_study(checked, problem, forecasts, steps=budget) if check else []
    table = tabulate_forecasts(checked, forecasts, outcomes)
    recommendation = recommend_scale(checked, forecasts, budget=budget)
    directions = name_directions(problem, forecasts)
    if json:
        chosen = recommendation and recommendation._asdict()
        print_json(
            {
                "forecasts": [
                    row
                    | {
                        "sides": None if expected.sides is None else expected.sides.tolist(),
                        "loss_curve": {"steps": expected.steps.tolist(), "loss": expected.loss.tolist()},
                    }
                    for row, (_, expected) in zip(table.to_dicts(), forecasts, strict=True)
                ],
                "target_directions": directions,
                "budget": budget,
                "recommendation": chosen,
            }
        )
    else:
        print_forecast(checked, table, directions, recommendation, budget, horizon)
