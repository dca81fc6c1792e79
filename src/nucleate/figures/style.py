"""How figures look, and how they become files."""

from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import ParamSpec

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nucleate._files import write_atomically
from nucleate.errors import NucleateError, StudyError
from nucleate.studies import Study

FORMATS = ("pdf", "png", "svg")
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#55606b"


TEXT = 8.0
"""Points: what a paper's figure has when it is printed as wide as it is."""
_DPI = 220
_Arguments = ParamSpec("_Arguments")


def for_print(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Letters of a size that can be read where the figure is as wide as a page or a column."""

    @wraps(draw)
    def drawn(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> Figure:
        with matplotlib.rc_context({"font.size": TEXT, "axes.titlesize": TEXT, "figure.titlesize": TEXT + 1}):
            figure = draw(*arguments, **options)
        for panel in figure.axes:
            # Ticks are made when the figure is drawn, which is later.
            panel.tick_params(labelsize=TEXT - 1, which="both")
        return figure

    return drawn


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, at 220 dots an inch."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure to a .pdf, .png or .svg file, which appears whole or not at all.

    Raises
    ------
    NucleateError
        For another ending, or if the path cannot be written.
    """
    path = Path(path)
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise NucleateError(f"The figure {path} has no ending that is known; give it .pdf, .png or .svg.")
    buffer = BytesIO()
    # Type 42 is what journals take; matplotlib's own default, type 3, many refuse.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format=ending, dpi=_DPI)
    write_atomically(path, buffer.getvalue())


def colors(count: int) -> Sequence[tuple[float, float, float, float]]:
    """Colours for an ordered family, told apart by the colour-blind and in grey."""
    # The map's lightest tenth is hard to see on white.
    return [matplotlib.colormaps["viridis"](share) for share in np.linspace(0, 0.9, count)]


def quiet(panel: Axes) -> None:
    """Leave out what is not data."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25, lw=0.5)


def finished_runs(study: Study) -> pl.DataFrame:
    """The results of a study, of one run at least.

    Raises
    ------
    StudyError
        If none is finished.
    """
    results = study.results
    if results.is_empty():
        raise StudyError(f"{study.path} has no finished run yet; the same sweep command goes on.")
    return results
