"""The figures' common look."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Colour = tuple[float, float, float, float]

# Okabe and Ito's colors, told apart by the colour-blind too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.55"


def panels(count: int, *, width: float = 3.3, height: float = 2.9) -> tuple[Figure, Sequence[Axes]]:
    """A figure of ``count`` panels side by side."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25, lw=0.5)
    return figure, axes


def colors(count: int) -> list[Colour]:
    """From dark to light, in order."""
    # The map's lightest tenth is hard to see on white.
    return [matplotlib.colormaps["viridis"](share) for share in np.linspace(0, 0.85, count)]


def legend(panel: Axes, **options: Any) -> None:
    """A quiet legend."""
    panel.legend(frameon=False, fontsize="small", **options)
