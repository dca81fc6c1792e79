"""Standard output and error that are sure to take what is printed, or to say why they do not."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nucleate.errors import NucleateError


class _Output(io.FileIO):
    """Standard output whose failure is said in a sentence; a reader that went away is not one."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NucleateError(
                f"The result cannot be written to standard output ({error.strerror}); send it elsewhere."
            ) from None


class _Aside(io.FileIO):
    """Standard error: what is said beside the result may get lost, as when a terminal is closed, but stops nothing."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes


@contextmanager
def own_streams() -> Iterator[None]:
    """Within the block, standard output and error of a process are these; those of a test stay as they are."""
    _fill_closed_streams()
    before = sys.stdout, sys.stderr
    if sys.stdout is not None and sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    elif sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Aside(2, "w", closefd=False), sys.stderr)
        # Who reads a log, or waits behind a pipe, is told at once.
        sys.stderr.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        mine: list[Any] = [sys.stdout, sys.stderr]
        sys.stdout, sys.stderr = before
        for stream in mine:
            if stream not in before:
                _leave(stream)


def _text(raw: io.FileIO, as_before: Any) -> io.TextIOWrapper:
    """What an encoding lacks is printed as an escape."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw), as_before.encoding, "backslashreplace", line_buffering=as_before.line_buffering
    )


def _leave(stream: Any) -> None:
    """Without writing again, at exit, what could not be written."""
    try:
        stream.flush()
    except (OSError, NucleateError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _fill_closed_streams() -> None:
    """Otherwise the next file opened gets the number of a closed stream, and what a library prints lands in it."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
