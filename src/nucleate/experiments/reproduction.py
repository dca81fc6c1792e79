"""Run an experiment, or all, and keep verdicts and figures in a folder."""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nucleate._files import make_folder, write_atomically
from nucleate._wording import say_error
from nucleate.errors import NucleateError, SpecError
from nucleate.experiments.experiment import Experiment, Measurement, ShareDone, Verdict, load_verdict, save_verdict
from nucleate.experiments.registry import EXPERIMENTS, get_experiment


def index_page(verdicts: Sequence[Verdict]) -> str:
    """The page's HTML, figures included."""
    environment = Environment(
        loader=PackageLoader("nucleate.experiments", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [base64.b64encode(verdict.figure.read_bytes()).decode() for verdict in verdicts]
    return environment.get_template("index.html.j2").render(verdicts=list(zip(verdicts, figures, strict=True)))


def reproduce(
    experiment: str | Experiment[Any], *, out: str | Path, quick: bool = False, progress: bool = True
) -> Verdict:
    """Measure whether a claim of the literature holds.

    Parameters
    ----------
    experiment : str or Experiment
        The name of one of `EXPERIMENTS`, or one of your own.
    out : path
        A folder; gets ``<name>.json`` with the verdict and ``<name>.svg``, ``.pdf`` and ``.png`` with the figure. A
        verdict that is there already, of the same measurement, version and size, is not measured again.
    quick : bool
        Whether to measure at the size of seconds instead of the size of minutes.
    progress : bool
        Whether to show on standard error how far it is.

    Returns
    -------
    Verdict

    Raises
    ------
    SpecError
        For an unknown name, an experiment of your own that has the name of one of the package, or one that does not
        return a `Measurement` with a number for each criterion.
    NucleateError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from typing import NamedTuple
    >>> from matplotlib.figure import Figure
    >>> from nucleate.experiments import Criterion, Measurement
    >>> class Size(NamedTuple):
    ...     blowups: int
    >>> pessimist = Experiment(
    ...     name="pessimist",
    ...     claim="Nothing blows up.",
    ...     source="nobody",
    ...     setting="{blowups} blow-ups",
    ...     criteria=(Criterion("blow-ups", "at most", 0.0),),
    ...     quick=Size(2),
    ...     full=Size(200),
    ...     measure=lambda size, progress: Measurement((float(size.blowups),), Figure()),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(reproduce(pessimist, out=folder, quick=True, progress=False))
    pessimist does not hold: blow-ups: 2 (at most 0: not met)
    """
    chosen = get_experiment(experiment) if isinstance(experiment, str) else experiment
    if not isinstance(chosen, Experiment):
        raise SpecError(f"{chosen!r:.60} is no experiment; give the name of one, or a nucleate.experiments.Experiment.")
    if any(one.name == chosen.name and one is not chosen for one in EXPERIMENTS):
        raise SpecError(
            f"The experiment {chosen.name!r} is one of your own and has the name of one of the package, whose verdict "
            "and figure its own would take the place of; give it another name."
        )
    return _run([chosen], _made(out), quick=quick, progress=progress)[0]


def reproduce_all(
    *, out: str | Path, quick: bool = False, progress: bool = True, told: Callable[[Verdict], None] | None = None
) -> list[Verdict]:
    """Run every experiment that ``out`` lacks, and write the page ``index.html`` there that shows them all.

    Parameters
    ----------
    out, quick, progress
        As of `reproduce`.
    told : callable, optional
        Called with each verdict as it comes.

    Returns
    -------
    list of Verdict
        In the order of `EXPERIMENTS`.

    Raises
    ------
    NucleateError
        If the folder cannot be written, or another process has written other verdicts there meanwhile.
    """
    folder = _made(out)
    verdicts = _run(EXPERIMENTS, folder, quick=quick, progress=progress, told=told)
    if any(load_verdict(experiment, folder, quick=quick) is None for experiment in EXPERIMENTS):
        raise NucleateError(
            f"{folder} was written by another process meanwhile, which leaves no page of one size and version; once it "
            "has ended, run the same command again, or choose another folder."
        )
    write_atomically(folder / "index.html", index_page(verdicts).encode())
    return verdicts


def _run(
    experiments: Sequence[Experiment[Any]],
    out: Path,
    *,
    quick: bool,
    progress: bool,
    told: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    verdicts = []
    with _show_progress(shown=progress) as (show, aside):
        for done, experiment in enumerate(experiments):
            kept = load_verdict(experiment, out, quick=quick)
            verdicts.append(kept or _measured(experiment, out, show(experiment, done, len(experiments)), quick=quick))
            if told is not None:
                with aside():
                    told(verdicts[-1])
    return verdicts


def _measured(experiment: Experiment[Any], out: Path, progress: ShareDone, *, quick: bool) -> Verdict:
    progress(0.0)
    try:
        given = experiment.measure(experiment.size(quick=quick), progress)
    except (NucleateError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise SpecError(
            f"The measure of the experiment {experiment.name!r} failed ({say_error(error)[:160]}); it takes a size and "
            "a function that is told the share done, and returns a Measurement."
        ) from error
    measurement = _checked(experiment, given)
    verdict = Verdict.of(experiment, measurement.numbers, out, quick=quick)
    save_verdict(verdict, measurement.figure)
    return verdict


def _checked(experiment: Experiment[Any], given: Any) -> Measurement:
    """What an experiment measured, or one sentence on what it returned instead."""
    said = ""
    if not isinstance(given, Measurement):
        said = f"returned {type(given).__name__}"
    else:
        numbers, figure = cast(tuple[Any, Any], given)
        if not isinstance(figure, Figure):
            said = f"returned {type(figure).__name__} as its figure"
        elif not isinstance(numbers, (tuple, list, np.ndarray)) or not all(map(_is_number, numbers)):
            said = f"returned {numbers!r} as its numbers"
    if said:
        raise SpecError(
            f"The measure of the experiment {experiment.name!r} {said}; return "
            "Measurement((number for each criterion, ...), figure), with a matplotlib Figure."
        )
    return cast(Measurement, given)


def _is_number(given: Any) -> bool:
    return isinstance(given, Real) or (
        isinstance(given, np.ndarray) and given.shape == () and given.dtype.kind in "iuf"
    )


def _made(out: str | Path) -> Path:
    if not isinstance(out, str | PathLike):
        raise SpecError(f"The folder for verdicts is {out!r:.60}; give a path.")
    folder = Path(out)
    # Said before anything is measured, not after.
    make_folder(folder)
    return folder


@contextmanager
def _show_progress(*, shown: bool) -> Iterator[Any]:
    """Gives the function that gives an experiment its `ShareDone`, and a context in which no bar is in the way."""
    columns = (BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not shown, transient=True) as bar:
        task = bar.add_task("", total=1.0, at="")

        def progress_of(experiment: Experiment[Any], done: int, count: int) -> ShareDone:
            def show(share: float) -> None:
                at = f"{done + 1}/{count} {experiment.name}"
                bar.update(task, completed=(done + share) / count, at=at)

            return show

        @contextmanager
        def aside() -> Iterator[None]:
            if not (shown and console.is_terminal):
                yield
                return
            bar.stop()
            yield
            bar.start()

        yield progress_of, aside
