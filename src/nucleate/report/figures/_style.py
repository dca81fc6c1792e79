"""How figures look, and how they become files."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nucleate._files import write_atomically
from nucleate.errors import NucleateError

FORMATS = ("pdf", "png", "svg")
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#55606b"


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, at 150 dots an inch."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
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
    figure.savefig(buffer, format=ending, dpi=150)
    write_atomically(path, buffer.getvalue())


def colours(count: int) -> Sequence[tuple[float, float, float, float]]:
    """Colours for an ordered family, told apart by the colour-blind and in grey."""
    # The map's lightest tenth is hard to see on white.
    return [matplotlib.colormaps["viridis"](share) for share in np.linspace(0, 0.9, count)]


def quiet(panel: Axes) -> None:
    """Leave out what is not data."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25, lw=0.5)
