"""`nucleate reproduce`."""

from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli._flags import Json
from nucleate.cli._output import print_experiments, print_json, print_verdicts, say_interrupted


def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment's name, or `all` of them; `list` names them.")],
    out: Annotated[Path, typer.Option(help="Where verdicts and figures go.")] = Path("nucleate-reproduce"),
    quick: Annotated[bool, typer.Option("--quick", help="The size of seconds instead of the size of minutes.")] = False,
    json: Json = False,
) -> None:
    """Is the paper right? Named experiments with a claim, a measured verdict and a figure."""
    from nucleate.experiments import EXPERIMENTS, reproduce_all
    from nucleate.experiments import reproduce as run_experiment

    if name == "list":
        if json:
            print_json({"experiments": [one.to_dict() for one in EXPERIMENTS]})
        else:
            print_experiments(EXPERIMENTS)
        return
    try:
        if name == "all":
            verdicts, files = reproduce_all(out=out, quick=quick), [out / "index.html"]
        else:
            verdicts = [run_experiment(name, out=out, quick=quick)]
            files = [verdict.figure for verdict in verdicts]
    except KeyboardInterrupt:
        raise typer.Exit(say_interrupted(out)) from None
    if json:
        print_json({"verdicts": [verdict.to_dict() for verdict in verdicts], "files": [str(file) for file in files]})
    else:
        print_verdicts(verdicts, files)
