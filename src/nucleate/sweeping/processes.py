"""Processes of this machine as an executor: Python lets one thread of a process at a time run, and measuring waits."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from types import TracebackType
from typing import Any, Self

from nucleate import devices
from nucleate._arrays import is_whole
from nucleate._wording import name_parameter, shown
from nucleate.errors import SpecError
from nucleate.sweeping.executors import Executor


class ProcessExecutor(Executor):
    """Processes of this machine, each with its share of the cores, as an executor of chunks.

    They start at the first call, which takes seconds, and end with the block; where that ends with an exception, as on
    Ctrl-C, at once. If this process is killed, they end too. On a machine with a GPU, of which each would take its
    share, give `sweep` ``device="cpu"`` beside it.

    Parameters
    ----------
    processes : int, optional
        How many; by default one for each core.

    Raises
    ------
    SpecError
        If that is no whole number from 1 on.

    Examples
    --------
    >>> with ProcessExecutor(2) as processes:
    ...     processes.workers
    2
    """

    def __init__(self, processes: int | None = None) -> None:
        count = devices.CORES if processes is None else processes
        if not is_whole(count) or count < 1:
            raise SpecError(f"{name_parameter('processes')} is {shown(count)}; give a whole number from 1 on.")
        self.workers = int(count)
        """How many processes there are."""
        self._context = _Remembering()
        cores = max(1, devices.CORES // self.workers)
        self._pool = ProcessPoolExecutor(self.workers, self._context, _begin, (cores,))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        # Ctrl-C is for this process; those that it starts now inherit what is blocked.
        blocked = (
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
        )
        try:
            return self._pool.submit(function, *arguments)
        finally:
            if blocked is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if error is not None:
                for process in self._context.started:
                    # One that could not be started has no number.
                    if process.pid is not None:
                        process.terminate()
        finally:
            self._pool.shutdown(cancel_futures=True)


class _Remembering(SpawnContext):
    """Spawns processes, and knows which: a pool itself waits for what they have in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        self.started.append(SpawnProcess(*args, **options))
        return self.started[-1]


def _begin(cores: int) -> None:
    """What a process does first."""
    keep_to(cores)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def keep_to(cores: int) -> None:
    """Have this process use so many cores at most."""
    # XLA makes its threads when its first program runs, as many as this says.
    os.environ.setdefault("NPROC", str(cores))
    devices.CORES = min(cores, devices.CORES)
