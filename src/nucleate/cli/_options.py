"""From flags to the fields of a spec."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import typer

Number = TypeVar("Number", int, float)


def floats(text: str) -> list[float]:
    """``1,0.3,0.1`` as numbers."""
    return _numbers(text, float, "numbers such as 1,0.3,0.1")


def integers(text: str) -> list[int]:
    """``128,128`` as whole numbers."""
    return _numbers(text, int, "whole numbers such as 128,128")


def names(text: str) -> list[str]:
    """``price,rent`` as names."""
    return [name.strip() for name in text.split(",")]


def fields_from(flags: Mapping[str, Any], drop: Sequence[str] = ()) -> dict[str, Any]:
    """The flags that were given, as fields of a spec."""
    elsewhere = {"spec", "out", "json", *drop}
    fields = {name: value for name, value in flags.items() if value is not None and name not in elsewhere}
    # A parser that returns a list leaves it wrapped in the list of the flag's occurrences.
    return {name: value[-1] if _is_nested(value) else value for name, value in fields.items()}


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def _numbers(text: str, kind: Callable[[str], Number], expected: str) -> list[Number]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of {expected}") from None
