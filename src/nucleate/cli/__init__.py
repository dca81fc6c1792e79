"""The command: parse, call the verb, print. Rooms are imported inside the commands, so that help answers at once."""

# What the module `signal` wraps, without its imports: those of the command can be interrupted too.
import _signal  # type: ignore[import-not-found]
import atexit
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]

_SIGNALS = (1, 2, 15)
_NEW_OBJECTS = 50_000
"""After so many the garbage collector looks for cycles; by its default of 700 it takes a tenth of a short command."""


def main() -> "NoReturn":
    """Run the command of `sys.argv`, and leave with its exit code.

    0 is done, 2 is what its user can correct, 70 is a fault of nucleate's own, 129, 130 and 143 are SIGHUP, Ctrl-C and
    SIGTERM, and 141 is a reader of standard output that went away.
    """
    gc.set_threshold(_NEW_OBJECTS, 20, 20)
    found = {one: handler for one in _SIGNALS if (handler := _signal.getsignal(one)) != _signal.SIG_IGN}
    try:
        for number in found:
            _signal.signal(number, _end_at_once)
        from nucleate._interrupts import ending_the_command
        from nucleate.cli.interrupted import say_interrupted

        with ending_the_command(say_interrupted):
            from nucleate.cli.ending import run

            code = run(sys.argv[1:])
        # Registered last, it comes before what the libraries put away as the process ends.
        atexit.unregister(_end_in_peace)
        atexit.register(_end_in_peace, list(found))
    finally:
        for number, handler in found.items():
            _signal.signal(number, handler)
    sys.exit(code)


def _end_in_peace(numbers: "list[int]") -> None:
    """What the command had to say is said, and a signal now has nothing to add."""
    for number in numbers:
        _signal.signal(number, _signal.SIG_IGN)


def _end_at_once(number: int, frame: object) -> None:
    """What `ending_the_command` does, before it is imported."""
    said = "interrupted; nothing is kept. The same command begins anew."
    os.write(2, f"\nnucleate: {said}\n".encode())
    if "--json" in sys.argv:
        error = f'{{"kind": "Interrupted", "message": "{said}", "exit_code": {128 + number}}}'
        os.write(1, f'{{"error": {error}}}\n'.encode())
    os._exit(128 + number)
