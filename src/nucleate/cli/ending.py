"""How a command ends: what it printed, or one sentence (and under ``--json`` one object) on what went wrong."""

import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import cache
from io import StringIO
from typing import Any, NamedTuple

from nucleate._interrupts import signal_of
from nucleate._wording import named_by
from nucleate.cli import faults
from nucleate.cli.cache import keep_compiled
from nucleate.cli.interrupted import answers, keeps, sentence
from nucleate.cli.output import json_line, say
from nucleate.cli.streams import own_streams
from nucleate.cli.usage import flag_of, is_usage_error, say_usage
from nucleate.errors import NucleateError

_READER_GONE = 141
_OWN_FAULT = 70


class Ending(NamedTuple):
    """An exit code, and where something went wrong its kind and a sentence."""

    code: int
    kind: str = ""
    message: str = ""


def run(arguments: list[str]) -> int:
    """Run a command, say how it ends, and return its exit code."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    with own_streams(), _warnings_in_a_line(), named_by(lambda name: None):
        printed = StringIO()
        try:
            if sys.stdout is None:
                raise NucleateError("Standard output is closed; send it to a file, or to /dev/null.")
            with redirect_stdout(printed) if as_json else nullcontext():
                code = _command(arguments)
            sys.stdout.flush()
            ending = Ending(code)
        except BaseException as error:
            if debug:
                traceback.print_exception(error)
            ending = _ending(error, arguments)
        answers()
        return _tell(ending, printed.getvalue() if as_json else None)


def _command(arguments: list[str]) -> int:
    for argument in arguments:
        if "\0" in argument:
            raise NucleateError(f"The argument {argument} holds a NUL character; leave it out.")
        try:
            argument.encode()
        except UnicodeEncodeError:
            bare = os.fsencode(argument).decode("utf-8", "backslashreplace")
            encoding = sys.getfilesystemencoding()
            raise NucleateError(
                f"The argument {bare} is no text in this locale's encoding {encoding}; rename the file, or set "
                "LANG=C.UTF-8."
            ) from None
    keep_compiled()
    import typer

    command = _commands()
    keeps(None)
    if "--help" not in arguments:
        faults.refuse_few_addresses()
    # No window is ever opened, so what matplotlib would open one with is of no concern.
    os.environ.pop("MPLBACKEND", None)
    try:
        with command.make_context("nucleate", list(arguments)) as context, named_by(flag_of(command, arguments)):
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


@cache
def _commands() -> Any:
    """All commands, of which building takes longer than most refusals."""
    import typer

    from nucleate.cli.app import app

    return typer.main.get_command(app)


def _ending(error: BaseException, arguments: list[str]) -> Ending:
    if isinstance(error, KeyboardInterrupt):
        signal = signal_of(error)
        return Ending(128 + signal, "Interrupted", sentence(signal))
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        return Ending(_READER_GONE)
    if is_usage_error(error):
        return Ending(2, "UsageError", say_usage(error))
    if isinstance(error, NucleateError):
        return Ending(2, type(error).__name__, str(error))
    known = faults.of_surroundings(error)
    if known is not None:
        return Ending(2, "EnvironmentError", known)
    return Ending(_OWN_FAULT, "InternalError", faults.of_nucleate(error, arguments))


def _tell(ending: Ending, printed: str | None) -> int:
    """Print what is left to print; what cannot be written to standard output is the last thing to go wrong."""
    if ending.message:
        say(f"nucleate: {ending.message}", aside=True)
    try:
        if sys.stdout is not None:
            sys.stdout.write("" if printed is None else _as_encoded(_one_object(ending, printed)))
            sys.stdout.flush()
    except BrokenPipeError:
        return ending.code or _READER_GONE
    except NucleateError as error:
        # It has been said already if it is what ended the command.
        if ending.message != str(error):
            say(f"nucleate: {error}", aside=True)
        return ending.code or 2
    return ending.code


def _one_object(ending: Ending, printed: str) -> str:
    if ending.message:
        error = {"kind": ending.kind, "message": ending.message, "exit_code": ending.code}
        return json_line({"error": error})
    # Help and the version are the only things that a command prints as text then.
    return printed if printed.startswith("{") else json_line({"text": printed})


def _as_encoded(text: str) -> str:
    """What standard output's encoding lacks is escaped as JSON has it."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text)) + "\n"
    return text


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"nucleate: {message}", aside=True)

    before, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = before
