"""`nucleate train`."""

from typing import Annotated

import typer

from nucleate.cli._flags import (
    Activation,
    BatchSize,
    Bias,
    DataArgument,
    DropMissing,
    Dtype,
    EarlyStopping,
    Hidden,
    Json,
    Momentum,
    Optimizer,
    Out,
    Records,
    Spec,
    SplitSeed,
    Steps,
    Target,
    Task,
)
from nucleate.cli._options import fields_from
from nucleate.cli._output import print_json, print_trajectory
from nucleate.cli._studies import run_study, spec_from
from nucleate.errors import SpecError


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
    from nucleate.studies import plan_runs

    checked = spec_from(fields, spec)
    runs = len(plan_runs(checked))
    if runs > 1:
        raise SpecError(f"The spec {spec} asks for {runs} runs; train takes one, so use nucleate sweep.")
    study = run_study(checked, out)
    result, trajectory = study.results.row(0, named=True), study.trajectories.drop("run")
    if json:
        print_json({"study": str(study.path), "result": result, "trajectory": trajectory.to_dicts()})
    else:
        print_trajectory(study)
