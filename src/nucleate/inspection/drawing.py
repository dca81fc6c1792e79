"""An inspection as a picture: who points where in its layers, and which of them are condensed beyond chance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from nucleate.figures.style import BLUE, GREY, cosine_map, for_print, legend, quiet
from nucleate.inspection.measuring import Picture
from nucleate.observe.snapshots import spaced

_MOST_MAPS, _IN_A_ROW = 12, 6
_MEASURES = {"condensed_pairs": "share of condensed pairs", "effective_rank": "effective rank of the weights"}


@for_print
def draw(name: str, table: pl.DataFrame, pictures: Mapping[tuple[str, str], Picture]) -> Figure:
    """What `Inspection.plot` gives of the fields of these names."""
    places = list(pictures)
    chosen = spaced(len(places), _MOST_MAPS)
    rows = -(-len(chosen) // _IN_A_ROW)
    figure = Figure(figsize=(7, 1.45 * rows + 2.5), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.45 * rows, 2.5))
    above, below = parts
    grid = above.subplots(rows, _IN_A_ROW, squeeze=False).ravel()
    for panel in grid[len(chosen) :]:
        panel.set_visible(False)
    for panel, index in zip(grid, chosen, strict=False):
        shown = cosine_map(panel, pictures[places[index]].cosine.astype(np.float64))
        panel.set_title("\n".join(_short(part) for part in places[index]))
    above.colorbar(shown, ax=grid.tolist(), label="cosine", shrink=0.8)
    whole = table.filter(pl.col("head").is_null())
    for panel, (measure, label) in zip(below.subplots(1, 2), _MEASURES.items(), strict=True):
        values = whole.filter(pl.col("measure") == measure)
        # A layer of one unit has no pairs, and keeps its place.
        across = [places.index(place) + 1 for place in values.select("layer", "kind").iter_rows()]
        panel.plot(across, values["null"], "o", mfc="none", color=GREY, ms=4, label="random")
        panel.plot(across, values["value"], "o", color=BLUE, ms=3, label="the layer")
        panel.set(xlabel="layer, in the order of the table", ylabel=label)
        if measure == "condensed_pairs":
            panel.set_ylim(-0.03, 1.03)
        panel.xaxis.get_major_locator().set_params(integer=True)
        quiet(panel)
        legend(panel)
    figure.suptitle(name)
    return figure


def _short(name: str) -> str:
    """The end of a long name."""
    return name if len(name) <= 15 else f"…{name[-14:]}"
