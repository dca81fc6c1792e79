"""How long a module and the smaller one take, side by side."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nucleate._wording import count
from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.modules.onnx_file import OnnxFile
from nucleate.reduction.modules.rows import Rows
from nucleate.reduction.reduction import BeforeAfter

BATCHES = (1, 64)
"""Rows in a call that is timed."""
_ROUNDS, _FEWEST_ROUNDS, _LONGEST = 60, 7, 2.0
"""Calls of each, and how many there are at least where so many seconds are over."""
_NOTICEABLE = 1.1
"""Timings of the same module differ by some percent."""


@dataclass(frozen=True)
class Timing:
    """Seconds of a call, before and after.

    Parameters
    ----------
    by : {"torch", "onnxruntime"}
    rows : int
        In the call.
    seconds : BeforeAfter of float
        Medians on one thread, the two called in turn.

    Examples
    --------
    >>> print(Timing("torch", 64, BeforeAfter(0.004, 0.002)))
    64 rows in torch on one thread: 4 ms before, 2 ms after, 2 times as fast.
    """

    by: str
    rows: int
    seconds: BeforeAfter[float]

    @property
    def times_as_fast(self) -> float:
        """How often the smaller one is called while the original is called once."""
        return self.seconds.before / self.seconds.after

    @property
    def is_faster(self) -> bool:
        """Whether by a tenth at least; timings of the same module differ by some percent."""
        return self.times_as_fast >= _NOTICEABLE

    def __str__(self) -> str:
        before, after = 1e3 * self.seconds.before, 1e3 * self.seconds.after
        said = f"{self.times_as_fast:.2g} times as fast" if self.is_faster else "which is not faster"
        if self.times_as_fast <= 1 / _NOTICEABLE:
            said = "which is slower"
        rows = count(self.rows, "row")
        return f"{rows} in {self.by} on one thread: {before:.3g} ms before, {after:.3g} ms after, {said}."


def measure(original: Any, small: Any, rows: Rows) -> tuple[Timing, ...]:
    """Time both modules, in evaluation mode on the CPU, by PyTorch and by onnxruntime, on one row and on 64.

    Rows are taken again where they are fewer. A module that cannot be written as ONNX is refused.
    """
    files = [OnnxFile.of(module, rows) for module in (original, small)]
    timings = []
    with _one_thread():
        for by, size in itertools.product(("torch", "onnxruntime"), BATCHES):
            batch = rows.take(import_torch().as_tensor(np.resize(np.arange(len(rows)), size)))
            calls: list[Callable[[], Any]] = (
                [partial(batch.call, module) for module in (original, small)]
                if by == "torch"
                else [file.call_of(batch) for file in files]
            )
            timings.append(Timing(by, size, BeforeAfter(*_in_turn(calls))))
    return tuple(timings)


def _in_turn(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """The median seconds of each, called one after the other, so that what else the machine does hits all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for call in [*calls] * 3:
        call()
    started = time.perf_counter()
    for done in range(_ROUNDS):
        if done >= _FEWEST_ROUNDS and time.perf_counter() - started > _LONGEST:
            break
        for call, own in zip(calls, times, strict=True):
            begun = time.perf_counter()
            call()
            own.append(time.perf_counter() - begun)
    return [float(np.median(own)) for own in times]


@contextmanager
def _one_thread() -> Iterator[None]:
    torch = import_torch()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
