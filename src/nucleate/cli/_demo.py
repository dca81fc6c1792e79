"""`nucleate demo`."""

from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli._flags import Json
from nucleate.cli._output import print_json, print_study, say_interrupted


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
