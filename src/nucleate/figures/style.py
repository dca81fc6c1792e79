"""How figures look, and how they become files."""

from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from nucleate._files import check_file, write_atomically
from nucleate.errors import NucleateError
from nucleate.observe import leading_order

FORMATS = ("pdf", "png", "svg")

BLUE = "#0072b2"
"""Okabe and Ito's blue; their colors are told apart by the color-blind too."""
ORANGE = "#d55e00"
"""Okabe and Ito's vermilion."""
GREEN = "#009e73"
"""Okabe and Ito's bluish green."""
GREY = "#55606b"
"""A dark grey."""

TEXT = 8.0
"""Points: what a paper's figure has when it is printed as wide as it is."""
_DPI = 220
_UNDATED: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "png": {}, "svg": {"Date": None}}
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


def panels(
    count: int, *, width: float = 3.3, height: float = 2.9, beside: float = 0.0, **options: Any
) -> tuple[Figure, Sequence[Axes]]:
    """A figure of panels side by side, without what is not data.

    Parameters
    ----------
    count : int
    width, height : float
        Of each panel, in inches.
    beside : float
        Room on the right for what belongs to all panels.
    **options
        As of `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    figure : matplotlib Figure
        Not pyplot's: nothing of it stays behind.
    axes : sequence of matplotlib Axes

    Examples
    --------
    >>> figure, (left, right) = panels(2, sharey=True)
    >>> figure.get_size_inches().round(1)
    array([6.6, 2.9])
    """
    figure = Figure(figsize=(width * count + beside, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False, **options)[0]
    for panel in axes:
        quiet(panel)
    return figure, axes


def quiet(panel: Axes) -> None:
    """Leave out what is not data."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25, lw=0.5)


def legend(panel: Axes, **options: Any) -> None:
    """A legend without a frame; ``options`` as of `matplotlib.axes.Axes.legend`."""
    panel.legend(**{"frameon": False, "fontsize": "small"} | options)


def cosine_map(panel: Axes, cosine: Float[np.ndarray, "m m"]) -> AxesImage:
    """Cosines between units, ordered by their leading eigenvector, from -1 to 1."""
    order = leading_order(cosine)
    image = panel.imshow(cosine[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    return image


def colors(count: int) -> Sequence[tuple[float, float, float, float]]:
    """Colors (RGBA) for an ordered family, from dark to light, told apart by the color-blind and in grey."""
    # The map's lightest tenth is hard to see on white.
    return [matplotlib.colormaps["viridis"](share) for share in np.linspace(0, 0.9, count)]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, at 220 dots an inch.

    Parameters
    ----------
    figure : matplotlib Figure

    Returns
    -------
    bytes
    """
    return to_bytes(figure, "png")


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure to a .pdf, .png or .svg file, which appears whole or not at all.

    Parameters
    ----------
    figure : matplotlib Figure
    path : path

    Raises
    ------
    NucleateError
        For another ending, or if the path cannot be written.
    """
    check_path(path)
    write_atomically(Path(path), to_bytes(figure, _ending(path)))


def check_path(path: str | Path) -> None:
    """Refuse as `save`, before anything is drawn, a path where no figure can be written."""
    if _ending(path) not in FORMATS:
        raise NucleateError(f"The figure {path} has no ending that is known; give it .pdf, .png or .svg.")
    check_file(path)


def _ending(path: str | Path) -> str:
    return Path(path).suffix.removeprefix(".").lower()


def to_bytes(figure: Figure, format: str) -> bytes:
    """Equal figures are equal bytes: without a date, and with fixed ids."""
    buffer = BytesIO()
    # Type 42 is what journals take; matplotlib's own default, type 3, many refuse.
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "nucleate"}):
        figure.savefig(buffer, format=format, dpi=_DPI, metadata=_UNDATED[format])
    return buffer.getvalue()
