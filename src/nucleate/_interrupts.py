"""Ctrl-C, SIGTERM and SIGHUP, one way for everything that can be interrupted.

What is ignored (as under nohup) stays so. Nothing is imported here that takes time.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_of_command = False
_noticed: list[int] | None = None


@contextmanager
def ending_the_command(say: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Within the block, a signal ends the process, once ``say`` was called with it; `noticed` is heeded.

    A thread waits for it, so that it is heard while the main one is in compiled code. No exception is raised: within
    imports and callbacks of compiled code it would be swallowed, or would crash the process.
    """
    global _of_command
    previous = _handlers()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    _install(previous, _leave_to_thread)
    if previous:
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading, previous.keys(), say), daemon=True).start()
    _of_command = True
    try:
        yield
    finally:
        _of_command = False
        if previous:
            signal.set_wakeup_fd(-1)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(writing)


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Notice the first signal instead of ending at once, so that what is done can be put away.

    The block is given whether there was one, and then ends with a KeyboardInterrupt that has its number.
    """
    global _noticed
    seen: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        for one, handler in previous.items():
            signal.signal(one, handler)

    previous = {} if _of_command else _handlers()
    _install(previous, notice)
    if _of_command:
        _noticed = seen
    try:
        yield lambda: bool(seen)
    except KeyboardInterrupt:
        if not seen:
            raise
    finally:
        _noticed = None
        for number, handler in previous.items():
            signal.signal(number, handler)
    if seen:
        raise KeyboardInterrupt(seen[0])


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal behind a KeyboardInterrupt.

    >>> signal_of(KeyboardInterrupt()).name, signal_of(KeyboardInterrupt(15)).name
    ('SIGINT', 'SIGTERM')
    """
    return signal.Signals(error.args[0]) if error.args else signal.SIGINT


def write(number: int, text: str) -> None:
    """To a file descriptor, past Python's buffers, which may be in the middle of a write."""
    with suppress(OSError):
        os.write(number, text.encode(errors="backslashreplace"))


def _watch(reading: int, numbers: Any, say: Callable[[signal.Signals], None]) -> None:
    while number := os.read(reading, 1):
        if number[0] not in numbers:
            continue
        if _noticed is not None and not _noticed:
            _noticed.append(number[0])
            write(2, "\nnucleate: interrupted; putting away what is done. Once more ends it at once.\n")
        else:
            if _noticed is None:
                with suppress(Exception):
                    say(signal.Signals(number[0]))
            os._exit(128 + number[0])
    os.close(reading)


def _handlers() -> dict[int, Any]:
    """Of the signals that are not ignored; only the main thread may have any."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return {one: handler for one in numbers if (handler := signal.getsignal(one)) not in (signal.SIG_IGN, None)}


def _install(numbers: dict[int, Any], handler: Any) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _leave_to_thread(number: int, frame: FrameType | None) -> None:
    """A signal needs some handler in Python to be written to the pipe."""
