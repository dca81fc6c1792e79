"""How far a study is, on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from nucleate._wording import plain

_PACE_SECONDS = 600.0
"""The time left is judged by the pace of so long: over less, it would leap with every evaluation."""


@dataclass(frozen=True)
class Progress:
    """Where a study stands, for a person who waits.

    The share is of all steps of all runs. The loss, and the effective neurons of each measured layer, are medians over
    the runs last evaluated, None and empty before this process has trained any. ``doing`` is what is done beside
    training, and ``owner`` the process that does it all while this one waits for it.
    """

    runs_finished: int
    runs: int
    share: float
    loss: float | None = None
    effective_neurons: tuple[float, ...] = ()
    doing: str = ""
    owner: str = ""

    def __str__(self) -> str:
        return f"{self._state} ({self.owner})" if self.owner else self._state

    @property
    def _state(self) -> str:
        if self.doing:
            return self.doing
        if self.loss is None:
            return "finished already" if self.runs_finished == self.runs else "compiling"
        neurons = " / ".join(f"{count:.1f}" for count in self.effective_neurons)
        return f"loss {self.loss:.3g}" + (f", effective neurons {neurons}" if neurons else "")


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """A live bar with the time left, the loss and the effective neurons, for the length of a block.

    What it gives moves the bar.
    """
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.fields[runs]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        # Of all columns this one breaks where the terminal is narrow.
        TextColumn("{task.fields[state]}", table_column=Column()),
    )
    # A pipe has no width; a terminal's own is kept.
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 220)
    with Bar(*columns, console=console, speed_estimate_period=_PACE_SECONDS) as bar:
        task = bar.add_task("", visible=False, total=1.0, runs="", state="")

        waits_for = ""

        def show(progress: Progress) -> None:
            nonlocal waits_for
            if progress.owner not in ("", waits_for):
                waits_for = progress.owner
                bar.console.print(f"waiting for {plain(waits_for)}", markup=False, highlight=False)
            runs = f"{progress.runs_finished}/{progress.runs} runs"
            bar.update(task, visible=True, completed=progress.share, runs=runs, state=str(progress))

        yield show
