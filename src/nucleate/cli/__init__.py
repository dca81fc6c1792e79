"""The command: parse, call the verb, print. Rooms are imported inside the commands, so that help answers at once."""

import sys

from nucleate.cli._app import app, debugging
from nucleate.errors import NucleateError

__all__ = ["main"]


def main() -> None:
    """Run the command; what its user can mend is one line on standard error and exit code 2."""
    try:
        app()
    except NucleateError as error:
        if debugging():
            raise
        print(f"nucleate: {error}", file=sys.stderr)
        sys.exit(2)
