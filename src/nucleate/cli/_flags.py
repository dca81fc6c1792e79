"""The flags that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli._options import floats, integers, names

DataArgument = Annotated[
    str | None, typer.Argument(help="A bundled set (see `nucleate problems`) or a .csv, .parquet or .npz file.")
]
StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="The study folder a sweep wrote.")]
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
