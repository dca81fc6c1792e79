"""The phase map as a table of fields to choose from: it needs no script to be read, and a keyboard reaches it."""

from typing import NamedTuple

import matplotlib
import polars as pl
from matplotlib.colors import LogNorm, to_hex

from nucleate.init_scale import PerLayer
from nucleate.reporting.sentences import Texts, say_statuses
from nucleate.studies import Cell, Findings

ON_PLATEAU, SOME = "▪", "▫"
"""Marks of fields in which no run left its plateau, and in which some did and others did not or failed."""


class Field(NamedTuple):
    """One (init scale, learning rate): ``cell`` is the number of what was found, None where nothing is."""

    cell: int | None
    text: str
    label: str
    background: str
    color: str
    mark: str
    recommended: bool


class Map(NamedTuple):
    """One layer: ``rows`` of fields by learning rate, largest first, along the init scales."""

    caption: str
    scales: list[str]
    rows: list[tuple[str, list[Field]]]
    key: list[tuple[str, str, str]]


def phase_maps(findings: Findings, texts: Texts) -> list[Map]:
    """A map for every measured layer."""
    spec = findings.study.spec
    index = {(cell.scale, cell.lr): number for number, cell in enumerate(findings.cells)}
    scales, rates = spec.ordered_scales, sorted(spec.lrs, reverse=True)
    norm = LogNorm(1, max(*findings.layers.values(), 2))
    maps = []
    for layer, width in findings.layers.items():
        rows = [
            (
                f"{rate:g}",
                [_field(findings, index.get((scale, rate)), scale, rate, layer, norm, texts) for scale in scales],
            )
            for rate in rates
        ]
        marks = [mark for mark in (1, 3, 10, 30, 100, 300, 1000) if mark <= width]
        maps.append(
            Map(
                texts["map"]["caption"].format(layer=layer, width=width),
                [f"{scale:g}" for scale in scales],
                rows,
                [(str(mark), *_colors(mark, norm)) for mark in marks],
            )
        )
    return maps


def _field(
    findings: Findings, index: int | None, scale: float | PerLayer, rate: float, layer: str, norm: LogNorm, texts: Texts
) -> Field:
    spec = findings.study.spec
    fields = {"convention": spec.convention, "scale": f"{scale:g}", "lr": f"{rate:g}"}
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
