"""Which rows and columns of a person's tables a problem is made of, before the rows come into parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from nucleate._wording import name_columns
from nucleate.errors import DataError
from nucleate.problems.checks import (
    ADVICE,
    OF_TARGETS,
    choose_columns,
    choose_targets,
    complete_rows,
    refuse_infinite,
    refuse_missing,
)
from nucleate.problems.options import DataOptions
from nucleate.problems.preprocessing import Impute
from nucleate.problems.weights import ROLE, weights_in
from nucleate.tables.reading import Read
from nucleate.tables.sources import Source, gather


@dataclass(frozen=True, eq=False)
class Chosen:
    """The inputs and targets of the rows that are used, and what is known of these.

    ``came_from`` is 0 for rows that are to be dealt out or are for training, 1 and 2 for a person's own for validation
    and test; ``roles`` has the columns by which rows come into parts. ``everything`` are all rows and columns of the
    sources: ``complete`` says which of the rows are used, ``of_zero`` which would be, but for their weight of zero, and
    ``left_out`` what became of the columns that are no input and no target.
    """

    table: pl.DataFrame
    targets: tuple[str, ...]
    came_from: Int[np.ndarray, " n"]
    roles: pl.DataFrame
    weights: Float[np.ndarray, " n"] | None
    sources: list[Source]
    everything: pl.DataFrame
    complete: Bool[np.ndarray, " all"]
    of_zero: Bool[np.ndarray, " all"]
    left_out: dict[str, str]
    notes: list[str]

    def raw_test(self, rows: Int[np.ndarray, " n_test"]) -> pl.DataFrame:
        """Some of the rows, all of one source, as they stood before any of this."""
        source = next((one for one in self.sources if one.part == 2), self.sources[0])
        before = np.count_nonzero(self.complete[: source.start])
        raw = source.raw(self.everything.select(self.table.columns))
        return raw.filter(self.complete[source.rows])[rows - before]


def choose_rows(read: Read, options: DataOptions) -> Chosen:
    """The rows and columns of a table, and of a person's own for validation and test, that are asked for."""
    asked, target, weights, preprocessing = options.asked, options.target, options.weights, options.preprocessing
    left_out = dict.fromkeys(choose_columns(read.table.columns, options.without, "column"), "left out, as asked")
    sources = gather(read, asked.own, {*left_out, asked.split_by_time or ""})
    everything = pl.concat([source.table for source in sources], how="vertical_relaxed")
    table = everything if preprocessing is None else preprocessing.select(everything)
    notes = [note for source in sources for note in source.notes]
    try:
        named = [] if target is None else choose_columns(everything.columns, target, "target column")
    except DataError as error:
        sheet = next((note for note in notes if note.endswith("--sheet names another.")), "")
        raise DataError(f"{error} {sheet}".rstrip()) from None
    if set(named) & set(left_out):
        twice = name_columns([name for name in named if name in left_out])
        raise DataError(f"The target {twice} cannot be left out too; take it out of --without, or name another target.")
    roles = asked.roles
    if weights in roles:
        raise DataError(f"Column {weights!r} has the weights and says the {roles[weights]}; name another for one.")
    if weights is not None:
        roles[weights] = ROLE
    _refuse_two_roles(roles, named, left_out)
    left_out |= roles
    table = table.drop(left_out, strict=False)
    targets = choose_targets(table.columns, target)
    notes += [] if target is not None else [f"No target was named, so {name_columns(targets)} was taken."]
    counts = table.drop(targets).null_count()
    empty = [name for name, gaps in counts.row(0, named=True).items() if gaps == len(table)]
    if empty and preprocessing is None:
        table = table.drop(empty)
        left_out |= dict.fromkeys(empty, "left out: empty")
        notes.append(f"Left out empty {name_columns(empty)}.")
        if set(table.columns) <= set(targets):
            raise DataError(f"Every input is empty ({name_columns(empty)}); give one that has values.")
    dates = [name for name, dtype in table.drop(targets).schema.items() if dtype in (pl.Date, pl.Datetime)]
    notes += [f"Input {name_columns(dates)} became days since 1970-01-01."] if dates else []
    decisive = table if preprocessing is None else preprocessing.rows_used(everything)
    complete, weigh = np.ones(len(table), bool), np.ones(len(table))
    for source in sources:
        with source.named():
            refuse_infinite(table[source.rows])
            if options.drop_missing:
                looked_at = decisive.select(targets) if options.impute else decisive
                complete[source.rows], dropped = complete_rows(looked_at[source.rows])
                notes += map(source.of, dropped)
            else:
                refuse_gaps(table[source.rows], targets, source.read.gaps, options.impute)
            asked.check_rows(everything[source.rows])
            if weights is not None:
                weigh[source.rows] = weights_in(everything[weights][source.rows])
    of_zero = complete & (weigh == 0)
    complete &= ~of_zero
    came_from = np.repeat([source.part for source in sources], [len(source.table) for source in sources])
    return Chosen(
        table.filter(complete),
        targets,
        came_from[complete],
        everything.filter(complete).select([*asked.roles]),
        None if weights is None else weigh[complete],
        sources,
        everything,
        complete,
        of_zero,
        left_out,
        notes,
    )


def _refuse_two_roles(roles: Mapping[str, str], targets: Sequence[str], left_out: Mapping[str, str]) -> None:
    """Refuse a column that decides the parts or the weights and is the target, or is left out too."""
    for name, role in roles.items():
        if name in targets:
            raise DataError(f"Column {name!r} is the target and has the {role} too; name another for one of them.")
        if name in left_out:
            raise DataError(f"Column {name!r} has the {role}, so it is no input anyway; take it out of --without.")


def refuse_gaps(table: pl.DataFrame, targets: Sequence[str], gaps: Mapping[str, str], impute: Impute | None) -> None:
    """Refuse missing values, but those of inputs that are imputed."""
    of_targets = "Only inputs are imputed; pass --drop-missing too (in Python drop_missing=True)."
    of_targets = of_targets if impute else OF_TARGETS
    parts: tuple[tuple[Literal["Input", "Target"], pl.DataFrame, str], ...] = (
        ("Target", table.select(targets), of_targets),
        ("Input", table.select([] if impute else pl.exclude(targets)), ADVICE),
    )
    for role, part, advice in parts:
        said = [sentence for name, sentence in gaps.items() if name in part.columns]
        refuse_missing(part, role, " ".join([advice, *said[:3]]))
