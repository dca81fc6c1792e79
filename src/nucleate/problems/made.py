"""Problems with rows of a known shape: images, signals, and sequences of tokens, made by a name and options."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped

from nucleate._wording import did_you_mean, shown
from nucleate.errors import DataError


class RowShape(NamedTuple):
    """What stands in a row.

    Parameters
    ----------
    sizes : tuple of int
        Of the array whose numbers a row holds in NumPy's order, channels last; (length,) of tokens.
    tokens : int or None
        How many tokens there are, where a row holds their numbers from 0.
    """

    sizes: tuple[int, ...]
    tokens: int | None = None


class Part(NamedTuple):
    """Rows of one part, and their targets."""

    x: Float[np.ndarray, "n d"]
    y: Shaped[np.ndarray, " n"]


class Made(NamedTuple):
    """What a maker gives: the parts, the shape of their rows, the classes in order (None for amounts), and notes."""

    train: Part
    validation: Part
    test: Part
    shape: RowShape
    labels: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()


Maker = Callable[..., Made]
"""``make(rng, **options)``; the options are whole numbers, numbers, or a path as its first argument behind ``rng``."""

TEXT = "text"
EVALUATION_ROWS = 500
"""Of validation and test each, as many as a fair judgement needs."""


def read_name(data: str, makers: Mapping[str, Maker]) -> tuple[Maker, dict[str, Any]] | None:
    """The maker that data name, and its options: ``anchor-pairs:length=6,rows=500``, ``text:book.txt,length=8``.

    None for data that name none.
    """
    name, colon, told = data.partition(":")
    if name not in makers or (name == TEXT and not colon):
        return None
    maker, options = makers[name], {}
    if name == TEXT:
        found = re.fullmatch(r"(.*?)((?:,\w+=[^,]*)*)", told, re.DOTALL)
        assert found is not None
        options["file"], told = found[1], found[2][1:]
    defaults = {
        one.name: one.default for one in inspect.signature(maker).parameters.values() if one.kind is one.KEYWORD_ONLY
    }
    for entry in told.split(",") if told else ():
        option, equals, value = entry.partition("=")
        if option in defaults and not equals:
            raise DataError(f"{data} gives no value of {option}; write {option}={defaults[option]}, or another number.")
        if option not in defaults:
            close = did_you_mean(option, defaults) or f"; there are {', '.join(defaults)}."
            raise DataError(f"{data} asks for {shown(entry)}, and {name} has no such option{close}")
        kind = type(defaults[option])
        try:
            options[option] = kind(value)
        except ValueError:
            what = "whole number" if kind is int else "number"
            raise DataError(f"{data} gives {option} as {shown(value)}; it must be a {what}.") from None
    return maker, options


def check_option(name: str, value: float, least: float, most: float = np.inf) -> None:
    """Refuse a value out of range, by a `DataError`."""
    if not least <= value <= most:
        bound = f"{least:g} or more" if most == np.inf else f"from {least:g} to {most:g}"
        raise DataError(f"{name} is {value:g}; it must be {bound}.")


def table_of(part: Part) -> pl.DataFrame:
    """A table of the columns x1, x2, ... and y."""
    columns = {f"x{k + 1}": column for k, column in enumerate(part.x.T)}
    return pl.DataFrame({**columns, "y": part.y})
