"""`nucleate plot`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli._flags import Json, StudyArgument
from nucleate.cli._output import print_json


class Kind(StrEnum):
    """The pictures there are."""

    loss = "loss"
    cosine = "cosine"
    phase = "phase"
    forecast = "forecast"
    trajectory = "trajectory"
    singular = "singular"
    directions = "directions"
    reduction = "reduction"


def plot(
    study: StudyArgument,
    kind: Annotated[Kind, typer.Option(help="Which picture.")] = Kind.phase,
    run: Annotated[
        int | None, typer.Option(help="Of which run, for trajectory, singular and directions [default: recommended].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A .pdf, .png or .svg file [default: KIND.pdf].")] = None,
    json: Json = False,
) -> None:
    """After a sweep: one picture of a study as a file for a paper."""
    from nucleate import figures
    from nucleate.reduction import FOLDER, load_reduction
    from nucleate.studies import Study

    loaded = Study.load(study)
    match kind:
        case Kind.loss:
            figure = figures.loss_by_scale(loaded)
        case Kind.cosine:
            figure = figures.cosine_heat_maps(loaded)
        case Kind.phase:
            figure = figures.phase_map(loaded)
        case Kind.forecast:
            figure = figures.forecast_against_measured(loaded)
        case Kind.trajectory:
            figure = figures.trajectory(loaded, run)
        case Kind.singular:
            figure = figures.singular_values(loaded, run)
        case Kind.directions:
            figure = figures.neuron_directions(loaded, run)
        case Kind.reduction:
            figure = figures.before_and_after(load_reduction(study / FOLDER))
    out = out or Path(f"{kind.value}.pdf")
    figures.save(figure, out)
    if json:
        print_json({"figure": str(out)})
    else:
        print(out)
