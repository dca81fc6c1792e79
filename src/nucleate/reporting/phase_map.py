"""The phase map as a table of fields to choose from: it needs no script to be read, and a keyboard reaches it."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import polars as pl
from matplotlib.colors import LogNorm, to_hex

from nucleate.init_scale import PerLayer
from nucleate.reporting.words import Texts, say_rate, say_statuses
from nucleate.studies import Cell, Findings

ON_PLATEAU, SOME = "▪", "▫"
"""Marks of fields in which no run left its plateau, and in which some did and others did not or failed."""


class Field(NamedTuple):
    """One cell of the grid: ``cell`` is the number of what was found, None where nothing is."""

    cell: int | None
    text: str
    label: str
    background: str
    color: str
    mark: str
    recommended: bool


class Map(NamedTuple):
    """One layer: ``rows`` of fields along the init scales, largest first, by what ``corner`` names."""

    caption: str
    corner: str
    scales: list[str]
    rows: list[tuple[str, list[Field]]]
    key: list[tuple[str, str, str]]


def phase_maps(findings: Findings, texts: Texts) -> list[Map]:
    """A map for every measured layer; where there are several weight decays, one of them for every learning rate."""
    spec = findings.study.spec
    if len(spec.weight_decays) > 1:
        grids = [[(rate, decay) for decay in sorted(spec.weight_decays, reverse=True)] for rate in spec.lrs]
    else:
        grids = [[(rate, spec.weight_decays[0]) for rate in sorted(spec.lrs, reverse=True)]]
    return [_map(findings, layer, grid, texts) for layer in findings.layers for grid in grids]


def _map(findings: Findings, layer: str, grid: Sequence[tuple[float, float]], texts: Texts) -> Map:
    """The map of a layer whose rows have these learning rates and weight decays."""
    words, width, spec = texts["map"], findings.layers[layer], findings.study.spec
    by_decay = len(spec.weight_decays) > 1
    rate_said = by_decay and len(spec.lrs) > 1
    index = {(cell.scale, cell.lr, cell.weight_decay): number for number, cell in enumerate(findings.cells)}
    scales, norm = spec.ordered_scales, LogNorm(1, max(*findings.layers.values(), 2))
    rows = [
        (
            f"{decay if by_decay else rate:g}",
            [
                _field(findings, index.get((scale, rate, decay)), (scale, rate, decay), layer, norm, texts)
                for scale in scales
            ],
        )
        for rate, decay in grid
    ]
    caption = words["caption_rate" if rate_said else "caption"].format(layer=layer, width=width, lr=f"{grid[0][0]:g}")
    marks = [mark for mark in (1, 3, 10, 30, 100, 300, 1000) if mark <= width]
    return Map(
        caption,
        words["corner_decay" if by_decay else "corner"],
        [f"{scale:g}" for scale in scales],
        rows,
        [(str(mark), *_colors(mark, norm)) for mark in marks],
    )


def _field(
    findings: Findings,
    index: int | None,
    at: tuple[float | PerLayer, float, float],
    layer: str,
    norm: LogNorm,
    texts: Texts,
) -> Field:
    spec, (scale, rate, decay) = findings.study.spec, at
    fields = {"convention": spec.convention, "scale": f"{scale:g}", "lr": say_rate(spec, rate, decay, texts)}
    if index is None:
        return Field(None, "·", texts["map"]["missing_cell"].format(**fields), "#f2f2f2", "#555555", "", False)
    cell: Cell = findings.cells[index]
    if not cell.trained:
        runs = findings.study.results.filter(pl.col("run").is_in(cell.runs))
        label = texts["map"]["failed_cell"].format(**fields, status=say_statuses(runs, texts))
        return Field(index, "×", label, "#f2f2f2", "#555555", "", False)
    count = cell.fewest[list(findings.layers).index(layer)]
    fields |= {"neurons": f"{count:.1f}", "width": str(findings.layers[layer]), "layer": layer}
    recommended = cell is findings.recommended and findings.has_learned
    label = texts["map"]["cell"].format(**fields)
    label += texts["map"]["plateau"] * cell.on_plateau
    label += texts["map"]["some"].format(learned=cell.learned, runs=len(cell.runs)) * cell.learned_in_part
    label += texts["map"]["recommended"] * recommended
    text = f"{count:.1f}" if count < 99.95 else f"{count:.0f}"
    mark = ON_PLATEAU * cell.on_plateau + SOME * cell.learned_in_part
    return Field(index, text, label, *_colors(count, norm), mark, recommended)


def _colors(count: float, norm: LogNorm) -> tuple[str, str]:
    """Background and text: viridis, dark where condensed, and whichever of black and white stands out more."""
    red, green, blue, _ = matplotlib.colormaps["viridis"](float(norm(max(count, 1.0))))
    light = sum(
        weight * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
        for weight, value in zip((0.2126, 0.7152, 0.0722), (red, green, blue), strict=True)
    )
    # The relative luminance at which WCAG's contrast with black equals that with white.
    return to_hex((red, green, blue)), "#000000" if light > 0.179 else "#ffffff"
