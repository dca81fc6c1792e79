"""`nucleate sweep`."""

from nucleate.cli._flags import (
    Activation,
    BatchSize,
    Bias,
    DataArgument,
    DropMissing,
    Dtype,
    EarlyStopping,
    Epsilons,
    Gains,
    Gammas,
    Hidden,
    Json,
    LearningRates,
    Momentum,
    Optimizer,
    Out,
    Records,
    Seeds,
    Spec,
    SplitSeed,
    Steps,
    Target,
    Task,
)
from nucleate.cli._options import fields_from
from nucleate.cli._output import print_json, print_study
from nucleate.cli._studies import run_study, spec_from, with_scales


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
    study = run_study(spec_from(with_scales(fields_from(locals()), spec), spec), out)
    if json:
        print_json({"study": str(study.path), "results": study.results.to_dicts()})
    else:
        print_study(study)
