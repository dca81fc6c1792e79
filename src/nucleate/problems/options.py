"""What a person says of data: which columns are what, what missing values become, and how rows are dealt out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nucleate.errors import DataError
from nucleate.problems.checks import choose_column
from nucleate.problems.division import OF_ROWS, Asked
from nucleate.problems.losses import CROSS_ENTROPY, SQUARED, Loss
from nucleate.problems.preprocessing import Impute, Preprocessing, check_impute
from nucleate.tables.form import FORM_FIELDS

_OF_COLUMNS = ("target", "without", "task", "loss", "drop_missing", "impute")
DATA_FIELDS = (*_OF_COLUMNS, *FORM_FIELDS, "split_seed", "validation", "test", *OF_ROWS)
"""The arguments of `load_problem` that a study has as fields: all that decides what its data are."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What a person says of a table, but for how its file is read, which a `Form` has; as `Problem.from_table` says it.

    It is made where the arguments are given, and below them passed whole.
    """

    target: str | Sequence[str] | None = None
    without: str | Sequence[str] = ()
    task: str | None = None
    loss: Loss | str | None = None
    asked: Asked = field(default_factory=Asked)
    weights: str | None = None
    drop_missing: bool = False
    impute: Impute | None = None
    standardize: bool | None = None
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        check_impute(self.impute)

    @classmethod
    def of(cls, *, split_seed: int = 0, **given: Any) -> "DataOptions":
        """The options of these arguments of `Problem.from_table`."""
        # Weights name a column of rows too, but deal out none.
        of_parts = ("validation", "test", *(name for name in OF_ROWS if name != "weights"))
        parts = {name: given.pop(name) for name in of_parts if name in given}
        return cls(asked=Asked(**parts, seed=split_seed), **given)

    def on(self, columns: Sequence[str]) -> "DataOptions":
        """The same for a table of these columns: their names as they are written, and what a model has decided."""
        target, task, impute = self.target, self.task, self.impute
        if self.preprocessing is not None:
            target = [column.name for column in self.preprocessing.targets]
            if self.loss is None:
                task = (CROSS_ENTROPY if self.preprocessing.labels else SQUARED).link.task
            if impute not in (None, self.preprocessing.impute):
                raise DataError(f"The model imputes by {self.preprocessing.impute}, not by {impute}; leave impute out.")
            impute = self.preprocessing.impute
        asked = self.asked.check(columns)
        weights = None if self.weights is None else choose_column(columns, self.weights, "--weights")
        return replace(self, target=target, task=task, impute=impute, asked=asked, weights=weights)
