"""The commands and what they hang on."""

from importlib.metadata import version
from typing import Annotated

import typer

from nucleate.cli.after_commands import plot, predict, reduce, report
from nucleate.cli.inspect_command import inspect
from nucleate.cli.other_commands import convert, demo, problems, reproduce
from nucleate.cli.output import say
from nucleate.cli.study_commands import doctor, forecast, sweep, train

app = typer.Typer(
    help="Predict, watch and use the initial condensation of neural networks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_STUDIES = (forecast, train, sweep, doctor, reduce, predict, report, plot)
for command in (*_STUDIES, inspect, reproduce, demo, problems, convert):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _nucleate(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    if show_version:
        say(f"nucleate {version('nucleate')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit
