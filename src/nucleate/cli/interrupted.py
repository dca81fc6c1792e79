"""What a command says that a signal ends. Nothing is imported here that takes time."""

import json
import os
import signal
import sys
from pathlib import Path

from nucleate._interrupts import write

_SHOW_CURSOR = "\x1b[?25h"
_kept_in: Path | None = None
_has_answered = False


def keeps(folder: Path | None) -> None:
    """From now on the command keeps what is done in this folder."""
    global _kept_in
    _kept_in = folder


def answers() -> None:
    """From now on the command prints its answer, beside which there is no other."""
    global _has_answered
    _has_answered = True


def sentence(number: signal.Signals) -> str:
    """What the command leaves, and how to go on."""
    by = "" if number == signal.SIGINT else f" by {number.name}"
    if _kept_in is not None and _kept_in.is_dir() and any(_kept_in.iterdir()):
        return f"interrupted{by}; what is done is kept in {_kept_in}. The same command goes on from there."
    return f"interrupted{by}; nothing is kept. The same command begins anew."


def say_interrupted(number: signal.Signals) -> None:
    """On standard error, and under ``--json`` as an object on standard output, past Python's buffers."""
    said = sentence(number)
    shown = said if said.isprintable() else ascii(said)[1:-1]
    write(2, f"{_SHOW_CURSOR if os.isatty(2) else ''}\nnucleate: {shown}\n")
    if "--json" in sys.argv and not _has_answered:
        error = {"kind": "Interrupted", "message": said, "exit_code": 128 + number}
        write(1, json.dumps({"error": error}) + "\n")
