"""What is done to raw columns before a network sees them: fitted on the training part, kept with the model."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import polars.selectors as cs
from jaxtyping import Float, Shaped
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nucleate._wording import did_you_mean
from nucleate.errors import DataError
from nucleate.problems.checks import AFTERWARDS, Kind, kind_of, numbers_in, refuse_infinite, refuse_missing, stripped
from nucleate.problems.moments import mean_of, median, most_frequent, std_of
from nucleate.tables import Form
from nucleate.tables.reading import table_from_array
from nucleate.tables.spellings import fold

Impute = Literal["median", "mean", "most_frequent"]
"""What a missing number may count as, of the training rows; a missing text always counts as the most frequent."""

Value = bool | int | float | str


class Column(BaseModel):
    """A raw column and its encoding.

    Parameters
    ----------
    name : str
    kind : {"numeric", "categorical", "constant"}
        A numeric column becomes ``(value - mean) / std``, dates being days since 1970; a categorical one
        a 0 or 1 for each of its categories, however spelled, all 0 for one that training did not have; a constant one
        nothing.
    categories : tuple of str, bool, int or float
    mean, std : float
    fill : str, bool, int, float or None
        What a missing value counts as; None refuses it.
    span : (float, float) or None
        The least and the largest number that training saw of a numeric input; None where that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    categories: tuple[Value, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    fill: Value | None = None
    span: tuple[float, float] | None = None

    def filled(self, raw: pl.Series) -> pl.Series:
        """Texts without the spaces around them, what is missing being what it counts as.

        Parameters
        ----------
        raw : polars Series

        Returns
        -------
        polars Series
        """
        raw = stripped(raw)
        return raw if self.fill is None or self.kind != "categorical" else raw.fill_null(self.fill)

    def encode(self, raw: pl.Series) -> Float[np.ndarray, "n k"]:
        """A 0 or 1 for each category.

        Parameters
        ----------
        raw : polars Series

        Returns
        -------
        array of shape (n, k)
        """
        places = np.array([self.place(value) for value in raw.to_list()])
        return (places[:, None] == np.arange(len(self.categories))).astype(np.float64)

    def place(self, value: object) -> int:
        """Which category a value is, -1 for none; a text also in another case or width, if no other category has it.

        Parameters
        ----------
        value : object

        Returns
        -------
        int

        Examples
        --------
        >>> town = Column(name="town", kind="categorical", categories=("Apia", "Bern"))
        >>> town.place("BERN "), town.place("Rome")
        (1, -1)
        """
        if value in self._places:
            return self._places[value]
        return self._places.get(fold(value), -1) if isinstance(value, str) else -1

    @cached_property
    def _places(self) -> dict[object, int]:
        places: dict[object, int] = {category: place for place, category in enumerate(self.categories)}
        return {text: places[category] for category, text in self.folded.items()} | places

    @cached_property
    def folded(self) -> dict[str, str]:
        """The texts that stand for a category however they are spelled: those that no other category shares."""
        texts = {category: fold(category) for category in self.categories if isinstance(category, str)}
        shared = Counter(texts.values())
        return {category: text for category, text in texts.items() if shared[text] == 1}


class Preprocessing(BaseModel):
    """From raw columns to a network's inputs, and from its outputs back to the target's own units or labels.

    Parameters
    ----------
    inputs : tuple of Column
        In the order of the data, constant ones included.
    targets : tuple of Column
        Numeric for regression; for classification one categorical column, whose categories are the labels.
    form : Form
        How the file of the training data was read.
    impute : {"median", "mean", "most_frequent"} or None
        What missing numbers count as; None refuses missing values.

    Examples
    --------
    >>> table = pl.DataFrame({"rooms": [1, 3], "town": ["Bern", "Apia"], "price": [100.0, 300.0]})
    >>> fitted = Preprocessing.fit(table, {"rooms": "numeric", "town": "categorical"}, {"price": "numeric"})
    >>> fitted.transform(pl.DataFrame({"town": ["Apia", "Rome"], "rooms": [2, 5]}))
    array([[0., 1., 0.],
           [3., 0., 0.]])
    >>> fitted.encoded_inputs
    ('rooms', 'town=Apia', 'town=Bern')
    >>> fitted.decode(np.array([[0.5]]))
    array([[250.]])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...] = Field(min_length=1)
    form: Form = Form()
    impute: Impute | None = None

    @classmethod
    def fit(
        cls,
        train: pl.DataFrame,
        inputs: Mapping[str, Kind],
        targets: Mapping[str, Kind],
        *,
        standardize: bool = True,
        standardize_targets: bool = True,
        relative_targets: bool = False,
        form: Form | None = None,
        impute: Impute | None = None,
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> "Preprocessing":
        """Fit to the training rows, for columns of the given kinds; spaces around input texts do not count.

        Parameters
        ----------
        train : polars DataFrame
            The rows to fit to, with all these columns.
        inputs, targets : mapping of str to str
            Each column's kind.
        standardize, standardize_targets : bool
            Whether columns get mean 0 and standard deviation 1, and whether targets do too.
        relative_targets : bool
            Whether targets get the mean 1 instead, and keep their zero.
        form : Form, optional
            How the file was read.
        impute : str, optional
            What missing inputs are replaced by.
        weights : array of shape (n,), optional
            What each row counts for.

        Returns
        -------
        Preprocessing
        """
        fitted = _fit(train, targets, standardize and standardize_targets, None, weights)
        return cls(
            inputs=_with_spans(
                _fit(train.with_columns(cs.string().str.strip_chars()), inputs, standardize, impute, weights),
                train,
                weights,
            ),
            targets=_in_units_of_means(train, fitted, weights) if standardize and relative_targets else fitted,
            form=form or Form(),
            impute=impute,
        )

    @property
    def reading(self) -> Form:
        """How to read another file as that of the training data was read, each column as it was."""
        kinds = {column.name: _written_as(column) for column in (*self.inputs, *self.targets)}
        return self.form.model_copy(
            update={"kinds": {name: kind for name, kind in kinds.items() if kind}, "encoding": None, "sheet": None}
        )

    def unknown(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Where a row has a category that training did not have, a column for each categorical input.

        Parameters
        ----------
        raw : polars DataFrame
            With the columns of the training data by name.

        Returns
        -------
        polars DataFrame of bool
        """
        return pl.DataFrame(
            [
                pl.Series(column.name, [column.place(value) < 0 for value in column.filled(raw[column.name])])
                for column in self._read
                if column.kind == "categorical"
            ]
        )

    def beyond(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Where a row has a number beyond those that training saw, a column for each numeric input whose span is known.

        Parameters
        ----------
        raw : polars DataFrame
            With the columns of the training data by name.

        Returns
        -------
        polars DataFrame of bool

        Examples
        --------
        >>> ages = pl.DataFrame({"age": [20, 100], "y": [1, 2]})
        >>> fitted = Preprocessing.fit(ages, {"age": "numeric"}, {"y": "numeric"})
        >>> fitted.beyond(pl.DataFrame({"age": [20, 10**9]}))["age"].to_list()
        [False, True]
        """
        known = [column for column in self._read if column.span is not None]
        if not known:
            return pl.DataFrame()
        low, high = np.array([column.span for column in known]).T[:, :, None]
        values = numbers_in(raw.select(column.name for column in known))
        return pl.DataFrame(dict(zip([column.name for column in known], (values < low) | (values > high), strict=True)))

    def without_spans(self) -> "Preprocessing":
        """The same, but that it does not know which numbers training saw.

        Returns
        -------
        Preprocessing
        """
        return self.model_copy(
            update={"inputs": tuple(column.model_copy(update={"span": None}) for column in self.inputs)}
        )

    @property
    def labels(self) -> tuple[bool | int | float | str, ...]:
        """The classes of the target, an output each; empty where the targets are amounts."""
        return self.targets[0].categories

    @property
    def units(self) -> Float[np.ndarray, " c"]:
        """What one unit of each output is in the targets' own units; 1 for a class."""
        return np.array([column.std for column in self.targets for _ in column.categories or (None,)])

    def transform(self, raw: pl.DataFrame | Shaped[np.ndarray, "n columns"]) -> Float[np.ndarray, "n d"]:
        """A network's inputs for raw rows.

        Parameters
        ----------
        raw : polars DataFrame or array
            A table needs the input columns by name, in any order and among others; an array has all of them, those that
            were constant included, in the order of `inputs`.

        Returns
        -------
        array of shape (n, d)

        Raises
        ------
        DataError
            If a column is not there or of another kind than in training, or a value is missing or infinite.
        """
        if not isinstance(raw, pl.DataFrame):
            raw = table_from_array(raw, [column.name for column in self.inputs])
        read = self._read
        raw = _named(raw, read)
        if self.impute is None:
            refuse_missing(raw, "Input", AFTERWARDS)
        numbers, texts = [], {}
        for place, (column, series) in enumerate(zip(read, raw.iter_columns(), strict=True)):
            kind = kind_of(series)
            # A column without any value is of no kind.
            if kind != column.kind and not (self.impute and series.null_count() == len(series)):
                raise DataError(
                    f"Column {column.name!r} is {kind}, but it was {column.kind} in training; "
                    "give it as the training data had it."
                )
            if column.kind == "numeric":
                numbers.append(place)
            else:
                texts[place] = series
        refuse_infinite(raw)
        widths = [1 if column.kind == "numeric" else len(column.categories) for column in read]
        starts = np.cumsum([0, *widths])
        x = np.empty((len(raw), starts[-1]))
        for place, series in texts.items():
            x[:, starts[place] : starts[place + 1]] = read[place].encode(read[place].filled(series))
        if numbers:
            means, stds, fills = _of_numbers([read[place] for place in numbers])
            values = numbers_in(raw.select([read[place].name for place in numbers]))
            x[:, starts[numbers]] = ((_imputed(values, fills) - means[:, None]) / stds[:, None]).T
        return x

    def select(self, table: pl.DataFrame) -> pl.DataFrame:
        """The columns of a table that the model reads, and its targets.

        Parameters
        ----------
        table : polars DataFrame

        Returns
        -------
        polars DataFrame

        Raises
        ------
        DataError
            If one is not there.
        """
        return _named(table, (*self._read, *self.targets))

    def rows_used(self, table: pl.DataFrame) -> pl.DataFrame:
        """The columns of a table whose values decide whether a row was used in training.

        Parameters
        ----------
        table : polars DataFrame

        Returns
        -------
        polars DataFrame
        """
        return table.select(column.name for column in (*self.inputs, *self.targets) if column.name in table.columns)

    @property
    def encoded_inputs(self) -> tuple[str, ...]:
        """What each of a network's inputs is called: its column, or that and the category it stands for."""
        return tuple(
            name
            for column in self._read
            for name in (
                [column.name]
                if column.kind == "numeric"
                else [f"{column.name}={category}" for category in column.categories]
            )
        )

    @property
    def _read(self) -> tuple[Column, ...]:
        return tuple(column for column in self.inputs if column.kind != "constant")

    def transform_target(self, raw: pl.DataFrame) -> Float[np.ndarray, "n c"]:
        """What the network's outputs are held against: standardized targets, or one-hot labels.

        Parameters
        ----------
        raw : polars DataFrame
            With the target columns by name.

        Returns
        -------
        array of shape (n, c)

        Raises
        ------
        DataError
            For a label that training did not have.
        """
        for column in self.targets:
            unknown = {value for value in set(raw[column.name].to_list()) if column.place(value) < 0}
            if column.kind == "categorical" and unknown:
                raise DataError(
                    f"Target column {column.name!r} has the class {min(unknown, key=str)!r}, which the model does not "
                    f"know; it knows {', '.join(map(str, column.categories))}."
                )
        if self.labels:
            return self.targets[0].encode(raw[self.targets[0].name])
        means, stds, _ = _of_numbers(self.targets)
        values = numbers_in(raw.select(column.name for column in self.targets))
        return ((values - means[:, None]) / stds[:, None]).T.copy()

    def in_units(self, predictions: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Predictions in the targets' own units; class probabilities as they are.

        Parameters
        ----------
        predictions : array of shape (n, c)
            Of standardized targets, or probabilities.

        Returns
        -------
        array of float64, shape (n, c)
        """
        means = np.array([column.mean for column in self.targets for _ in column.categories or (None,)])
        return np.asarray(predictions, np.float64) * self.units + means

    def decode(self, predictions: Float[np.ndarray, "n c"]) -> Shaped[np.ndarray, "n ..."]:
        """The values that predictions stand for: (n, c) in the targets' own units, or the n likeliest labels.

        Parameters
        ----------
        predictions : array of shape (n, c)
            Of standardized targets, or probabilities.

        Returns
        -------
        array of shape (n, c) or (n,)
        """
        values = self.in_units(predictions)
        return np.array(self.labels)[values.argmax(axis=1)] if self.labels else values

    def to_json(self) -> str:
        """A text that `from_json` turns back into the same preprocessing, bit for bit.

        Returns
        -------
        str
        """
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """The preprocessing that `to_json` wrote.

        Parameters
        ----------
        text : str

        Returns
        -------
        Preprocessing

        Raises
        ------
        DataError
            If the text is not one.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]["msg"]
            raise DataError(
                f"The preprocessing kept with the model is damaged ({first}); save the model again."
            ) from error


def _named(table: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    there = set(table.columns)
    for column in columns:
        if column.name not in there:
            close = did_you_mean(column.name, table.columns)
            advice = close or "; give data with the columns that it was trained on."
            raise DataError(f"The data have no column {column.name!r}, which the model reads{advice}")
    return table.select(column.name for column in columns)


def check_impute(impute: Any) -> None:
    """Refuse what is no way of imputing."""
    if impute not in (None, *get_args(Impute)):
        raise DataError(f"Missing values cannot be imputed by {impute!r}; choose {', '.join(get_args(Impute))}.")


def _fit(
    train: pl.DataFrame,
    kinds: Mapping[str, Kind],
    standardize: bool,
    impute: Impute | None,
    weights: Float[np.ndarray, " n"] | None,
) -> tuple[Column, ...]:
    """The encoding of columns whose training rows these are; one that is constant on them has std 1."""
    numeric = [name for name, kind in kinds.items() if kind == "numeric"]
    columns: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    if numeric:
        values = numbers_in(train.select(numeric))
        fills = _fills(values, impute, weights) if impute else np.full(len(values), np.nan)
        values = _imputed(values, fills)
        if standardize:
            means, stds = mean_of(values, weights), std_of(values, weights)
            still = values.min(axis=1) == values.max(axis=1)
            # A spread too small to square has a std of 0.
            means, stds = np.where(still, values[:, 0], means), np.where(still | (stds == 0), 1.0, stds)
            for name, mean, std in zip(numeric, means.tolist(), stds.tolist(), strict=True):
                columns[name] |= {"mean": mean, "std": std}
        if impute:
            for name, fill in zip(numeric, fills.tolist(), strict=True):
                columns[name]["fill"] = fill
    for name, kind in kinds.items():
        if kind == "categorical":
            columns[name]["categories"] = tuple(sorted(set(train[name].drop_nulls().to_list())))
            if impute:
                columns[name]["fill"] = _commonest(train[name], weights)
    return tuple(Column(name=name, kind=kinds[name], **fitted) for name, fitted in columns.items())


def _with_spans(
    columns: Sequence[Column], train: pl.DataFrame, weights: Float[np.ndarray, " n"] | None
) -> tuple[Column, ...]:
    """Columns that know which numbers these rows have of them; a row of weight 0 does not count."""
    seen = train if weights is None else train.filter(weights > 0)
    numeric = [column.name for column in columns if column.kind == "numeric"]
    if not numeric or seen.is_empty():
        return tuple(columns)
    values = numbers_in(seen.select(numeric))
    spans = zip(np.fmin.reduce(values, axis=1).tolist(), np.fmax.reduce(values, axis=1).tolist(), strict=True)
    known = {name: span for name, span in zip(numeric, spans, strict=True) if np.isfinite(span).all()}
    return tuple(column.model_copy(update={"span": known.get(column.name)}) for column in columns)


def _in_units_of_means(
    train: pl.DataFrame, targets: Sequence[Column], weights: Float[np.ndarray, " n"] | None
) -> tuple[Column, ...]:
    """Amounts of 0 or more, so that their mean on these rows is 1; where all are 0 they stay as they are."""
    means = mean_of(numbers_in(train.select(column.name for column in targets)), weights).tolist()
    return tuple(column.model_copy(update={"std": mean or 1.0}) for column, mean in zip(targets, means, strict=True))


def _commonest(column: pl.Series, weights: Float[np.ndarray, " n"] | None) -> Any:
    """The value of most rows, or of those that weigh most."""
    if weights is None:
        return column.drop_nulls().mode().sort()[0]
    known = column.is_not_null().to_numpy()
    return most_frequent(np.array(column.drop_nulls().to_list()), weights[known]).item()


def _fills(
    values: Float[np.ndarray, "k n"], impute: Impute, weights: Float[np.ndarray, " n"] | None
) -> Float[np.ndarray, " k"]:
    """What a missing value of each row counts as."""
    if weights is not None:
        ways: dict[Impute, Callable[[np.ndarray, np.ndarray], Any]] = {
            "median": median,
            "mean": lambda row, weigh: np.average(row, weights=weigh),
            "most_frequent": most_frequent,
        }
        return np.array([float(ways[impute](row[~np.isnan(row)], weights[~np.isnan(row)])) for row in values])
    match impute:
        case "median":
            return np.nanmedian(values, axis=1)
        case "mean":
            return np.nanmean(values, axis=1)
        case "most_frequent":
            counted = [np.unique(row[~np.isnan(row)], return_counts=True) for row in values]
            return np.array([numbers[counts.argmax()] for numbers, counts in counted])


def _imputed(values: Float[np.ndarray, "k n"], fills: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k n"]:
    return np.where(np.isnan(values), fills[:, None], values)


def _of_numbers(columns: Sequence[Column]) -> tuple[Float[np.ndarray, " k"], ...]:
    """Means, standard deviations and what missing values count as, NaN for nothing."""
    means = np.array([column.mean for column in columns])
    stds = np.array([column.std for column in columns])
    return means, stds, np.array([np.nan if column.fill is None else column.fill for column in columns], float)


def _written_as(column: Column) -> Literal["number", "text", "truth"] | None:
    if column.kind == "constant":
        return None
    kinds = {type(category) for category in column.categories}
    return "truth" if kinds == {bool} else "text" if kinds == {str} else "number"
