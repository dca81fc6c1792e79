"""`nucleate forecast`, `nucleate sweep` and `nucleate train`: before, many and one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli.flags import FORECAST_FLAGS, SWEEP_FLAGS, TRAIN_FLAGS, Json, Out, spec_from, takes
from nucleate.cli.output import (
    print_forecast,
    print_json,
    print_study,
    print_trajectory,
    say_data,
    say_interrupted,
    working,
)
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.studies import Study, StudySpec

_GAINS = [1.0, 0.3, 0.1, 0.03]


@takes(FORECAST_FLAGS)
def forecast(
    given: dict[str, Any],
    budget: Annotated[int, typer.Option(min=1, max=10**6, help="Steps within which the plateau shall end.")] = 5000,
    check: Annotated[bool, typer.Option("--check", help="Train too, and put the outcome beside the forecast.")] = False,
    json: Json = False,
) -> None:
    """Before training: when does the plateau end, how far will it condense, which scale fits? Same flags as sweep."""
    from nucleate.sweeping import forecast_study, measure_study, name_directions, recommend_scale, tabulate_forecasts

    spec = spec_from(given, gains=_GAINS)
    problem = spec.load_problem()
    say_data(problem)
    # Twenty budgets: beyond that a plateau is of no use to anyone who has one.
    horizon = 20 * budget
    with working("simulating the first descent"):
        forecasts = forecast_study(spec, problem, horizon=horizon, budget=budget)
    with working("training through the first descent"):
        outcomes = measure_study(spec, problem, forecasts, steps=budget) if check else []
    table = tabulate_forecasts(spec, forecasts, outcomes)
    recommendation = recommend_scale(spec, forecasts, budget=budget)
    first = forecasts[0][1]
    directions = name_directions(problem, first.target_directions)
    if not json:
        runs = [expected for _, expected in forecasts]
        print_forecast(spec, table, runs, directions, recommendation, budget, horizon)
        return
    curves = [
        {
            "sides": None if expected.sides is None else expected.sides.tolist(),
            "axis": None if expected.axis is None else name_directions(problem, expected.axis[None])[0],
            "counts_against": expected.counts_against,
            "loss_curve": {"steps": expected.steps.tolist(), "loss": expected.loss.tolist()},
        }
        for _, expected in forecasts
    ]
    print_json(
        {
            "forecasts": [row | curve for row, curve in zip(table.to_dicts(), curves, strict=True)],
            "target_directions": directions,
            "gap": first.gap,
            "candidates": name_directions(problem, first.candidates),
            "budget": budget,
            "notes": list(problem.notes),
            "columns": problem.columns.to_dicts(),
            "recommendation": recommendation and recommendation._asdict(),
        }
    )


@takes(SWEEP_FLAGS)
def sweep(given: dict[str, Any], out: Out = None, json: Json = False) -> None:
    """Many runs: at which init scale and learning rate does it condense? Default scales: gains 1, 0.3, 0.1, 0.03."""
    study = _run(spec_from(given, gains=_GAINS), out)
    if json:
        print_json({"study": str(study.path), "results": study.results.to_dicts()})
    else:
        print_study(study)


@takes(TRAIN_FLAGS)
def train(given: dict[str, Any], out: Out = None, json: Json = False) -> None:
    """One run: what happened in it, neuron by neuron. Default init scale: gain 0.1."""
    from nucleate.studies import Plan, tables

    spec = spec_from(given, gains=[0.1])
    runs = len(Plan(spec).runs)
    if runs > 1:
        raise SpecError(f"The spec {given['spec']} asks for {runs} runs; train takes one, so use nucleate sweep.")
    study = _run(spec, out)
    if json:
        result, trajectory = study.results.row(0, named=True), study.trajectories.drop(tables.RUN)
        print_json({"study": str(study.path), "result": result, "trajectory": trajectory.to_dicts()})
    else:
        print_trajectory(study)


def _run(spec: "StudySpec", out: Path | None) -> "Study":
    from nucleate.sweeping import study_folder
    from nucleate.sweeping import sweep as run_sweep

    out = study_folder(spec) if out is None else out
    try:
        return run_sweep(spec, out=out)
    except KeyboardInterrupt:
        raise typer.Exit(say_interrupted(out)) from None
