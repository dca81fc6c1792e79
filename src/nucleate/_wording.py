"""How sentences for people name values, parameters, rows, columns and near misses, and what they escape."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import ROUND_CEILING, Context
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool

_SHOWN = 3
_LONGEST = 60
_CLOSE = 0.75
UNSAFE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""Control characters of both sets, those that turn the direction of text, line separators and lone surrogates."""

_IN_PYTHON = re.compile(r" \(in Python ([^)]*)\)")
_FLAG = re.compile(r"(?<=[\s(])--([a-z][a-z-]*)")


def _python_name(name: str) -> None:
    """In Python a parameter has no other name."""


FROM_PYTHON = "from Python, for the command line knows the package's own alone"
"""Behind the remedy for a definition of one's own that is known by its name: the sentence may be read in either."""

_naming: ContextVar[Callable[[str], str | None]] = ContextVar("_naming", default=_python_name)


def plain(text: str) -> str:
    r"""The text on one line, in which nothing steers a terminal.

    >>> plain("a\x1b[31m\n\u202eb")
    'a\\x1b[31m\\n\\u202eb'
    """
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(value: object) -> str:
    """A value as Python writes it, cut where it is long.

    >>> shown("price"), shown(10**400)[:5], shown(10**9999)
    ("'price'", '10000', 'a number of more than 4300 digits')
    >>> import numpy as np
    >>> shown(np.eye(2))
    'a ndarray of shape (2, 2)'
    """
    try:
        written = repr(value)
    except ValueError:
        return "a number of more than 4300 digits"
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    if "\n" in written:
        # A table or an array would break the sentence.
        kind = type(value).__name__
        return f"a {kind} of shape {value.shape}" if hasattr(value, "shape") else f"a {kind}"
    return written if len(written) <= _LONGEST else f"{written[:_LONGEST]}... ({len(written)} characters)"


def name_parameter(name: str) -> str:
    """What the person at hand calls a parameter: ``'steps'`` in Python, ``--steps`` at the command line."""
    return _naming.get()(name) or repr(name)


def for_whom(sentence: str) -> str:
    """A sentence that names flags; for who is in Python, it names the parameters, as a bracket says or by their names.

    >>> for_whom("Pass --missing - (in Python missing=['-']), or drop them with --drop-missing.")
    "Pass missing=['-'], or drop them with `drop_missing`."
    >>> with named_by(lambda name: None):
    ...     for_whom("Pass --missing - (in Python missing=['-']), or drop them with --drop-missing.")
    'Pass --missing -, or drop them with --drop-missing.'
    """
    if _naming.get() is not _python_name:
        return _IN_PYTHON.sub("", sentence)
    sentence = re.sub(f"--[a-z].*?{_IN_PYTHON.pattern}", r"\1", sentence)
    return _FLAG.sub(lambda flag: f"`{flag[1].replace('-', '_')}`", sentence)


@contextmanager
def named_by(naming: Callable[[str], str | None]) -> Iterator[None]:
    """Within the block, which is the command line, parameters have the names of a function (None: that of Python)."""
    token = _naming.set(naming)
    try:
        yield
    finally:
        _naming.reset(token)


_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table of names and values",
    "mapping": "a table of names and values",
    "path": "a path",
}
_BOUNDS = {
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
}


def say_invalid(error: Mapping[str, Any], name: str) -> str:
    """One of pydantic's errors as a sentence: what it is called, the value, and what it must be.

    >>> say_invalid({"type": "int_parsing", "input": "x", "loc": ("steps",), "msg": ""}, "--steps")
    "--steps is 'x'; it must be a whole number."
    """
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    value = shown(given[0] if isinstance(given, (list, tuple)) and len(given) == 1 else given)
    places = [part + 1 for part in error["loc"][1:] if isinstance(part, int)]
    what = f"{name} has {value} in place {places[0]}" if places else f"{name} is {value}"
    if kind == "value_error":
        why = str(context["error"]).rstrip(".")
        return f"{what}, but {why[:1].lower()}{why[1:]}."
    if kind in ("literal_error", "enum"):
        close = did_you_mean(given, re.findall("'([^']*)'", context["expected"]))
        return f"{what}; it must be {context['expected']}{close or '.'}"
    expected = _BOUNDS.get(kind) or _EXPECTED.get(kind.split("_")[0]) or "of another kind"
    return f"{what}; it must be {expected.format(**context)}."


def shortest(value: float) -> str:
    """The fewest digits that are read as the same number.

    >>> shortest(0.5), shortest(1 / 3)
    ('0.5', '0.3333333333333333')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def in_digits(value: float, digits: int) -> str:
    """A number in so many digits, and a large one as a whole number with its thousands apart.

    >>> in_digits(0.23861, 4), in_digits(64020.4, 3), in_digits(2.5e7, 4), in_digits(3e-7, 3)
    ('0.2386', '64,020', '25,000,000', '3e-07')
    """
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e15 else f"{value:.{digits}g}"


def say_share(share: float) -> str:
    """A share as a percentage, of two digits; from 99.5 % on as many as tell it from all, and above all whole.

    >>> say_share(0.123), say_share(0.996), say_share(0.99996), say_share(1.0), say_share(4.31)
    ('12 %', '99.6 %', '99.996 %', '100 %', '431 %')
    """
    percent = 100 * share
    if percent < 99.5:
        return f"{percent:.2g} %"
    digits = next((digits for digits in (1, 2, 3) if round(percent, digits) < 100), 0)
    return f"{percent:,.{digits}f} %"


def rounded_up(value: float, digits: int = 2) -> float:
    """The least number of so many digits that is not below: an upper bound stays one.

    >>> rounded_up(1 / 41), rounded_up(0.1), rounded_up(0.0)
    (0.025, 0.1, 0.0)
    """
    return float(Context(prec=digits, rounding=ROUND_CEILING).create_decimal(repr(float(value))))


def count(number: int, noun: str) -> str:
    """
    >>> count(1, "row"), count(3, "missing value"), count(2, "class")
    ('1 row', '3 missing values', '2 classes')
    """
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{plural}"


def name_rows(rows: "Bool[np.ndarray, ' n']") -> str:
    """The rows that are True, numbered from 1 as a person counts them.

    >>> import numpy as np
    >>> name_rows(np.array([False, True])), name_rows(np.ones(6, bool))
    ('row 2', 'rows 1, 2, 3 and 3 more')
    """
    numbers = rows.nonzero()[0] + 1
    return f"row{'' if len(numbers) == 1 else 's'} {listed(map(str, numbers))}"


def name_left_out(rows: "Bool[np.ndarray, ' n']") -> str:
    """Rows that are left out, and that they are not counted where others are named later.

    >>> import numpy as np
    >>> name_left_out(np.array([False, True]))
    'row 2; rows are numbered without it'
    """
    return f"{name_rows(rows)}; rows are numbered without {'it' if rows.sum() == 1 else 'them'}"


def name_columns(names: Iterable[str]) -> str:
    """
    >>> name_columns(["a"]), name_columns("abcde")
    ("column 'a'", "columns 'a', 'b', 'c' and 2 more")
    """
    quoted = [repr(name) for name in names]
    return f"column{'' if len(quoted) == 1 else 's'} {listed(quoted)}"


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """A clause to append, empty when nothing is close.

    >>> did_you_mean("Prize", ["price", "rooms"]), did_you_mean("target", ["age", "bmi"])
    ("; did you mean 'price'?", '')
    >>> did_you_mean("家貸", ["面積", "築年数", "家賃"])
    "; did you mean '家賃'?"
    """
    by_lower = {choice.lower(): choice for choice in choices}
    # A wrong letter of a Japanese word is half of it.
    cutoff = 0.5 if isinstance(word, str) and len(word) < 4 and not word.isascii() else _CLOSE
    close = difflib.get_close_matches(word.lower(), by_lower, n=2, cutoff=cutoff) if isinstance(word, str) else []
    return f"; did you mean {' or '.join(repr(by_lower[match]) for match in close)}?" if close else ""


def choose_one(word: object, choices: Iterable[str]) -> str:
    """A clause to append: what is close, and what there is.

    >>> choose_one("sgd", ["gd", "adam"]), choose_one("x", ["gd", "adam"])
    ("; did you mean 'gd'? Choose one of gd, adam", '; choose one of gd, adam')
    """
    listed, close = ", ".join(choices := list(choices)), did_you_mean(word, choices)
    return f"{close} Choose one of {listed}" if close else f"; choose one of {listed}"


_NEED_A_NUMBER = {
    "ConcretizationTypeError",
    "NonConcreteBooleanIndexError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
}
"""JAX's errors of a function that, while it is compiled, asks what number an array holds."""
_PLACEHOLDER = re.compile(r"\b\w*Tracer\b")
_WHILE_COMPILING = "The error occurred while tracing"


def say_error(error: BaseException) -> str:
    """What happened, in one line, without what JAX says of its own parts.

    >>> say_error(KeyError("price")), say_error(MemoryError()), say_error(ValueError("two\\nlines"))
    ("KeyError: 'price'", 'MemoryError', 'ValueError: two lines')
    >>> say_error(AttributeError("'DynamicJaxprTracer' object has no attribute 'mul'"))
    "AttributeError: 'array' object has no attribute 'mul'"
    """
    if type(error).__name__ in _NEED_A_NUMBER:
        return "it asks what number an array holds, as float(), if, an index or NumPy does, before there is one"
    said = " ".join(str(error).partition(_WHILE_COMPILING)[0].split())
    said = _PLACEHOLDER.sub("array", said)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def first_line(error: object) -> str:
    """Of what an error says, or its kind where it says nothing.

    >>> first_line(ValueError("two\\nlines")), first_line(ValueError())
    ('two', 'ValueError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def listed(items: Iterable[str]) -> str:
    """The first three, and how many more there are.

    >>> listed("ab"), listed("abcde")
    ('a, b', 'a, b, c and 2 more')
    """
    first = list(items)
    more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
    return ", ".join(first[:_SHOWN]) + more


def aligned(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Cells in columns, the first ``left`` of them from the left and the others from the right.

    >>> aligned([["layer", "units"], ["w", "3"]], 1)
    ['layer  units', 'w          3']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


_BOX = "display:inline-block;border:1px solid #d5dbe0;padding:.5em .9em;font:13px/1.5 system-ui,sans-serif"
_NAME = "text-align:left;color:#55606b;font-weight:normal;padding:0 1em 0 0;background:none"
_VALUE = "text-align:left;padding:0;background:none"


def card(title: str, rows: Mapping[str, object]) -> str:
    """A title over names and values, as HTML in which nothing of them is markup.

    >>> "&lt;b&gt;" in card("<b>", {"name": "value"})
    True
    """
    body = "".join(
        f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th><td style="{_VALUE}">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f'<div style="{_BOX}"><strong>{escape(title)}</strong><table style="margin:.3em 0 0">{body}</table></div>'
