"""The command that all others hang on."""

from importlib.metadata import version
from typing import Annotated

import typer

app = typer.Typer(
    help="Predict, watch and use the initial condensation of neural networks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_debug = False


def debugging() -> bool:
    """Whether errors shall show where they came from."""
    return _debug


@app.callback(invoke_without_command=True)
def _nucleate(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    global _debug
    _debug = debug
    if show_version:
        print(f"nucleate {version('nucleate')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
