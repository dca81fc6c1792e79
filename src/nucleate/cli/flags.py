"""The flags, one line each, and how commands take them: a new field of a study's spec is a new line here."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate._wording import shown
from nucleate.cli.usage import ONE_OF, as_flag
from nucleate.errors import SpecError
from nucleate.init_scale import CONVENTIONS, PerLayer, read_value

if TYPE_CHECKING:
    from nucleate.studies import StudySpec


def floats(text: str) -> list[float]:
    """``1,0.3,0.1`` as numbers."""
    return _numbers(text, float, "numbers such as 1,0.3,0.1")


def scales(text: str) -> list[float | PerLayer]:
    """``1,1x0.1x1`` as init scales."""
    return _numbers(text, read_value, "numbers such as 1,0.3,0.1, or with one for each layer such as 1,1x0.1x1")


def scale(text: str) -> float | PerLayer:
    """``0.1`` or ``1x0.1x1`` as an init scale."""
    try:
        return read_value(text)
    except ValueError:
        raise typer.BadParameter(
            f"is {shown(text)}; it must be a number, or one for each layer with x between, such as 1x0.1x1."
        ) from None


def integers(text: str) -> list[int]:
    """``128,128`` as whole numbers."""
    return _numbers(text, int, "whole numbers such as 128,128")


def names(text: str) -> list[str]:
    """``price,rent`` as names."""
    return [name.strip() for name in text.split(",")]


def _numbers(text: str, kind: Callable[[str], Any], expected: str) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"is {shown(text)}; it must be a list of {expected}.") from None


def _flag(kind: Any, help: str, *declarations: str, **options: Any) -> Any:
    return Annotated[kind | None, typer.Option(*declarations, help=help, **options)]


def _list(parser: Callable[[str], Any], metavar: str, help: str) -> Any:
    # What a parser returns for a flag of type str arrives as it is; for a list it would be wrapped in another.
    return _flag(str, help, parser=parser, metavar=metavar)


DATA_HELP = "A bundled set (see `nucleate problems`) or a file: .csv, .tsv, .txt, .xlsx, .parquet or .npz."
DATA_FLAGS: dict[str, Any] = {
    "target": _list(names, "COLUMN", "Target column of your file, or several with commas."),
    "task": _flag(str, "regression or classification; inferred where not given."),
    "loss": _flag(str, "squared, huber:DELTA, quantile:LEVEL, poisson or cross_entropy [default: the task's own]."),
    "without": _list(names, "COLUMN,...", "Columns of your file to leave out."),
    "drop_missing": _flag(bool, "Leave out rows with missing values.", "--drop-missing"),
    "impute": _flag(str, "What missing inputs count as, of the training rows: median, mean or most_frequent."),
    "decimal": _flag(str, "The decimal mark of your file: . or , [default: told from the file]."),
    "thousands": _flag(str, "What separates thousands in your file, such as , or ."),
    "missing": _list(names, "TEXT,...", "What stands for no value in your file, beside NA, - and the like."),
    "dates": _flag(str, "Which of 1/2/2024 is the day: day-first or month-first [default: told from the file]."),
    "encoding": _flag(str, "The encoding of your file, such as cp932 [default: told from the file]."),
    "sheet": _flag(str, "The sheet of an .xlsx file [default: the first]."),
    "split_seed": _flag(int, "Seed of the train / validation / test split [default: 0]."),
    "validation": _flag(float, "The share of the rows for validation [default: 0.2].", "--validation-fraction"),
    "test": _flag(float, "The share of the rows for the test [default: 0.2].", "--test-fraction"),
    "validation_file": _flag(str, "A file with your own rows for validation.", "--validation", metavar="FILE"),
    "test_file": _flag(str, "A file with your own rows for the test.", "--test", metavar="FILE"),
    "split": _flag(str, "A column that says train, validation or test of each row.", metavar="COLUMN"),
    "split_by": _flag(str, "A column of groups, each of which is whole in one part.", metavar="COLUMN"),
    "split_by_time": _flag(str, "A column of time: the last rows are for the test.", metavar="COLUMN"),
    "weights": _flag(str, "A column of what each row counts for.", metavar="COLUMN"),
}
_NETWORK_FLAGS = {
    "hidden": _list(integers, "WIDTHS", "Hidden widths [default: 128,128]."),
    "activation": _flag(str, "Activation [default: tanh]."),
    "bias": _flag(str, "Layers with biases: none, first or all [default: first]."),
    "dtype": _flag(str, "float32 or float64 [default: float32]."),
}
_OF_MODELS = "Models other than fully connected networks"


def _of_model(kind: Any, help: str, *declarations: str, **options: Any) -> Any:
    return _flag(kind, help, *declarations, rich_help_panel=_OF_MODELS, **options)


def _numbers_of_model(metavar: str, help: str) -> Any:
    return _of_model(str, help, parser=integers, metavar=metavar)


_OPTIONS_OF_MODEL = {
    "shape": _numbers_of_model("N,...", "Of a row: 28,28,1 or 40,1 for conv, channels last; 9,4 for transformer."),
    "channels": _numbers_of_model("M,...", "conv: kernels of each layer [default: 16]."),
    "kernel": _numbers_of_model("K,...", "conv: how wide kernels are [default: 3]."),
    "stride": _numbers_of_model("S,...", "conv: how far kernels move [default: 1]."),
    "padding": _of_model(str, "conv: same, valid, circular, or a number of zeros [default: same]."),
    "pool": _numbers_of_model("P,...", "conv: positions that become one along each axis [default: 1]."),
    "pooling": _of_model(str, "conv: mean or max [default: mean]."),
    "readout": _of_model(str, "conv: mean or flatten [default: mean]; transformer: last, mean or every."),
    "tokens": _of_model(int, "transformer: how many tokens there are, where rows hold their numbers."),
    "layers": _of_model(int, "transformer: 1 to 4 [default: 1]."),
    "heads": _of_model(int, "transformer: heads of a layer [default: 1]."),
    "width": _of_model(int, "transformer: numbers of a position [default: 32]."),
    "head_width": _of_model(int, "transformer: units of a head [default: width / heads]."),
    "mlp": _of_model(int, "transformer: hidden neurons of a layer, 0 for none [default: 4 width]."),
    "causal": _of_model(bool, "transformer: whether positions see those before alone.", "--causal/--bidirectional"),
    "residual": _of_model(bool, "transformer: with a residual stream.", "--residual/--no-residual"),
    "norm": _of_model(str, "transformer: rms or layer [default: none]."),
    "eps": _of_model(float, "transformer: the norm's eps [default: 1e-5]."),
    "norm_gains": _of_model(bool, "transformer: norms learn gains, and layer norms biases.", "--norm-gains"),
    "embedding": _of_model(bool, "transformer: a matrix that reads rows of numbers.", "--embedding/--no-embedding"),
    "positions": _of_model(bool, "transformer: vectors of positions.", "--positions/--no-positions"),
    "project": _of_model(bool, "transformer: an output matrix of attention.", "--project/--no-project"),
    "unembedding": _of_model(str, "transformer: free, tied or none [default: free]."),
}
_STDS = {
    "gain": "std = gain / sqrt(fan_in)",
    "epsilon": "std = epsilon",
    "gamma": "std = width^-gamma",
    "fan_in_gamma": "std = fan_in^-gamma for every matrix",
}
_GRID_FLAGS = {
    **{
        f"{name}s": _list(scales, f"{name[0].upper()},...", f"Init scales: {std}; 1x0.1x1 is one for each layer.")
        for name, std in _STDS.items()
    },
    "lrs": _list(floats, "R,R,...", "Learning rates [default: 0.05]."),
    "weight_decays": _list(floats, "D,D,...", "Weight decays, each multiplied by the learning rate [default: 0]."),
    "seeds": _flag(int, "How many seeds [default: 1]."),
}
_OPTIMIZER_FLAGS = {
    "optimizer": _flag(str, "gd, momentum, adam or adamw (decoupled weight decay) [default: gd]."),
    "momentum": _flag(float, "For --optimizer momentum [default: 0.9]."),
    "schedule": _flag(str, "How the learning rate goes on from its peak: constant, cosine or linear."),
    "warmup": _flag(int, "Steps in which the learning rate rises to its peak [default: 0]."),
    "clip": _flag(float, "The largest norm of a gradient; longer ones are cut to it."),
}
_BATCH_SIZE = {"batch_size": _flag(int, "Rows a step; all of them where not given.")}
_TRAINING_FLAGS = {
    "steps": _flag(int, "The most steps a run may take [default: 5000]."),
    **_BATCH_SIZE,
    "dropout": _flag(float, "The chance at which a hidden neuron is left out of a step [default: 0]."),
    "evaluations": _flag(int, "About how many times a run is evaluated [default: 80]."),
    "early_stopping": _flag(
        bool, "End a run when validation has long got no better.", "--early-stopping/--no-early-stopping"
    ),
}
# Taken to be refused with the reason.
_NO_FORECAST = {"dropout": _flag(float, "", hidden=True)}
_SPEC_FILE = {"spec": _flag(Path, "A TOML file of these settings; flags change single ones.")}
SCALE_FLAGS: dict[str, Any] = {
    name: _list(scale, name[0].upper(), f"Init scale: {std}; 1x0.1x1 is one for each layer.")
    for name, std in _STDS.items()
}
_ONE_RUN_FLAGS = SCALE_FLAGS | {
    "lr": _flag(float, "Learning rate [default: 0.05]."),
    "weight_decay": _flag(float, "Weight decay, multiplied by the learning rate [default: 0]."),
    "seed": _flag(int, "Seed of the initial parameters [default: 0]."),
}
_DATA = {"data": Annotated[str | None, typer.Argument(help=DATA_HELP)]}

_MODEL = {"model": _of_model(str, "conv or transformer, in the place of a fully connected network.")}
_OF_ALL = _DATA | DATA_FLAGS | _NETWORK_FLAGS | _MODEL | _OPTIONS_OF_MODEL
FORECAST_FLAGS = _OF_ALL | _GRID_FLAGS | _OPTIMIZER_FLAGS | _BATCH_SIZE | _NO_FORECAST | _SPEC_FILE
SWEEP_FLAGS = _OF_ALL | _GRID_FLAGS | _OPTIMIZER_FLAGS | _TRAINING_FLAGS | _SPEC_FILE
TRAIN_FLAGS = _OF_ALL | _ONE_RUN_FLAGS | _OPTIMIZER_FLAGS | _TRAINING_FLAGS | _SPEC_FILE

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="The study folder a sweep wrote.")]
Out = Annotated[
    Path | None, typer.Option(help="The study folder [default: one named after data and spec in nucleate-studies].")
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, gpu, or auto, which is where JAX does.")]
WhenOwned = Annotated[
    str,
    typer.Option(help="Where another process writes the study: refuse, wait, or follow, which trains nothing."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]


def takes(flags: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the command takes these flags too, and its first argument is a dict of those that were given."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]
        arguments = [one for one in own if one.default is inspect.Parameter.empty]
        options = [one for one in own if one.default is not inspect.Parameter.empty]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        added = [inspect.Parameter(name, kind, default=None, annotation=flag) for name, flag in flags.items()]

        def run(**given: Any) -> None:
            command(
                _with_own_rows({name: given[name] for name in flags if given[name] is not None}),
                **{one.name: given[one.name] for one in own},
            )

        parameters = [*arguments, *added, *options]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _with_own_rows(given: dict[str, Any]) -> dict[str, Any]:
    """The flags, files of one's own rows under the names that Python has for them."""
    fields = dict(given)
    for part in ("validation", "test"):
        file = fields.pop(f"{part}_file", None)
        if file is None:
            continue
        if part in fields:
            raise SpecError(f"--{part} gives the rows of a file, and --{part}-fraction a share; give one of them.")
        if isinstance(share_or_file(file), float):
            raise SpecError(f"--{part} is {shown(file)}; it takes a file, and --{part}-fraction a share of the rows.")
        fields[part] = file
    return fields


def share_or_file(text: str) -> float | str:
    """The number that a text says, or else the text."""
    try:
        return float(text)
    except ValueError:
        return text


def _gather_model(fields: dict[str, Any]) -> None:
    """Put the model's options into the one field that holds it; one number of several stands for all layers."""
    options = {name: fields.pop(name) for name in _OPTIONS_OF_MODEL if name in fields}
    if "model" not in fields:
        if options:
            option = as_flag(next(iter(options)))
            raise SpecError(f"{option} is an option of another model than networks; give --model too.")
        return
    options |= {name: fields.pop(name) for name in ("activation", "bias", "dtype") if name in fields}
    for name in ("kernel", "stride", "pool"):
        if len(options.get(name, ())) == 1:
            (options[name],) = options[name]
    if str(options.get("padding", "")).isdecimal():
        options["padding"] = int(options["padding"])
    fields["model"] = {"name": fields["model"], **options}


def spec_from(given: dict[str, Any], *, gains: list[float]) -> "StudySpec":
    """The spec of the flags that were given, with these gains where no init scale is."""
    from nucleate.studies import make_spec, read_spec

    fields = dict(given)
    file = fields.pop("spec", None)
    for field, one in ONE_OF.items():
        if one in fields:
            fields[field] = [fields.pop(one)]
    _gather_model(fields)
    momentum = fields.pop("momentum", None)
    if momentum is not None:
        if fields.get("optimizer") != "momentum":
            raise SpecError("--momentum is a parameter of --optimizer momentum; give that too.")
        fields["optimizer"] = {"name": "momentum", "momentum": momentum}
    if file is not None:
        return read_spec(file, **fields)
    if "data" not in fields:
        raise SpecError("No data are named; give a bundled set such as diabetes (see `nucleate problems`) or a file.")
    return make_spec(**({"gains": gains} if not {f"{name}s" for name in CONVENTIONS} & fields.keys() else {}) | fields)
