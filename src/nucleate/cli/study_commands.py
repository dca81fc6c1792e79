"""`nucleate forecast`, `sweep`, `train` and `doctor`: before, many, one, and why one does not learn."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli.flags import FORECAST_FLAGS, SWEEP_FLAGS, TRAIN_FLAGS, Device, Json, Out, WhenOwned, spec_from, takes
from nucleate.cli.interrupted import keeps
from nucleate.cli.output import (
    judgement_as_json,
    print_diagnosis,
    print_forecast,
    print_json,
    print_measured_matrices,
    print_outlooks,
    print_stairs,
    print_study,
    print_trajectory,
    run_as_json,
    say_data,
    working,
)
from nucleate.cli.usage import as_flag
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.forecasting import KeyForecast, MatrixForecast, Outcome
    from nucleate.studies import Study, StudySpec
    from nucleate.sweeping import Executor, Outlook

_GAINS = [1.0, 0.3, 0.1, 0.03]


@takes(FORECAST_FLAGS)
def forecast(
    given: dict[str, Any],
    budget: Annotated[int, typer.Option(min=1, max=10**6, help="Steps within which the plateau shall end.")] = 5000,
    check: Annotated[bool, typer.Option("--check", help="Train too, and put the outcome beside the forecast.")] = False,
    stairs: Annotated[
        int, typer.Option(min=0, max=1000, help="Stairs of the loss curve to forecast, the first descent being one.")
    ] = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Before training: when does the plateau end, how far will it condense, which scale fits? Same flags as sweep."""
    from nucleate.devices import on_device
    from nucleate.sweeping import forecast_study, measure_study, recommend_scale, tabulate_forecasts
    from nucleate.sweeping.forecasts import describe_stairs, name_directions

    spec = spec_from(given | {"steps": budget}, gains=_GAINS)
    with on_device(device):
        problem = spec.load_problem()
        say_data(problem)
        # Twenty budgets: beyond that a plateau is of no use to anyone who has one. A schedule ends with the budget.
        horizon = 20 * budget if spec.schedule.is_constant else budget
        with working("simulating the first descent"):
            forecasts = forecast_study(spec, problem, horizon=horizon, budget=budget, stairs=stairs)
        with working("training through the first descent"):
            outcomes = measure_study(spec, problem, forecasts, steps=budget) if check else []
    runs = [expected for _, expected in forecasts]
    each: Sequence[Outcome | None] = outcomes or [None] * len(runs)
    table = tabulate_forecasts(spec, forecasts, outcomes)
    recommendation = recommend_scale(spec, forecasts, budget=budget)
    directions = name_directions(problem, runs[0].target_directions)
    made = [describe_stairs(problem, expected, outcome) for expected, outcome in zip(runs, each, strict=True)]
    if not json:
        print_forecast(spec, table, runs, directions, recommendation, budget, horizon)
        print_measured_matrices(outcomes)
        if stairs:
            print_stairs(spec, table, made, stairs, horizon)
        return
    curves = [
        {
            "sides": None if expected.sides is None else expected.sides.tolist(),
            "axis": None if expected.axis is None else name_directions(problem, expected.axis[None])[0],
            "counts_against": expected.counts_against,
            "loss_curve": {"steps": expected.steps.tolist(), "loss": expected.loss.tolist()},
            "weight_decay": expected.weight_decay,
            "decays_away": expected.decays_away,
            "matrices": [_plain(one) for one in expected.matrices],
            "keys": [_plain(one) for one in expected.keys],
            "measured_matrices": outcome and outcome.matrices,
            "measured_keys": outcome and [asdict(one) for one in outcome.keys],
            "stairs": stairs_made,
        }
        for expected, stairs_made, outcome in zip(runs, made, each, strict=True)
    ]
    print_json(
        {
            "forecasts": [row | curve for row, curve in zip(table.to_dicts(), curves, strict=True)],
            "target_directions": directions,
            "gap": runs[0].gap,
            "candidates": name_directions(problem, runs[0].candidates),
            "budget": budget,
            "notes": list(problem.notes),
            "columns": problem.columns.to_dicts(),
            "recommendation": recommendation and recommendation._asdict(),
        }
    )


def _plain(expected: "MatrixForecast | KeyForecast") -> dict[str, Any]:
    """What is expected of a matrix, or of keys, as JSON has it."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in asdict(expected).items()}


@takes(SWEEP_FLAGS)
def sweep(
    given: dict[str, Any],
    out: Out = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Train on the workers of this dask cluster.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Train on the workers of this Ray cluster.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Train on the CPU in so many processes, each of which takes 16 runs at a time.", min=1),
    ] = None,
    device: Device = "auto",
    when_owned: WhenOwned = "refuse",
    json: Json = False,
) -> None:
    """Many runs: at which init scale and learning rate does it condense? Default scales: gains 1, 0.3, 0.1, 0.03."""
    spec = spec_from(given, gains=_GAINS)
    with _executor(dask, ray, processes, device) as executor:
        device = device if processes is None else "cpu"
        study = _run(spec, out, device, when_owned, executor)
        # What the workers of a cluster have, this process may lack.
        stuck = _outlooks(study, device if dask is None and ray is None else "auto")
    if json:
        results = [run_as_json(study, run) for run in study.results.to_dicts()]
        said = {"study": str(study.path), "results": results, "stuck": [one.to_json() for one in stuck]}
        print_json(said | judgement_as_json(study))
    else:
        print_outlooks(stuck)
        print_study(study)


@takes(TRAIN_FLAGS)
def train(
    given: dict[str, Any],
    out: Out = None,
    device: Device = "auto",
    when_owned: WhenOwned = "refuse",
    json: Json = False,
) -> None:
    """One run: what happened in it, neuron by neuron. Default init scale: gain 0.1."""
    from nucleate.studies import tables

    study = train_one(given, out, device, when_owned)
    stuck = _outlooks(study, device)
    if json:
        result = run_as_json(study, study.results.row(0, named=True))
        trajectory = study.trajectories.drop(tables.RUN).to_dicts()
        said = {"study": str(study.path), "result": result, "trajectory": trajectory}
        print_json(said | {"stuck": [one.to_json() for one in stuck]} | judgement_as_json(study))
    else:
        print_outlooks(stuck)
        print_trajectory(study)


def train_one(given: dict[str, Any], out: Path | None, device: str, when_owned: str) -> "Study":
    """The study of the one run that these flags ask for."""
    from nucleate.studies import Plan

    spec = spec_from(given, gains=[0.1])
    runs = len(Plan(spec).runs)
    if runs > 1:
        raise SpecError(f"The spec {given['spec']} asks for {runs} runs; train takes one, so use nucleate sweep.")
    return _run(spec, out, device, when_owned)


@takes(TRAIN_FLAGS)
def doctor(
    given: dict[str, Any],
    run: Annotated[int | None, typer.Option(help="Of a study folder in the place of data, the run.", min=0)] = None,
    no_try: Annotated[bool, typer.Option("--no-try", help="Train nothing to find which setting helps.")] = False,
    out: Out = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Why does it not learn, and what helps? Trains one run, as train does, or takes the folder of a study for DATA."""
    from nucleate.devices import on_device
    from nucleate.doctor import diagnose
    from nucleate.reporting import say_diagnosis

    study = _trained(given, run, out, device)
    with on_device(device), working("trying what may hold the run back"):
        diagnosis = diagnose(study, run=run, trials=not no_try)
    if json:
        said = diagnosis.to_json()
        for finding, sentence in zip(said["findings"], say_diagnosis(diagnosis), strict=True):
            finding["sentence"] = sentence
        print_json({"study": str(study.path), **said})
    else:
        print_diagnosis(study, diagnosis)


def _trained(given: dict[str, Any], run: int | None, out: Path | None, device: str) -> "Study":
    from nucleate.studies import Study

    data = given.get("data")
    if data is None or not Path(data).is_dir():
        if run is not None:
            raise SpecError("--run is the number of a run in a study folder; give that in the place of the data.")
        return train_one(given, out, device, "refuse")
    others = [as_flag(name) for name in given if name != "data"] + (["--out"] if out else [])
    if others:
        raise SpecError(f"The runs of the study {data} are trained already; leave out {', '.join(others)}.")
    return Study.load(data)


def _outlooks(study: "Study", device: str) -> "tuple[Outlook, ...]":
    from nucleate.devices import on_device
    from nucleate.sweeping import outlooks

    with on_device(device), working("forecasting the runs that stayed on their plateau"):
        return outlooks(study)


def _executor(
    dask: str | None, ray: str | None, processes: int | None, device: str
) -> AbstractContextManager["Executor | None"]:
    asked = {"--dask": dask, "--ray": ray, "--processes": processes}
    flags = [flag for flag, given in asked.items() if given is not None]
    if len(flags) > 1:
        raise SpecError(f"{' and '.join(flags)} each say where runs are trained; give one of them.")
    if processes is not None and device == "gpu":
        raise SpecError("--processes trains on the CPU, and --device is gpu; leave out one of them.")
    if not flags:
        return nullcontext()
    from nucleate.sweeping import DaskExecutor, ProcessExecutor, RayExecutor

    if processes is not None:
        return ProcessExecutor(processes)
    return DaskExecutor(dask) if dask is not None else RayExecutor(ray or "")


def _run(
    spec: "StudySpec", out: Path | None, device: str, when_owned: str, executor: "Executor | None" = None
) -> "Study":
    from nucleate.sweeping import sweep as run_sweep
    from nucleate.sweeping.grid import study_folder

    out = study_folder(spec) if out is None else out
    keeps(out)
    return run_sweep(spec, out=out, executor=executor, device=device, when_owned=when_owned)
