"""A supervised problem: its data split and standardized, and the loss and the metric it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped

from nucleate._wording import count, name_columns, say_error
from nucleate.errors import DataError, NucleateError, SpecError
from nucleate.problems.checks import (
    Kind,
    choose_loss,
    choose_targets,
    complete_rows,
    input_kinds,
    missing,
    refuse_infinite,
    refuse_missing,
    target_kinds,
)
from nucleate.problems.form import Form
from nucleate.problems.losses import CROSS_ENTROPY, SQUARED, Loss
from nucleate.problems.preprocessing import Preprocessing
from nucleate.problems.reading import Read, table_from_arrays, table_hash
from nucleate.problems.splitting import part_sizes, split_rows


@dataclass(frozen=True, eq=False)
class Split:
    """One part of the data, ready for a network, in float64.

    Parameters
    ----------
    x : array of shape (n, d)
    y : array of shape (n, c)
        Standardized targets for regression, one-hot labels for classification.
    """

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n c"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Data with a task: what a network is trained on, stopped by and judged by.

    Parameters
    ----------
    name : str
    loss : Loss
        What is made small, what outputs predict, and the metric that predictions are judged by.
    train, validation, test : Split
    preprocessing : Preprocessing
        Fitted on the training part; kept with a model.
    data_hash : str
        SHA-256 of the columns' names, types and values as read. It does not depend on the file's format or the split,
        but for the synthetic sets, which are drawn anew for every split seed.
    notes : tuple of str
        What was decided or left out on the way, a sentence each.
    test_rows : DataFrame or None
        The test rows before any of this, their texts as they stood in the file; None where they are not known.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((100, 3))
    >>> problem = Problem.from_arrays(x, x[:, 0] * x[:, 1])
    >>> problem
    Problem(arrays, regression, 3 inputs, 1 output, 60 + 20 + 20 rows)
    >>> problem.metric_name, problem.metric(problem.test.y, problem.test.y)
    ('rmse', 0.0)
    """

    name: str
    loss: Loss
    train: Split
    validation: Split
    test: Split
    preprocessing: Preprocessing
    data_hash: str
    notes: tuple[str, ...] = ()
    test_rows: pl.DataFrame | None = None

    @classmethod
    def from_arrays(
        cls,
        x: Shaped[np.ndarray, "n d"],
        y: Shaped[np.ndarray, "n ..."],
        *,
        task: str | None = None,
        loss: Loss | None = None,
        name: str = "arrays",
        split_seed: int = 0,
        validation: float = 0.2,
        test: float = 0.2,
        drop_missing: bool = False,
        standardize: bool = True,
    ) -> "Problem":
        """The problem of learning ``y``, of shape (n,) or (n, c), from the rows of ``x``; otherwise as `from_table`."""
        table, targets = table_from_arrays(x, y)
        return cls.from_table(
            table,
            target=targets,
            task=task,
            loss=loss,
            name=name,
            split_seed=split_seed,
            validation=validation,
            test=test,
            drop_missing=drop_missing,
            standardize=standardize,
        )

    @classmethod
    def from_table(
        cls,
        table: pl.DataFrame,
        *,
        target: str | Sequence[str] | None = None,
        task: str | None = None,
        loss: Loss | None = None,
        name: str = "table",
        split_seed: int = 0,
        validation: float = 0.2,
        test: float = 0.2,
        drop_missing: bool = False,
        standardize: bool = True,
        preprocessing: Preprocessing | None = None,
        read: Read | None = None,
    ) -> "Problem":
        """The problem of learning one or more columns of a table from all the others.

        Text and truth values are one-hot encoded, input columns that are constant are left out, and a classification is
        split class by class.

        Parameters
        ----------
        table : polars DataFrame
        target : str or sequence of str, optional
            Column names, in one str separated by commas. By default "target", else "y", else the last column.
        task : {"regression", "classification"}, optional
            By default classification for a target of text or truth values, or of whole numbers of which at most 20 are
            different, each in 10 rows or more on average; else regression. Whole numbers of a file that have a unit,
            or more than two with cells such as ``-`` among them, are amounts.
        loss : Loss, optional
            By default squared errors for regression and cross-entropy for classification.
        name : str
        split_seed : int
        validation, test : float
            The shares of the rows for these parts.
        drop_missing : bool
            Drop rows with missing values; otherwise they are refused.
        standardize : bool
            Give numeric inputs and targets mean 0 and standard deviation 1 on the training part.
        preprocessing : Preprocessing, optional
            That of a model, which then names the columns, the target and the task, instead of one fitted here.
        read : Read, optional
            How the table was read from a file.

        Raises
        ------
        DataError
            If the data cannot be used so, with the cause and the remedy.
        """
        data_hash = table_hash(table)
        if preprocessing is not None:
            target = [column.name for column in preprocessing.targets]
            if loss is None:
                task = (CROSS_ENTROPY if preprocessing.labels else SQUARED).link.task
            table = preprocessing.select(table)
        targets = choose_targets(table.columns, target)
        read = read or Read(table)
        notes = list(read.notes)
        notes += [] if target is not None else [f"No target was named, so {name_columns(targets)} was taken."]
        texts = [] if read.texts is None else [one for one in read.texts if one.name in table.columns]
        raw = table.with_columns(texts)
        empty = [column.name for column in table.drop(targets) if column.null_count() == len(column)]
        if empty and preprocessing is None:
            table = table.drop(empty)
            notes.append(f"Left out empty {name_columns(empty)}.")
            if set(table.columns) <= set(targets):
                raise DataError(f"Every input is empty ({name_columns(empty)}); give one that has values.")
        dates = [column.name for column in table.drop(targets) if column.dtype in (pl.Date, pl.Datetime)]
        notes += [f"Input {name_columns(dates)} became days since 1970-01-01."] if dates else []
        refuse_infinite(table)
        raw = raw.filter(~np.any(missing(table), axis=1))
        if drop_missing:
            table, dropped = complete_rows(table)
            notes += dropped
        else:
            _refuse_gaps(table, targets, read.gaps)
        sizes = part_sizes(len(table), validation, test)
        checked = _check(table, targets, task, loss, _signs_of_amounts(read, table.select(targets)))
        labels = np.array(table[targets[0]].to_list()) if "categorical" in checked.targets.values() else None
        parts = split_rows(sizes, split_seed, labels)
        problem = assemble(
            name,
            [table[rows] for rows in parts],
            checked.inputs,
            checked.targets,
            checked.loss,
            standardize=standardize,
            data_hash=data_hash,
            notes=[*notes, *checked.notes],
            preprocessing=preprocessing,
            form=read.form,
        )
        return replace(problem, test_rows=raw[list(parts)[2]])

    @classmethod
    def from_parts(
        cls,
        train: pl.DataFrame,
        validation: pl.DataFrame,
        test: pl.DataFrame,
        *,
        target: str | Sequence[str],
        task: str | None = None,
        loss: Loss | None = None,
        name: str = "parts",
        standardize: bool = True,
    ) -> "Problem":
        """The problem of a table that is split already, into parts of the same columns; otherwise as `from_table`.

        Raises
        ------
        DataError
            As `from_table`; for parts without rows; and for a class that the training part does not have.

        Examples
        --------
        >>> table = pl.DataFrame({"hour": range(30), "load": [hour % 24 for hour in range(30)]})
        >>> Problem.from_parts(table[:20], table[20:25], table[25:], target="load", task="regression")
        Problem(parts, regression, 1 input, 1 output, 20 + 5 + 5 rows)
        """
        parts = (train, validation, test)
        if min(map(len, parts)) == 0:
            raise DataError(
                f"The parts have {', '.join(str(len(part)) for part in parts)} rows; each needs one or more."
            )
        if any(part.columns != train.columns for part in parts):
            raise DataError("The parts differ in their columns; give all three the same ones in the same order.")
        table = pl.concat(parts, how="vertical_relaxed")
        targets = choose_targets(table.columns, target)
        refuse_infinite(table)
        _refuse_gaps(table, targets)
        checked = _check(table, targets, task, loss)
        return assemble(
            name,
            [table[: len(train)], table[len(train) : -len(test)], table[-len(test) :]],
            checked.inputs,
            checked.targets,
            checked.loss,
            standardize=standardize,
            data_hash=table_hash(*parts),
            notes=checked.notes,
            test_rows=test,
        )

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(part.x)) for part in (self.train, self.validation, self.test))
        shapes = f"{count(self.inputs, 'input')}, {count(self.outputs, 'output')}"
        return f"Problem({self.name}, {self.task}, {shapes}, {sizes} rows)"

    @property
    def inputs(self) -> int:
        """The number d of a network's inputs."""
        return self.train.x.shape[1]

    @property
    def outputs(self) -> int:
        """The number c of a network's outputs: of target columns, or of classes."""
        return self.train.y.shape[1]

    @property
    def task(self) -> str:
        """What people call it: regression or classification."""
        return self.loss.link.task

    @property
    def metric_name(self) -> str:
        """The name of the loss's metric."""
        return self.loss.metric.name

    def predict(self, outputs: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """What outputs predict, in the targets' own units, or class probabilities."""
        return self.preprocessing.in_units(self.loss.link(np.asarray(outputs, np.float64)))

    def metric(self, outputs: Float[np.ndarray, "n c"], y: Float[np.ndarray, "n c"]) -> float:
        """The loss's metric of a network's outputs against the targets of a part.

        Raises
        ------
        SpecError
            If the loss is known by its name alone.
        """
        value = self.loss.metric.value
        if value is None:
            raise SpecError(f"The metric {self.metric_name!r} is known by its name alone; pass the Loss it belongs to.")
        try:
            return float(value(self.predict(outputs), self.preprocessing.in_units(y)))
        except NucleateError:
            raise
        except Exception as error:
            raise SpecError(
                f"The metric {self.metric_name!r} cannot be computed ({say_error(error)[:160]}); its value takes "
                "predictions and targets in units, and gives a number."
            ) from error


class _Checked(NamedTuple):
    """What the columns of a usable table are."""

    loss: Loss
    inputs: Mapping[str, Kind]
    targets: Mapping[str, Kind]
    notes: list[str]


def _refuse_gaps(table: pl.DataFrame, targets: Sequence[str], gaps: Mapping[str, str] | None = None) -> None:
    advice = "Drop or fill them, or pass --drop-missing (in Python drop_missing=True)."
    parts: tuple[tuple[Literal["Input", "Target"], pl.DataFrame], ...] = (
        ("Target", table.select(targets)),
        ("Input", table.drop(targets)),
    )
    for role, part in parts:
        said = [sentence for name, sentence in (gaps or {}).items() if name in part.columns]
        refuse_missing(part, role, " ".join([advice, *said[:3]]))


def _signs_of_amounts(read: Read, targets: pl.DataFrame) -> str:
    """What in a file says that a target's whole numbers are amounts: a unit, or cells such as -, which labels lack."""
    for target in targets:
        unit = read.form.units.get(target.name)
        if unit:
            return f"they are in {unit}"
        if target.name in read.gaps and target.n_unique() > 2:
            return "some of its cells stand for no value"
    return ""


def _check(
    table: pl.DataFrame, targets: Sequence[str], task: str | None, loss: Loss | None, amounts: str = ""
) -> _Checked:
    loss, notes = choose_loss(table.select(targets), task, loss, amounts)
    kinds_of_targets = target_kinds(table.select(targets), loss)
    kinds_of_inputs = input_kinds(table.drop(targets))
    constant = [column for column, kind in kinds_of_inputs.items() if kind == "constant"]
    if constant:
        notes.append(f"Left out constant input {name_columns(constant)}.")
    return _Checked(loss, kinds_of_inputs, kinds_of_targets, notes)


def assemble(
    name: str,
    parts: Sequence[pl.DataFrame],
    inputs: Mapping[str, Kind],
    targets: Mapping[str, Kind],
    loss: Loss,
    *,
    standardize: bool,
    data_hash: str,
    notes: Sequence[str] = (),
    preprocessing: Preprocessing | None = None,
    form: Form | None = None,
    test_rows: pl.DataFrame | None = None,
) -> Problem:
    """The problem of raw training, validation and test parts whose columns have the given kinds."""
    if preprocessing is None:
        preprocessing = Preprocessing.fit(
            parts[0], inputs, targets, standardize=standardize, standardize_targets=loss.link.standardized, form=form
        )
    splits = (Split(preprocessing.transform(part), preprocessing.transform_target(part)) for part in parts)
    train, validation, test = splits
    return Problem(name, loss, train, validation, test, preprocessing, data_hash, tuple(notes), test_rows)
