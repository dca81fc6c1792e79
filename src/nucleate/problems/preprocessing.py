"""What is done to raw columns before a network sees them: fitted on the training part, kept with the model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nucleate._wording import did_you_mean
from nucleate.errors import DataError
from nucleate.problems.checks import Kind, kind_of, refuse_infinite, refuse_missing
from nucleate.problems.form import Form
from nucleate.problems.reading import table_from_array
from nucleate.problems.spellings import fold


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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    categories: tuple[bool | int | float | str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, raw: pl.Series, kind: Kind, *, standardize: bool) -> "Column":
        """The encoding of a column whose training rows are ``raw``; a column constant on them has std 1."""
        if kind == "categorical":
            return cls(name=raw.name, kind=kind, categories=tuple(sorted(set(raw.to_list()))))
        if kind == "constant" or not standardize:
            return cls(name=raw.name, kind=kind)
        values = numbers_of(raw)
        if values.min() == values.max():
            return cls(name=raw.name, kind=kind, mean=float(values[0]))
        # A spread too small to square has a std of 0.
        return cls(name=raw.name, kind=kind, mean=float(values.mean()), std=float(values.std()) or 1.0)

    def encode(self, raw: pl.Series) -> Float[np.ndarray, "n k"]:
        """The network's columns for this raw one."""
        match self.kind:
            case "numeric":
                return ((numbers_of(raw) - self.mean) / self.std)[:, None]
            case "categorical":
                places = np.array([self.place(value) for value in raw.to_list()])
                return (places[:, None] == np.arange(len(self.categories))).astype(np.float64)
            case "constant":
                return np.empty((len(raw), 0))

    def place(self, value: object) -> int:
        """Which category a value is, -1 for none; a text also in another case or width, if no other category has it.

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

    @classmethod
    def fit(
        cls,
        train: pl.DataFrame,
        inputs: Mapping[str, Kind],
        targets: Mapping[str, Kind],
        *,
        standardize: bool = True,
        standardize_targets: bool = True,
        form: Form | None = None,
    ) -> "Preprocessing":
        """Fit to the training rows, for columns of the given kinds; spaces around input texts do not count."""
        return cls(
            inputs=tuple(
                Column.fit(_stripped(train[name]), kind, standardize=standardize) for name, kind in inputs.items()
            ),
            targets=tuple(
                Column.fit(train[name], kind, standardize=standardize and standardize_targets)
                for name, kind in targets.items()
            ),
            form=form or Form(),
        )

    @property
    def reading(self) -> Form:
        """How to read another file as that of the training data was read, each column as it was."""
        kinds = {column.name: _written_as(column) for column in (*self.inputs, *self.targets)}
        return self.form.model_copy(
            update={"kinds": {name: kind for name, kind in kinds.items() if kind}, "encoding": None, "sheet": None}
        )

    def unknown(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Where a row has a category that training did not have, a column for each categorical input."""
        return pl.DataFrame(
            [
                pl.Series(column.name, [column.place(value) < 0 for value in raw[column.name]])
                for column in self._read
                if column.kind == "categorical"
            ]
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

        Raises
        ------
        DataError
            If a column is not there or of another kind than in training, or a value is missing or infinite.
        """
        if not isinstance(raw, pl.DataFrame):
            raw = table_from_array(raw, [column.name for column in self.inputs])
        read = self._read
        raw = _named(raw, read)
        refuse_missing(raw, "Input")
        for column in read:
            if kind_of(raw[column.name]) != column.kind:
                raise DataError(
                    f"Column {column.name!r} is {kind_of(raw[column.name])}, but it was {column.kind} in training; "
                    "give it as the training data had it."
                )
        refuse_infinite(raw)
        return np.hstack([column.encode(_stripped(raw[column.name])) for column in read])

    def select(self, table: pl.DataFrame) -> pl.DataFrame:
        """The columns of a table that the model reads, and its targets.

        Raises
        ------
        DataError
            If one is not there.
        """
        return _named(table, (*self._read, *self.targets))

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
        return np.hstack([column.encode(raw[column.name]) for column in self.targets])

    def in_units(self, predictions: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Predictions in the targets' own units; class probabilities as they are."""
        means = np.array([column.mean for column in self.targets for _ in column.categories or (None,)])
        return np.asarray(predictions, np.float64) * self.units + means

    def decode(self, predictions: Float[np.ndarray, "n c"]) -> Shaped[np.ndarray, "n ..."]:
        """The values that predictions stand for: (n, c) in the targets' own units, or the n likeliest labels."""
        values = self.in_units(predictions)
        return np.array(self.labels)[values.argmax(axis=1)] if self.labels else values

    def to_json(self) -> str:
        """A text that `from_json` turns back into the same preprocessing, bit for bit."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """The preprocessing that `to_json` wrote.

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
    for column in columns:
        if column.name not in table.columns:
            close = did_you_mean(column.name, table.columns)
            raise DataError(f"The data have no column {column.name!r}, which the model reads{close or '.'}")
    return table.select(column.name for column in columns)


def _written_as(column: Column) -> Literal["number", "text", "truth"] | None:
    if column.kind == "constant":
        return None
    kinds = {type(category) for category in column.categories}
    return "truth" if kinds == {bool} else "text" if kinds == {str} else "number"


def _stripped(raw: pl.Series) -> pl.Series:
    return raw.str.strip_chars() if raw.dtype == pl.String else raw


def numbers_of(raw: pl.Series) -> Float[np.ndarray, " n"]:
    """Numbers as they are, and dates as days since 1970."""
    if raw.dtype in (pl.Date, pl.Datetime):
        return raw.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64).to_numpy() / 86_400e6
    return raw.cast(pl.Float64).to_numpy()
