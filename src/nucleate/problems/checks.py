"""Which columns are the target, and whether its values or its classes are to be learned."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from nucleate._wording import count, did_you_mean, name_columns, name_rows
from nucleate.errors import DataError
from nucleate.problems.links import COUNTS
from nucleate.problems.losses import CROSS_ENTROPY, DEFAULT_LOSSES, SQUARED, Loss, get_loss

Kind = Literal["numeric", "categorical", "constant"]

_EXACT = 2.0**53
"""Up to here float64 has every whole number."""
LARGEST = 1e100
"""Numbers beyond this count as infinite: their squares would overflow."""

ADVICE = (
    "Drop or fill them, or pass --drop-missing or --impute median (in Python drop_missing=True or impute='median')."
)
"""What to do about missing inputs."""

OF_TARGETS = "Fill them, or pass --drop-missing (in Python drop_missing=True)."
"""What to do about missing targets, which are not imputed."""

AFTERWARDS = "Drop or fill them; a model that was trained with --impute (in Python impute=) imputes them."
"""What to do about missing values where a model refuses them."""

_DATE = r"^\s*\d{1,4}[-/]\d{1,2}[-/]\d{1,4}"


def kind_of(raw: pl.Series) -> Kind:
    """Whether a column holds numbers and dates, or categories (text and truth values)."""
    if raw.dtype.is_numeric() or raw.dtype in (pl.Date, pl.Datetime, pl.Null):
        return "numeric"
    is_text = raw.dtype == pl.String and raw.null_count() < len(raw)
    if raw.dtype.is_temporal() or (is_text and raw.str.contains(_DATE).all()):
        raise DataError(
            f"Column {raw.name!r} holds dates or times. Turn it into numbers, such as days since the first date, or "
            "delete it."
        )
    if raw.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return "categorical"
    raise DataError(
        f"Column {raw.name!r} holds values of type {raw.dtype}; turn it into numbers or text, or delete it."
    )


def numbers_in(table: pl.DataFrame) -> Float[np.ndarray, "columns n"]:
    """Numbers as they are, dates as days since 1970, and NaN where there is none; a row for each column."""
    values = np.empty((table.width, table.height))
    # One column after another: an expression of thousands of columns takes polars longer.
    for row, raw in zip(values, table.iter_columns(), strict=True):
        if raw.dtype in (pl.Date, pl.Datetime):
            row[:] = raw.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64).to_numpy() / 86_400e6
        else:
            row[:] = (raw if raw.dtype == pl.Float64 else raw.cast(pl.Float64)).to_numpy()
    return values


def missing(table: pl.DataFrame) -> Bool[np.ndarray, "n columns"]:
    """Where a table has no value, or NaN."""
    gaps = np.zeros((table.width, len(table)), bool)
    for row, raw in zip(gaps, table.iter_columns(), strict=True):
        if raw.dtype.is_float():
            row[:] = np.isnan(raw.to_numpy())
        elif raw.null_count():
            row[:] = raw.is_null().to_numpy()
    return gaps.T


def complete_rows(table: pl.DataFrame) -> tuple[Bool[np.ndarray, " n"], list[str]]:
    """Which rows have a value in every column, and a note if others were left out."""
    gaps = missing(table)
    rows, sizes = np.any(gaps, axis=1), gaps.sum(axis=0)
    if rows.all():
        raise DataError(
            f"No row is without a missing value: column {table.columns[sizes.argmax()]!r} lacks {sizes.max()} of "
            f"{len(table)}. Leave out (--without) or fill the columns that lack most, or pass --impute median."
        )
    left_out = f"Left out {count(int(rows.sum()), 'row')} with missing values ({name_rows(rows)})."
    return ~rows, [left_out] if rows.any() else []


def refuse_missing(table: pl.DataFrame, role: Literal["Input", "Target"], advice: str = ADVICE) -> None:
    gaps = missing(table)
    names = [name for name, gap in zip(table.columns, gaps.T, strict=True) if gap.any()]
    if names:
        raise DataError(
            f"{role} {name_columns(names)} {'has' if len(names) == 1 else 'have'} "
            f"{count(int(gaps.sum()), 'missing value')} ({name_rows(np.any(gaps, axis=1))}). {advice}"
        )


def refuse_infinite(table: pl.DataFrame) -> None:
    for raw in table.iter_columns():
        if raw.dtype.is_float():
            infinite = np.abs(numbers_in(raw.to_frame())[0]) > LARGEST
            if infinite.any():
                raise DataError(
                    f"Column {raw.name!r} is infinite or beyond {LARGEST:g} in {name_rows(infinite)}; correct or "
                    "delete such values."
                )


def constant_columns(table: pl.DataFrame) -> list[str]:
    """The columns that have no more than one value; spaces around texts do not count, nor does a missing value."""
    numbers = [name for name, dtype in table.schema.items() if dtype.is_numeric()]
    values = numbers_in(table.select(numbers))
    first = np.fmin.reduce(values, axis=1, initial=np.nan)
    still = dict(zip(numbers, ~(np.fmax.reduce(values, axis=1, initial=np.nan) > first), strict=True))
    still |= {raw.name: distinct_values(raw) <= 1 for raw in table.iter_columns() if raw.name not in still}
    return [name for name in table.columns if still[name]]


def rounded_number(raw: pl.Series) -> int | None:
    """The first whole number of a column that float64 does not have; None where it has all of them."""
    if not raw.dtype.is_integer():
        return None
    large = raw.filter(raw.cast(pl.Float64).abs() >= _EXACT)
    return next((value for value in large if int(float(value)) != value), None)


def merged_number(raw: pl.Series) -> int | None:
    """The same of a column that has one number as float64, and several as it was given."""
    value = rounded_number(raw)
    return value if value is not None and distinct_values(raw) > 1 else None


def stripped(raw: pl.Series) -> pl.Series:
    """Texts without the spaces around them."""
    return raw.str.strip_chars() if raw.dtype == pl.String else raw


def distinct_values(raw: pl.Series) -> int:
    """How many different texts or other values a column has; spaces around texts do not count, nor does a gap."""
    return stripped(raw).drop_nulls().n_unique()


def input_kinds(inputs: pl.DataFrame) -> dict[str, Kind]:
    """The kind of each column of the training rows; "constant" with one value at most, from which nothing can be
    learned.
    """
    kinds: dict[str, Kind] = {raw.name: kind_of(raw) for raw in inputs.iter_columns()}
    for name in [name for name, kind in kinds.items() if kind == "categorical"]:
        values = distinct_values(inputs[name])
        if values > max(1, len(inputs) / 2):
            raise DataError(
                f"Column {name!r} is text with {values} different values in {len(inputs)} training rows"
                f"{odd_one_out(inputs[name])}. If it is a name or an identifier, {leave_out(name)} Otherwise make "
                "it numeric, or group its values."
            )
    kinds |= dict.fromkeys(constant_columns(inputs), "constant")
    if set(kinds.values()) == {"constant"}:
        merged = next(((name, value) for name in kinds if (value := merged_number(inputs[name])) is not None), None)
        rounded = "" if merged is None else f" once numbers such as {merged[1]} of {merged[0]!r} are rounded"
        remedy = "add one that does" if merged is None else "subtract what they have in common, or add an input"
        raise DataError(
            f"Input {name_columns(kinds)} never {'varies' if len(kinds) == 1 else 'vary'}{rounded}; {remedy}."
        )
    return kinds


def leave_out(name: str) -> str:
    """How to do without a column, at the end of a sentence."""
    quoted = shlex.quote(name)
    # A mark at its end would be taken for one of the sentence.
    if quoted == name and not name[-1:].isalnum():
        quoted = f"'{name}'"
    return f"leave it out: --without {quoted} (in Python without={name!r})."


def odd_one_out(raw: pl.Series) -> str:
    """A clause to append with a value that keeps a column made mostly of numbers from being numeric."""
    no_number = _numberless(raw)
    return f", of which {no_number[0]!r} is not a number" if 0 < len(no_number) < len(raw) / 2 else ""


def _numberless(raw: pl.Series) -> pl.Series:
    return raw.filter(raw.cast(pl.String).cast(pl.Float64, strict=False).is_null())


MAX_CLASSES = 20
ROWS_PER_CLASS = 10
MIN_CLASS_ROWS = 3
_TAIL = 0.3
"""Counts with a mean of up to 11 are at least so skewed, if they are Poisson's."""


def choose_targets(columns: Sequence[str], target: str | Sequence[str] | None) -> tuple[str, ...]:
    """The target's column names: those given, also in one text with commas, else "target", else "y", else the last.

    >>> choose_targets("abc", None), choose_targets("xyz", None), choose_targets("abc", "a, c")
    (('c',), ('y',), ('a', 'c'))
    """
    if not columns:
        raise DataError("The data have no columns; expected inputs and a target.")
    if target is None:
        target = next((name for name in ("target", "y") if name in columns), columns[-1])
    chosen = choose_columns(columns, target, "target column")
    if not chosen:
        raise DataError(f"The list of target columns is empty; name one or more of {name_columns(columns)}.")
    if set(columns) == set(chosen):
        raise DataError(
            f"Beside the target {name_columns(chosen)} there is no input column; add one, or name another target."
        )
    return tuple(chosen)


def choose_columns(columns: Sequence[str], names: str | Sequence[str], what: str) -> list[str]:
    """The columns of these names: a sequence, or one str that is a name or has several, separated by commas.

    Names that have commas themselves may stand among others, and taken apart at them. Spaces may be of full width,
    which the headers of files have no more when they are read.
    """
    pieces = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    spelled = {_plain(name): name for name in columns} | {_at_commas(name): name for name in columns}
    spelled |= {name: name for name in columns}
    most = 1 + max(name.count(",") for name in spelled)
    chosen = []
    while pieces:
        counts = range(min(most, len(pieces)), 0, -1)
        named = [(count, way(",".join(pieces[:count]))) for count in counts for way in (_at_commas, _plain)]
        count, found = next(((count, spelled[name]) for count, name in named if name in spelled), (0, ""))
        if not count:
            close = did_you_mean(pieces[0], columns) or f"; the data have {name_columns(columns)}."
            raise DataError(f"There is no {what} {pieces[0]!r}{close}")
        chosen.append(found)
        pieces = pieces[count:]
    return list(dict.fromkeys(chosen))


def choose_column(columns: Sequence[str], name: str, flag: str) -> str:
    """The one column that a flag names, as it is written."""
    chosen = choose_columns(columns, name, f"column for {flag}")
    if len(chosen) > 1:
        raise DataError(f"There are {len(chosen)} columns for {flag}; name one.")
    return chosen[0]


def _at_commas(name: str) -> str:
    """A name without the spaces beside its commas."""
    return ",".join(part.strip() for part in name.split(","))


def _plain(name: str) -> str:
    return _at_commas(name.replace("\u3000", " "))


def infer_loss(targets: pl.DataFrame, amounts: str = "") -> tuple[Loss, list[str]]:
    """The loss that suits the target, and a note if another might.

    Cross-entropy suits one target of text or truth values, or of whole numbers of which at most 20 are different, each
    in 10 rows or more on average; squared errors suit all others. ``amounts`` is what else speaks for amounts, if
    anything does; then whole numbers are no classes.
    """
    raw, values = targets.to_series(), targets.to_series().n_unique()
    if targets.width > 1:
        return SQUARED, []
    if kind_of(raw) == "categorical":
        return CROSS_ENTROPY, []
    if (
        raw.dtype.is_temporal()
        or values > MAX_CLASSES
        or values * ROWS_PER_CLASS > len(raw)
        or (raw != raw.floor()).any()
    ):
        return SQUARED, []
    if amounts:
        said = f"The target's {values} different whole numbers were taken as amounts, for {amounts}"
        return SQUARED, [f"{said}; pass --task classification for classes."]
    note = (
        f"The target's {values} different whole numbers were taken as classes; set the task to regression for amounts."
    )
    return CROSS_ENTROPY, [note]


def choose_loss(
    targets: pl.DataFrame, task: str | None, loss: Loss | str | None, amounts: str = ""
) -> tuple[Loss, list[str]]:
    """The loss that was asked for, by itself or by the name of a task, or else the one that suits, and notes."""
    if task is not None and task not in DEFAULT_LOSSES:
        raise DataError(f"There is no task {task!r}; choose {' or '.join(DEFAULT_LOSSES)}.")
    if loss is not None:
        loss = get_loss(loss)
        if task not in (None, loss.link.task):
            raise DataError(f"The loss {loss.name!r} is for {loss.link.task}, not for {task}; leave one of them out.")
        return loss, []
    chosen, notes = infer_loss(targets, amounts) if task is None else (DEFAULT_LOSSES[task], [])
    return chosen, [*notes, *_may_be_counts(targets)] if chosen is SQUARED else notes


def _may_be_counts(targets: pl.DataFrame) -> list[str]:
    """A note where every target has whole numbers from 0 on that recur, with a longer tail above, as counts do."""
    for raw in targets:
        if not raw.dtype.is_numeric() or raw.min() != 0 or not COUNTS.has(raw.to_numpy()).all():
            return []
        if not 2 < raw.n_unique() <= len(raw) / 2 or (raw.skew() or 0.0) < _TAIL:
            return []
    return [
        f"Target {name_columns(targets.columns)} may count something, as whole numbers from 0 on do; then "
        "--loss poisson (in Python loss='poisson') suits it."
    ]


def target_kinds(targets: pl.DataFrame, loss: Loss) -> Mapping[str, Kind]:
    """The kind of each target column under the loss."""
    kinds = {raw.name: kind_of(raw) for raw in targets}
    for raw in targets:
        if raw.dtype.is_temporal():
            raise DataError(f"Target column {raw.name!r} holds dates; name a target of amounts or of classes.")
    for raw in targets:
        if raw.n_unique() == 1:
            raise DataError(f"Target column {raw.name!r} is {raw[0]!r} in every row; name a target that varies.")
        merged = merged_number(raw) if constant_columns(raw.to_frame()) else None
        if merged is not None and not loss.of_classes:
            raise DataError(
                f"Target column {raw.name!r} has whole numbers of more than 15 digits, such as {merged}, which are all "
                f"rounded to {int(float(merged))}; subtract what they have in common, or name another target."
            )
    if loss.of_classes:
        _refuse_as_classes(targets)
        return {targets.columns[0]: "categorical"}
    for raw in targets:
        if kinds[raw.name] == "categorical":
            numberless = _numberless(raw)
            example = numberless[0] if len(numberless) else raw[0]
            of_task = "regression needs. Make it numeric, or set the task to classification."
            of_loss = f"the loss {loss.name!r} needs. Make it numeric, or leave the loss out for classes."
            raise DataError(
                f"Target column {raw.name!r} is not numeric (it holds {example!r}), as "
                f"{of_task if loss is SQUARED else of_loss}"
            )
        outside = raw.filter(~loss.domain.has(raw.to_numpy())) if loss.domain else raw[:0]
        if loss.domain and len(outside):
            raise DataError(
                f"Target column {raw.name!r} has {outside[0]} ({count(len(outside), 'row')} with such values), and the "
                f"loss {loss.name!r} is for {loss.domain.name}. Correct them, or take another loss."
            )
    return kinds


def _refuse_as_classes(targets: pl.DataFrame) -> None:
    if targets.width > 1:
        raise DataError(
            f"The target of a classification is one column, and {targets.width} were named; name one that holds the "
            "class, or set the task to regression."
        )
    raw = targets.to_series()
    sizes = Counter(raw.to_list())
    rare = sum(size < MIN_CLASS_ROWS for size in sizes.values())
    if rare:
        label, size = sizes.most_common()[-1]
        raise DataError(
            f"Target column {raw.name!r} has {count(rare, 'class')} with fewer than {MIN_CLASS_ROWS} rows ({label!r} "
            f"has {size}) among its {count(len(sizes), 'class')}{odd_one_out(raw)}. Merge or delete rare classes; if "
            "its values are amounts, make all of them numbers and set the task to regression."
        )
