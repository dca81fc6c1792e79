"""A supervised problem: its data split and standardized, and the loss and the metric it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped

from nucleate._wording import count, name_columns, say_error
from nucleate.errors import DataError, NucleateError, SpecError
from nucleate.problems.checks import (
    Kind,
    choose_loss,
    choose_targets,
    constant_columns,
    input_kinds,
    merged_number,
    refuse_infinite,
    target_kinds,
)
from nucleate.problems.columns import COLUMNS, MANY, lines_of, tabulate_columns, what_became
from nucleate.problems.copies import copies_in, count_repeated
from nucleate.problems.division import AT_RANDOM, OWN, Asked, Division, check_parts, divide
from nucleate.problems.losses import Loss
from nucleate.problems.made import RowShape
from nucleate.problems.notices import Notice, few_rows, repeated_rows, say, uneven_targets
from nucleate.problems.oddities import notices_of
from nucleate.problems.options import DataOptions
from nucleate.problems.preprocessing import Impute, Preprocessing
from nucleate.problems.rows import Chosen, choose_rows, refuse_gaps
from nucleate.problems.weights import WEIGHTS, column_of_weights, notes_of, weights_in
from nucleate.tables import Form
from nucleate.tables.reading import Read, table_from_arrays, table_hash


@dataclass(frozen=True, eq=False)
class Split:
    """One part of the data, ready for a network, in float64.

    Parameters
    ----------
    x : array of shape (n, d)
    y : array of shape (n, c)
        Standardized targets for regression, or counts in units of their mean; one-hot labels for classification.
    groups : array of shape (n,), optional
        The number of each row's group, where rows belong to groups.
    weights : array of shape (n,), optional
        What each row counts for, where rows differ in that; their scale means nothing.
    """

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n c"]
    groups: Int[np.ndarray, " n"] | None = None
    weights: Float[np.ndarray, " n"] | None = None

    @cached_property
    def copies(self) -> Int[np.ndarray, " n"] | None:
        """Which of the different rows each is, where some are copies of others, target and all; None where none is.

        Rows of so few values that chance repeats them are no copies.
        """
        return copies_in(*self._columns)

    @property
    def different(self) -> Int[np.ndarray, " m"]:
        """The places of the different rows: of those that are copies of each other the first."""
        return np.arange(len(self.x)) if self.copies is None else np.unique(self.copies, return_index=True)[1]

    @property
    def _columns(self) -> tuple[Float[np.ndarray, "n _"], ...]:
        return self.x.reshape(len(self.x), -1), self.y

    def count_in(self, *parts: "Split") -> int:
        """How many of the rows are in other parts too, target and all.

        Parameters
        ----------
        *parts : Split

        Returns
        -------
        int
        """
        return count_repeated(self._columns, *(part._columns for part in parts))

    def only(self, rows: Int[np.ndarray, " m"]) -> "Split":
        """Some of the rows.

        Parameters
        ----------
        rows : array of int, shape (m,)
            Their places in this part.

        Returns
        -------
        Split
        """
        groups, weights = (None if of_rows is None else of_rows[rows] for of_rows in (self.groups, self.weights))
        return Split(self.x[rows], self.y[rows], groups, weights)


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
        What was decided or left out on the way, and what is odd about the data, a sentence each.
    test_rows : DataFrame or None
        The test rows before any of this, their texts as they stood in the file; None where they are not known.
    columns : DataFrame
        A row for each column of the data: ``column``, its ``kind``, its ``range`` or categories, how many values are
        ``missing``, what ``became`` of it, and a ``note`` where something is odd. They are of all rows.
    division : Division
        How the rows came into their parts.
    weighted_by : str or None
        The column that says what each row counts for; None where all count alike.
    row_shape : RowShape or None
        The array that a row holds, and how many tokens there are where it holds these; None where rows are of columns.

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
    columns: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=COLUMNS))
    division: Division = AT_RANDOM
    weighted_by: str | None = None
    row_shape: RowShape | None = None

    @classmethod
    def from_arrays(
        cls,
        x: Shaped[np.ndarray, "n d"],
        y: Shaped[np.ndarray, "n ..."],
        *,
        weights: Float[np.ndarray, " n"] | None = None,
        task: str | None = None,
        loss: Loss | str | None = None,
        name: str = "arrays",
        split_seed: int = 0,
        validation: float = 0.2,
        test: float = 0.2,
        drop_missing: bool = False,
        impute: Impute | None = None,
        standardize: bool = True,
    ) -> "Problem":
        """The problem of learning ``y``, of shape (n,) or (n, c), from the rows of ``x``; otherwise as `from_table`.

        Parameters
        ----------
        x : array of shape (n, d)
        y : array of shape (n,) or (n, c)
        weights : array of shape (n,), optional
            What each row counts for.
        task, loss, name, split_seed, validation, test, drop_missing, impute, standardize
            As of `from_table`.

        Returns
        -------
        Problem
        """
        table, targets = table_from_arrays(x, y)
        if weights is not None:
            table = table.with_columns(column_of_weights(weights, len(table)))
        options = DataOptions(
            target=targets,
            task=task,
            loss=loss,
            asked=Asked(validation=validation, test=test, seed=split_seed),
            weights=None if weights is None else WEIGHTS,
            drop_missing=drop_missing,
            impute=impute,
            standardize=standardize,
        )
        return problem_of(Read(table), options, name)

    @classmethod
    def from_table(
        cls,
        table: pl.DataFrame,
        *,
        target: str | Sequence[str] | None = None,
        without: str | Sequence[str] = (),
        task: str | None = None,
        loss: Loss | str | None = None,
        name: str = "table",
        split_seed: int = 0,
        validation: float | pl.DataFrame = 0.2,
        test: float | pl.DataFrame = 0.2,
        split: str | None = None,
        split_by: str | None = None,
        split_by_time: str | None = None,
        weights: str | None = None,
        drop_missing: bool = False,
        impute: Impute | None = None,
        standardize: bool = True,
        preprocessing: Preprocessing | None = None,
    ) -> "Problem":
        """The problem of learning one or more columns of a table from all the others.

        Text and truth values are one-hot encoded, input columns that are constant are left out, and a classification is
        split class by class. Categories, means and what missing values count as are of the training rows, and so is
        which columns are constant. Whether a column is of numbers or of text, the task and the classes are of all rows.

        Parameters
        ----------
        table : polars DataFrame
        target : str or sequence of str, optional
            Column names, in one str separated by commas. By default "target", else "y", else the last column.
        without : str or sequence of str
            Columns that are left out, named likewise.
        task : {"regression", "classification"}, optional
            By default classification for a target of text or truth values, or of whole numbers of which at most 20 are
            different, each in 10 rows or more on average; else regression. Whole numbers of a file that have a unit,
            or more than two with cells such as ``-`` among them, are amounts.
        loss : Loss or str, optional
            By default squared errors for regression and cross-entropy for classification. One of `LOSSES` by its name,
            with a parameter behind a colon: ``huber:0.5``, ``quantile:0.9``.
        name : str
        split_seed : int
        validation, test : float or polars DataFrame
            The shares of the rows for these parts, or rows of one's own for them, in a table of the same columns.
        split : str, optional
            A column that says of each row which part it belongs to: train, validation or test, 学習, 検証 or テスト.
        split_by : str, optional
            A column of groups, such as patients: all rows of a group go into one part, and a share is of the groups.
        split_by_time : str, optional
            A column of dates or numbers: the last rows in time are for the test, those before for validation.
        weights : str, optional
            A column of what each row counts for, in everything that is fitted, trained, chosen and judged: a row of
            weight 2 counts as the row twice. Their scale means nothing, and rows of weight 0 are left out.
        drop_missing : bool
            Drop rows with missing values; otherwise they are refused.
        impute : {"median", "mean", "most_frequent"}, optional
            What missing numbers of the inputs count as: this of their column's training rows. Missing texts count as
            the most frequent in any case. With ``drop_missing`` only rows without a target are dropped then.
        standardize : bool
            Give numeric inputs and targets mean 0 and standard deviation 1 on the training part.
        preprocessing : Preprocessing, optional
            That of a model, which then names the columns, the target and the task, instead of one fitted here.

        Returns
        -------
        Problem

        Raises
        ------
        DataError
            If the data cannot be used so, with the cause and the remedy.
        """
        asked = Asked(
            validation=validation,
            test=test,
            split=split,
            split_by=split_by,
            split_by_time=split_by_time,
            seed=split_seed,
        )
        options = DataOptions(
            target=target,
            without=without,
            task=task,
            loss=loss,
            asked=asked,
            weights=weights,
            drop_missing=drop_missing,
            impute=impute,
            standardize=standardize,
            preprocessing=preprocessing,
        )
        if not isinstance(table, pl.DataFrame):
            raise DataError(
                f"The table is of type {type(table).__name__}; give a polars DataFrame, such as "
                "polars.DataFrame(table), of one of pandas polars.from_pandas(table), of a LazyFrame table.collect()."
            )
        return problem_of(Read(table), options, name)

    @classmethod
    def from_parts(
        cls,
        train: pl.DataFrame,
        validation: pl.DataFrame,
        test: pl.DataFrame,
        *,
        target: str | Sequence[str],
        task: str | None = None,
        loss: Loss | str | None = None,
        name: str = "parts",
        impute: Impute | None = None,
        standardize: bool = True,
        division: Division = OWN,
        weights: str | None = None,
    ) -> "Problem":
        """The problem of a table that is split already, into parts of the same columns; otherwise as `from_table`.

        Parameters
        ----------
        train, validation, test : polars DataFrame
        target, task, loss, name, impute, standardize, weights
            As in `from_table`; here weights are positive.
        division : Division
            How the rows came into the parts, where they were dealt out at random: ``Division()``.

        Returns
        -------
        Problem

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
        tables, weigh = (train, validation, test), None
        if min(map(len, tables)) == 0:
            raise DataError(
                f"The parts have {', '.join(str(len(part)) for part in tables)} rows; each needs one or more."
            )
        if any(part.columns != train.columns for part in tables):
            raise DataError("The parts differ in their columns; give all three the same ones in the same order.")
        table = pl.concat(tables, how="vertical_relaxed")
        options = DataOptions(weights=weights, impute=impute, standardize=standardize).on(table.columns)
        if options.weights is not None:
            weigh = weights_in(table[options.weights], positive=True)
            table = table.drop(options.weights)
        targets = choose_targets(table.columns, target)
        refuse_infinite(table)
        refuse_gaps(table, targets, {}, impute)
        loss, kinds, notes = _judged(table.select(targets), task, loss)
        ends = np.cumsum([len(train), len(validation)])
        divided = [table[: ends[0]], table[ends[0] : ends[1]], table[ends[1] :]]
        weighed = None if weigh is None else np.split(weigh, ends)
        parts = Parts(divided, kinds, loss, table_hash(*tables), division, weighed, options.weights)
        return _of_parts(name, parts, options, notes)

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
        """What outputs predict, in the targets' own units, or class probabilities.

        Parameters
        ----------
        outputs : array of shape (n, c)

        Returns
        -------
        array of shape (n, c)
        """
        return self.preprocessing.in_units(self.loss.link(np.asarray(outputs, np.float64)))

    def metric(
        self,
        outputs: Float[np.ndarray, "n c"],
        y: Float[np.ndarray, "n c"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> float:
        """The loss's metric of a network's outputs against the targets of a part, whose rows may have weights.

        Parameters
        ----------
        outputs : array of shape (n, c)
        y : array of shape (n, c)
            Targets.
        weights : array of shape (n,), optional
            What each row counts for.

        Returns
        -------
        float

        Raises
        ------
        SpecError
            If the loss is known by its name alone.
        """
        try:
            return float(self.loss.metric(self.predict(outputs), self.preprocessing.in_units(y), weights))
        except NucleateError:
            raise
        except Exception as error:
            raise SpecError(
                f"The metric {self.metric_name!r} cannot be computed ({say_error(error)[:160]}); its value takes "
                "predictions and targets in units, and gives a number."
            ) from error


def describe_data(problem: Problem) -> list[str]:
    """The table of columns, unless there are many, and the notes, as lines of text.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    list of str

    Examples
    --------
    >>> rows = range(60)
    >>> table = pl.DataFrame({"a": [k % 7 for k in rows], "b": [1] * 60, "y": [(3 * k) % 7 / 2 for k in rows]})
    >>> print(*describe_data(Problem.from_table(table, target="y"))[:3], sep="\\n")
    Column a  number  0 to 6  kept
    Column b  number  1 to 1  left out: constant in training
    Column y  number  0 to 3  target
    """
    lines = lines_of(problem.columns) if len(problem.columns) <= MANY else []
    return [*(f"Column {line}" for line in lines), *(f"Note: {note}" for note in problem.notes)]


def _signs_of_amounts(read: Read, targets: pl.DataFrame) -> str:
    """What in a file says that a target's whole numbers are amounts: a unit, or cells such as -, which labels lack."""
    for target in targets:
        unit = read.form.units.get(target.name)
        if unit:
            return f"they are in {unit}"
        if target.name in read.gaps and target.n_unique() > 2:
            return "some of its cells stand for no value"
    return ""


def _judged(
    targets: pl.DataFrame, task: str | None, loss: Loss | str | None, amounts: str = ""
) -> tuple[Loss, Mapping[str, Kind], list[str]]:
    """The loss, the kinds of the targets under it, and notes."""
    loss, notes = choose_loss(targets, task, loss, amounts)
    return loss, target_kinds(targets, loss), notes


class Parts(NamedTuple):
    """The raw rows of training, validation and test, the kinds of their targets, the loss, and how they came there.

    ``groups`` and ``weights`` are those of the rows of each part; ``test_rows`` are as they stood before any of this.
    """

    tables: Sequence[pl.DataFrame]
    targets: Mapping[str, Kind]
    loss: Loss
    data_hash: str
    division: Division = AT_RANDOM
    weights: Sequence[Float[np.ndarray, " n"]] | None = None
    weighted_by: str | None = None
    groups: Sequence[Int[np.ndarray, " n"]] | None = None
    test_rows: pl.DataFrame | None = None
    form: Form = Form()


def problem_of(read: Read, options: DataOptions, name: str) -> Problem:
    """The problem of a table as it was read."""
    options = options.on(read.table.columns)
    chosen = choose_rows(read, options)
    table, targets = chosen.table, chosen.targets
    options.asked.check_sizes(int(np.count_nonzero(chosen.came_from == 0)))
    amounts = _signs_of_amounts(read, table.select(targets))
    loss, kinds, decided = _judged(table.select(targets), options.task, options.loss, amounts)
    labels = np.array(table[targets[0]].to_list()) if loss.of_classes else None
    divided = divide(chosen.roles, chosen.came_from, options.asked, labels)
    parts = Parts(
        [table[rows] for rows in divided.rows],
        kinds,
        loss,
        table_hash(*(source.read.table for source in chosen.sources)),
        divided.division,
        None if chosen.weights is None else [chosen.weights[rows] for rows in divided.rows],
        options.weights,
        None if divided.groups is None else [divided.groups[rows] for rows in divided.rows],
        chosen.raw_test(divided.rows.test),
        read.form,
    )
    return _of_parts(name, parts, options, [*chosen.notes, *decided, *divided.notes], chosen)


def _of_parts(name: str, parts: Parts, options: DataOptions, notes: list[str], chosen: Chosen | None = None) -> Problem:
    """The problem of a person's rows with notes, those given first, and the table of columns.

    Of chosen rows the table has all, and notices are about the first source's, which a person's file has. Notes on what
    was left out are for a preprocessing that is fitted to the parts.
    """
    tables, targets, metric = parts.tables, parts.targets, parts.loss.metric
    labels = next(iter(targets)) if parts.loss.of_classes else None
    notes = notes + check_parts(tables, labels, [*targets], parts.division)
    if chosen is not None and parts.weighted_by is not None and parts.weights is not None:
        notes += notes_of(parts.weighted_by, parts.weights[0], chosen.of_zero)
    inputs = input_kinds(tables[0].drop(targets))
    problem = assemble(name, parts, inputs, options)
    table = pl.concat(tables)
    constant = [column for column, kind in inputs.items() if kind == "constant"]
    merged = [column for column in constant if merged_number(table[column]) is not None]
    if options.preprocessing is None:
        constant = [column for column in constant if column not in merged]
        always = constant_columns(table.select(constant))
        notes += [f"Left out constant input {name_columns(always)}."] if always else []
        others = [column for column in constant if column not in always]
        notes += [f"Left out input {name_columns(others)}, constant on the training rows."] if others else []
    everything, first, left_out = table, table, {}
    if chosen is not None:
        everything, first, left_out = chosen.everything, chosen.sources[0].table, chosen.left_out
    became = what_became(everything, problem.preprocessing) | left_out
    became |= dict.fromkeys(merged, "left out: one number in training, once rounded")
    notices = notices_of(first, inputs, targets)
    imputed = [
        Notice.of("imputed", column, f"was imputed by {became[column].split('imputed by ')[1]} of the training rows.")
        for column in inputs
        if problem.preprocessing.impute and "imputed" in became[column]
    ]
    notes += [
        *say([*imputed, *notices]),
        # Of a metric without errors of rows it is not known whether it has the targets' units.
        *(uneven_targets(tables[0].select(*targets), metric.name) if metric.each else []),
        *few_rows(problem.inputs, *map(len, tables)),
        *repeated_rows(tables, bool(parts.division.own)),
    ]
    return replace(problem, notes=tuple(notes), columns=tabulate_columns(everything, became, notices))


def assemble(name: str, parts: Parts, inputs: Mapping[str, Kind], options: DataOptions) -> Problem:
    """The problem of raw parts whose input columns have the given kinds."""
    loss, weights, none = parts.loss, parts.weights, (None,) * 3
    if weights is not None:
        loss.metric.check_weights()
    preprocessing = options.preprocessing or Preprocessing.fit(
        parts.tables[0],
        inputs,
        parts.targets,
        standardize=bool(options.standardize),
        standardize_targets=loss.link.standardized,
        relative_targets=loss.link.relative,
        form=parts.form,
        impute=options.impute,
        weights=None if weights is None else weights[0],
    )
    train, validation, test = (
        Split(preprocessing.transform(table), preprocessing.transform_target(table), of_group, of_weight)
        for table, of_group, of_weight in zip(parts.tables, parts.groups or none, weights or none, strict=True)
    )
    return Problem(
        *(name, loss, train, validation, test, preprocessing, parts.data_hash),
        test_rows=parts.tables[2] if parts.test_rows is None else parts.test_rows,
        division=parts.division,
        weighted_by=parts.weighted_by,
    )
