"""How error messages name rows, columns and near misses."""

import difflib
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
from jaxtyping import Bool

_SHOWN = 3


def count(number: int, noun: str) -> str:
    """
    >>> count(1, "row"), count(3, "missing value"), count(2, "class")
    ('1 row', '3 missing values', '2 classes')
    """
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{plural}"


def name_rows(rows: Bool[np.ndarray, " n"]) -> str:
    """The rows that are True, numbered from 1 as a person counts them.

    >>> name_rows(np.array([False, True])), name_rows(np.ones(6, bool))
    ('row 2', 'rows 1, 2, 3 and 3 more')
    """
    numbers = np.flatnonzero(rows) + 1
    return f"row{'' if len(numbers) == 1 else 's'} {_listed(map(str, numbers))}"


def name_columns(names: Iterable[str]) -> str:
    """
    >>> name_columns(["a"]), name_columns("abcde")
    ("column 'a'", "columns 'a', 'b', 'c' and 2 more")
    """
    quoted = [repr(name) for name in names]
    return f"column{'' if len(quoted) == 1 else 's'} {_listed(quoted)}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A clause to append, empty when nothing is close.

    >>> did_you_mean("Prize", ["price", "rooms"]), did_you_mean("zzz", ["price"])
    ("; did you mean 'price'?", '')
    """
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower(), by_lower, n=2)
    return f"; did you mean {' or '.join(repr(by_lower[match]) for match in close)}?" if close else ""


def say_error(error: BaseException) -> str:
    """What happened, in one line.

    >>> say_error(KeyError("price")), say_error(MemoryError()), say_error(ValueError("two\\nlines"))
    ("KeyError: 'price'", 'MemoryError', 'ValueError: two lines')
    """
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _listed(items: Iterable[str]) -> str:
    first = list(items)
    more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
    return ", ".join(first[:_SHOWN]) + more


_BOX = "display:inline-block;border:1px solid #d5dbe0;padding:.5em .9em;font:13px/1.5 system-ui,sans-serif"
_NAME = "text-align:left;color:#55606b;font-weight:normal;padding:0 1em 0 0;background:none"
_VALUE = "text-align:left;padding:0;background:none"


def card(title: str, rows: Mapping[str, object]) -> str:
    """A title over names and values, as HTML in which nothing of them is markup.

    Examples
    --------
    >>> "&lt;b&gt;" in card("<b>", {"name": "value"})
    True
    """
    body = "".join(
        f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th><td style="{_VALUE}">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f'<div style="{_BOX}"><strong>{escape(title)}</strong><table style="margin:.3em 0 0">{body}</table></div>'
