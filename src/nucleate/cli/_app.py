"""The commands and their flags."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli._options import fields_from, floats, integers, names
from nucleate.cli._output import (
    print_forecast,
    print_json,
    print_problems,
    print_study,
    print_trajectory,
    say_interrupted,
)
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.sweep import Study, StudySpec

app = typer.Typer(
    help="Predict, watch and use the initial condensation of neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_debug = False

DataArgument = Annotated[
    str | None, typer.Argument(help="A bundled set (see `nucleate problems`) or a .csv, .parquet or .npz file.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(parser=names, metavar="COLUMN", help="Target column of your file, or several with commas."),
]
Task = Annotated[str | None, typer.Option(help="regression or classification; inferred where not given.")]
DropMissing = Annotated[bool | None, typer.Option("--drop-missing", help="Leave out rows with missing values.")]
Hidden = Annotated[
    list[int] | None, typer.Option(parser=integers, metavar="WIDTHS", help="Hidden widths [default: 128,128].")
]
Activation = Annotated[str | None, typer.Option(help="Activation [default: tanh].")]
Bias = Annotated[str | None, typer.Option(help="Layers with biases: none, first or all [default: first].")]
Gains = Annotated[
    list[float] | None, typer.Option(parser=floats, metavar="G,G,...", help="Init scales: std = gain / sqrt(fan_in).")
]
Epsilons = Annotated[
    list[float] | None, typer.Option(parser=floats, metavar="E,E,...", help="Init scales: std = epsilon.")
]
Gammas = Annotated[
    list[float] | None, typer.Option(parser=floats, metavar="G,G,...", help="Init scales: std = width^-gamma.")
]
LearningRates = Annotated[
    list[float] | None, typer.Option(parser=floats, metavar="R,R,...", help="Learning rates [default: 0.05].")
]
Seeds = Annotated[int | None, typer.Option(help="How many seeds [default: 1].")]
Optimizer = Annotated[str | None, typer.Option(help="gd, momentum or adam [default: gd].")]
Momentum = Annotated[float | None, typer.Option(help="For --optimizer momentum [default: 0.9].")]
Steps = Annotated[int | None, typer.Option(help="The most steps a run may take [default: 5000].")]
BatchSize = Annotated[int | None, typer.Option(help="Rows a step; all of them where not given.")]
Records = Annotated[int | None, typer.Option(help="About how many times a run is looked at [default: 80].")]
EarlyStopping = Annotated[
    bool | None,
    typer.Option("--early-stopping/--no-early-stopping", help="End a run when validation has long got no better."),
]
SplitSeed = Annotated[int | None, typer.Option(help="Seed of the train / validation / test split [default: 0].")]
Dtype = Annotated[str | None, typer.Option(help="float32 or float64 [default: float32].")]
Spec = Annotated[Path | None, typer.Option(help="A TOML file of these settings; flags change single ones.")]
Out = Annotated[
    Path | None, typer.Option(help="The study folder [default: one named after data and spec in nucleate-studies].")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]


def debugging() -> bool:
    """Whether errors shall show where they came from."""
    return _debug


@app.callback(invoke_without_command=True)
def _nucleate(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    global _debug
    _debug = debug
    if show_version:
        print(f"nucleate {version('nucleate')}")
        raise typer.Exit


@app.command()
def train(
    data: DataArgument = None,
    target: Target = None,
    task: Task = None,
    drop_missing: DropMissing = None,
    hidden: Hidden = None,
    activation: Activation = None,
    bias: Bias = None,
    gain: Annotated[float | None, typer.Option(help="Init scale: std = gain / sqrt(fan_in).")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Init scale: std = epsilon.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Init scale: std = width^-gamma.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate [default: 0.05].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initial parameters [default: 0].")] = None,
    optimizer: Optimizer = None,
    momentum: Momentum = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    records: Records = None,
    early_stopping: EarlyStopping = None,
    split_seed: SplitSeed = None,
    dtype: Dtype = None,
    spec: Spec = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """One run: what happened in it, neuron by neuron. Default init scale: gain 0.1."""
    fields = fields_from(locals(), drop=("gain", "epsilon", "gamma", "lr", "seed"))
    scales = {"gains": gain, "epsilons": epsilon, "gammas": gamma}
    given = {name: [value] for name, value in scales.items() if value is not None}
    if not given and spec is None:
        given = {"gains": [0.1]}
    fields |= given | ({} if lr is None else {"lrs": [lr]}) | ({} if seed is None else {"seeds": [seed]})
    study = _study(fields, spec, out)
    if study.planned > 1:
        raise SpecError(f"The spec {spec} asks for {study.planned} runs; train takes one, so use nucleate sweep.")
    result, trajectory = study.results.row(0, named=True), study.trajectories.drop("run")
    if json:
        print_json({"study": str(study.path), "result": result, "trajectory": trajectory.to_dicts()})
    else:
        print_trajectory(study)


@app.command()
def sweep(
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
    steps: Steps = None,
    batch_size: BatchSize = None,
    records: Records = None,
    early_stopping: EarlyStopping = None,
    split_seed: SplitSeed = None,
    dtype: Dtype = None,
    spec: Spec = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Many runs: at which init scale and learning rate does it condense? Default scales: gains 1, 0.3, 0.1, 0.03."""
    study = _study(_with_scales(fields_from(locals()), spec), spec, out)
    if json:
        print_json({"study": str(study.path), "results": study.results.to_dicts()})
    else:
        print_study(study)


@app.command()
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
    budget: Annotated[int, typer.Option(min=1, help="Steps within which the plateau shall end.")] = 5000,
    check: Annotated[bool, typer.Option("--check", help="Train too, and put the outcome beside the forecast.")] = False,
    json: Json = False,
) -> None:
    """Before training: when does the plateau end, how far will it condense, which scale fits? Same flags as sweep."""
    fields = _with_scales(fields_from(locals(), drop=("budget", "check")), spec)
    from nucleate.sweep import check_study, forecast_study, recommend_scale, tabulate_forecasts

    checked = _spec(fields, spec)
    problem = checked.load_problem()
    # Twenty budgets: beyond that a plateau is of no use to anyone who has one.
    horizon = 20 * budget
    forecasts = forecast_study(checked, problem, horizon=horizon)
    outcomes = check_study(checked, problem, forecasts) if check else []
    table = tabulate_forecasts(checked, forecasts, outcomes)
    recommendation = recommend_scale(checked, forecasts, budget=budget)
    if json:
        chosen = recommendation and recommendation._asdict()
        print_json({"forecasts": table.to_dicts(), "budget": budget, "recommendation": chosen})
    else:
        print_forecast(checked, table, recommendation, budget, horizon)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the study and the figures go.")] = Path("nucleate-demo"),
    json: Json = False,
) -> None:
    """Condensation on a real data set: a sweep over init scales and learning rates, a table and three figures."""
    from nucleate.demo import run_demo
    from nucleate.sweep import summarise

    try:
        study, figures = run_demo(out)
    except KeyboardInterrupt:
        raise typer.Exit(say_interrupted(out)) from None
    if json:
        print_json(
            {"study": str(study.path), "table": summarise(study).to_dicts(), "figures": [str(path) for path in figures]}
        )
    else:
        print_study(study, by_cell=True, files=figures)


@app.command()
def problems(json: Json = False) -> None:
    """The bundled data sets and synthetic problems, by name."""
    from nucleate.problems import describe_problems

    rows = [problem._asdict() for problem in describe_problems()]
    if json:
        print_json({"problems": rows})
    else:
        print_problems(rows)


def _with_scales(fields: dict[str, Any], spec: Path | None) -> dict[str, Any]:
    if spec is None and not {"gains", "epsilons", "gammas"} & fields.keys():
        return fields | {"gains": [1.0, 0.3, 0.1, 0.03]}
    return fields


def _spec(fields: dict[str, Any], spec: Path | None) -> "StudySpec":
    from nucleate.sweep import make_spec, read_spec

    if spec is None and "data" not in fields:
        raise SpecError("No data are named; give a bundled set such as diabetes (see `nucleate problems`) or a file.")
    return make_spec(**fields) if spec is None else read_spec(spec, **fields)


def _study(fields: dict[str, Any], spec: Path | None, out: Path | None) -> "Study":
    from nucleate.sweep import study_folder
    from nucleate.sweep import sweep as run_sweep

    checked = _spec(fields, spec)
    out = out or study_folder(checked)
    try:
        return run_sweep(checked, out=out)
    except KeyboardInterrupt:
        raise typer.Exit(say_interrupted(out)) from None
