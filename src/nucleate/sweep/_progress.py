"""How far a study is, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nucleate.sweep._runner import Progress


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """A live bar with the time left, the loss and the effective neurons; gives the function that moves it."""
    columns = (
        BarColumn(),
        TextColumn("{task.fields[runs]} runs"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0, runs="0", state="compiling")

        def show(progress: Progress) -> None:
            neurons = " / ".join(f"{count:.1f}" for count in progress.effective_neurons)
            bar.update(
                task,
                completed=progress.share,
                runs=f"{progress.runs_finished}/{progress.runs}",
                state=f"loss {progress.loss:.3g}, effective neurons {neurons}",
            )

        yield show
