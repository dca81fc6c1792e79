"""How far a study is, on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column

from nucleate.sweeping.runner import Progress


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """A live bar with the time left, the loss and the effective neurons; gives the function that moves it."""
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.fields[runs]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        # Of all columns this one breaks where the terminal is narrow.
        TextColumn("{task.fields[state]}", table_column=Column()),
    )
    # A pipe has no width; a terminal's own is kept.
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 220)
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", visible=False, total=1.0, runs="", left="", state="")

        def show(progress: Progress) -> None:
            left = progress.seconds_left
            bar.update(
                task,
                visible=True,
                completed=progress.share,
                runs=f"{progress.runs_finished}/{progress.runs} runs",
                left=f"{timedelta(seconds=round(left))} left" if left else "",
                state=_say_state(progress),
            )

        yield show


def _say_state(progress: Progress) -> str:
    if progress.loss is None:
        return "finished already" if progress.runs_finished == progress.runs else "compiling"
    neurons = " / ".join(f"{count:.1f}" for count in progress.effective_neurons)
    return f"loss {progress.loss:.3g}, effective neurons {neurons}"
