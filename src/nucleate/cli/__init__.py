"""The command: parse, call the verb, print. Rooms are imported inside the commands, so that help answers at once."""

import sys
import warnings
from typing import Any, NoReturn

import typer

from nucleate.cli.after_commands import plot, reduce, report
from nucleate.cli.app import app, debugging
from nucleate.cli.cache import keep_compiled
from nucleate.cli.other_commands import demo, problems, reproduce
from nucleate.cli.predict_command import predict
from nucleate.cli.study_commands import forecast, sweep, train
from nucleate.errors import NucleateError

__all__ = ["main"]

# What parsing refuses. Typer exports this class by its subclass alone.
_UsageError: Any = typer.BadParameter.__mro__[1]

for command in (forecast, train, sweep, reduce, predict, report, plot, reproduce, demo, problems):
    app.command()(command)


def main() -> None:
    """Run the command; what its user can correct is one line on standard error and exit code 2."""
    warnings.showwarning = _say_warning
    keep_compiled()
    try:
        sys.exit(app(standalone_mode=False))
    except _UsageError as error:
        _refuse(error.format_message())
    except NucleateError as error:
        if debugging():
            raise
        _refuse(error)


def _refuse(why: object) -> NoReturn:
    print(f"nucleate: {why}", file=sys.stderr)
    sys.exit(2)


def _say_warning(
    message: Warning | str, category: type, filename: str, lineno: int, file: Any = None, line: str | None = None
) -> None:
    print(f"nucleate: {message}", file=sys.stderr)
