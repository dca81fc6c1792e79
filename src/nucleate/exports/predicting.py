"""What a saved network says of the rows of a new file, read as that of its training was."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from nucleate._files import read_sealed, why_unreadable
from nucleate._wording import count, first_line, listed, name_rows
from nucleate.errors import ArchitectureError, DataError, NucleateError
from nucleate.exports.session import Session
from nucleate.models import outputs_of
from nucleate.network import Network, read_metadata
from nucleate.problems import CROSS_ENTROPY, SQUARED, Preprocessing, get_loss
from nucleate.problems.catalogue import make_form
from nucleate.problems.checks import missing
from nucleate.problems.notices import plain_number
from nucleate.tables.reading import read_table

_OWN_COLUMNS = ("row", "deviation", "unknown")
"""What stands beside the predictions."""
_DEVIATION_OF = "deviation of "
"""Before the name of each of several targets."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """A row for each row of a file.

    Parameters
    ----------
    table : DataFrame
        The row's number, the prediction of each target (for classes the likeliest and the probability of each), the
        certificate's deviation where the model has one, for each of several targets, and, where the model reads texts,
        how many of the row's were not in training.
    certificate : str
        What the model says of its deviation; empty where it says nothing.
    notes : tuple of str
    beyond : dict
        From the name of a column to how many rows have a number in it beyond those that training saw. The certificate
        is for rows drawn as those of the data were, of which few lie there.
    """

    table: pl.DataFrame
    certificate: str
    notes: tuple[str, ...]
    beyond: dict[str, int]


def predict(
    model: str | PathLike[str], data: str | PathLike[str] | pl.DataFrame, *, drop_missing: bool = False, **form: Any
) -> Predictions:
    """The predictions of a saved network for the rows of a file.

    Parameters
    ----------
    model : path
        Of an .onnx or a .safetensors file that this package wrote.
    data : path or polars DataFrame
        With the columns that the model reads, by name; the target need not be there.
    drop_missing : bool
        Leave out rows where a value that the model reads is missing; otherwise they are refused, or, by a model that
        imputes, imputed as in training.
    **form
        As in `nucleate.load_problem`; what is not given is as in training.

    Returns
    -------
    Predictions

    Raises
    ------
    DataError
        If the data do not suit the model.
    ArchitectureError
        If the file holds no model, or none that says how its data are read.
    """
    answer, preprocessing, says = _model(Path(model))
    read: tuple[str, ...] = ()
    texts: pl.DataFrame | None = None
    if isinstance(data, pl.DataFrame):
        table = data
    else:
        table, _, read, _, texts, _ = read_table(Path(data), make_form(preprocessing.reading, **form))
    names = [column.name for column in preprocessing.inputs if column.kind != "constant"]
    present = table.select(name for name in names if name in table.columns)
    gaps = np.any(missing(present), axis=1) if present.width else np.zeros(len(table), bool)
    numbers = np.flatnonzero(~gaps) if drop_missing else np.arange(len(table))
    if not len(numbers):
        raise DataError("Every row has a missing value; fill them.")
    notes = [*read]
    if drop_missing and gaps.any():
        notes.append(f"Left out {name_rows(gaps)} with missing values.")
    table = table[numbers]
    notes += _imputations(preprocessing, table, numbers)
    x = preprocessing.transform(table)
    as_written = [] if texts is None else [column[numbers] for column in texts if column.name in names]
    shown = table.with_columns(as_written)
    try:
        predicted = answer(x, shown)
    except NucleateError:
        raise
    except Exception as error:
        # onnxruntime's own errors have no common class of their own.
        raise ArchitectureError(f"The model {model} cannot answer ({first_line(error)}); export it again.") from error
    outputs = len(preprocessing.units)
    if predicted.shape != (len(numbers), outputs):
        raise ArchitectureError(f"The model {model} has other outputs than the {outputs} it names; export it again.")
    if not np.isfinite(predicted).all():
        raise ArchitectureError(
            f"The model {model} predicts what is not finite, as after a run that diverged; give another."
        )
    columns: dict[str, Any] = {"row": numbers + 1}
    targets = [_column_of(column.name) for column in preprocessing.targets]
    if preprocessing.labels:
        columns[targets[0]] = np.array(preprocessing.labels)[predicted.argmax(axis=1)]
        columns |= {f"probability of {label}": predicted[:, k] for k, label in enumerate(preprocessing.labels)}
    else:
        columns |= {name: predicted[:, k] for k, name in enumerate(targets)}
    deviations = _deviations(says)
    each = ["deviation"] if len(deviations) == 1 else [_DEVIATION_OF + one.name for one in preprocessing.targets]
    columns |= {name: np.full(len(numbers), one) for name, one in zip(each, deviations, strict=False)}
    unknown = preprocessing.unknown(table)
    if unknown.width:
        columns["unknown"] = unknown.to_numpy().sum(axis=1)
    notes += _unknowns(table, unknown, numbers)
    beyond = preprocessing.beyond(table)
    beyond = beyond.select(column.name for column in beyond if column.any())
    if beyond.width:
        certified = bool(says.get("certificate") or "deviation" in says)
        notes.append(_say_beyond(preprocessing, table, beyond, numbers, certified))
    counts = {column.name: int(column.sum()) for column in beyond}
    return Predictions(pl.DataFrame(columns), says.get("certificate", ""), tuple(notes), counts)


def _column_of(target: str) -> str:
    """What the column of a target's predictions is called: as the target, unless another column has that name."""
    is_taken = target in _OWN_COLUMNS or target.startswith(_DEVIATION_OF)
    return f"prediction of {target}" if is_taken else target


def _deviations(says: dict[str, Any]) -> list[float]:
    """By how much a network deviates at most, for all targets together or for each; none where nothing is said."""
    said = json.loads(says.get("deviation", "[]"))
    return [float(one) for one in (said if isinstance(said, list) else [said])]


def _say_beyond(
    preprocessing: Preprocessing,
    table: pl.DataFrame,
    beyond: pl.DataFrame,
    numbers: Int[np.ndarray, " n"],
    certified: bool,
) -> str:
    """In which columns rows have numbers that training did not reach."""
    spans = {column.name: column.span for column in preprocessing.inputs if column.span is not None}
    # A date is not read as the days that it counts as.
    named = [
        f"{name!r} ({_say_span(spans[name], table[name].filter(beyond[name]))})"
        if table.schema[name].is_numeric()
        else repr(name)
        for name in beyond.columns
    ]
    rows = np.any(beyond.to_numpy(), axis=1)
    for_whom = "; its certificate is for rows drawn as those of the data were" if certified else ""
    lie = "lies" if rows.sum() == 1 else "lie"
    return (
        f"{rows.sum()} of {count(len(rows), 'row')} ({name_rows(_numbered(rows, numbers))}) {lie} beyond the range "
        f"that training saw in column{'s' * (len(named) > 1)} {listed(named)}, so the model extrapolates there"
        f"{for_whom}."
    )


def _say_span(span: tuple[float, float], outside: pl.Series) -> str:
    """The range of training, and how far numbers outside reach, so that a reader sees whether it matters.

    >>> _say_span((0.0, 10.0), pl.Series([10.5, 11.0])), _say_span((0.0, 10.0), pl.Series([-1, 11]))
    ('0 to 10, here up to 11', '0 to 10, here from -1 to 11')
    """
    low, high = (plain_number(end(outside.to_numpy())) for end in (np.min, np.max))
    if (outside > span[1]).all():
        reach = f"up to {high}"
    else:
        reach = f"down to {low}" if (outside < span[0]).all() else f"from {low} to {high}"
    return f"{' to '.join(map(plain_number, span))}, here {reach}"


def _imputations(preprocessing: Preprocessing, table: pl.DataFrame, numbers: Int[np.ndarray, " n"]) -> Iterator[str]:
    """What missing values of rows of these numbers count as, a sentence for each column that has some."""
    for column in preprocessing.inputs:
        if column.kind != "constant" and column.fill is not None and column.name in table.columns:
            gaps = missing(table.select(column.name))[:, 0]
            if gaps.any():
                where = name_rows(_numbered(gaps, numbers))
                yield f"Column {column.name!r} has no value in {where}, imputed as in training: {column.fill}."


def _unknowns(table: pl.DataFrame, unknown: pl.DataFrame, numbers: Int[np.ndarray, " n"]) -> Iterator[str]:
    """In which columns rows of these numbers have texts that training did not have."""
    for column in unknown:
        if column.any():
            value, where = table[column.name].filter(column)[0], _numbered(column.to_numpy(), numbers)
            yield (
                f"Column {column.name!r} has {value!r}, or others that training did not have ({name_rows(where)}); "
                "such a row is predicted as of no known category."
            )


def _numbered(chosen: Bool[np.ndarray, " n"], numbers: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " m"]:
    """The chosen ones of rows that have these numbers, among all rows."""
    where = np.zeros(numbers.max() + 1, bool)
    where[numbers[chosen]] = True
    return where


def _model(path: Path) -> tuple[Any, Preprocessing, dict[str, str]]:
    """What answers rows, how it reads them, and what the file says of itself."""
    if path.suffix == ".onnx":
        try:
            session = Session(read_sealed(path))
        except OSError as error:
            raise ArchitectureError(
                f"The model {path} cannot be read ({why_unreadable(error)}); check the path."
            ) from None
        except Exception as error:
            # onnxruntime's own errors have no common class of their own.
            raise ArchitectureError(
                f"{path} is not a readable ONNX file of a network ({first_line(error)}); export the network again. "
                "That of a PyTorch module, or of another maker, is for onnxruntime itself."
            ) from error
        return (lambda x, rows: session.predictions(rows)), _kept(path, session.metadata), session.metadata
    if path.is_dir():
        raise ArchitectureError(
            f"The model {path} is a folder; name a .onnx or .safetensors file, such as the network.onnx that "
            "`nucleate reduce` puts into a study's folder reduction."
        )
    if path.suffix != ".safetensors":
        raise ArchitectureError(f"The model {path} ends in {path.suffix!r}; expected .onnx or .safetensors.")
    network, says = Network.load(path), read_metadata(path)
    preprocessing = _kept(path, says)
    loss = get_loss(says["loss"]) if "loss" in says else CROSS_ENTROPY if preprocessing.labels else SQUARED
    return (
        lambda x, rows: preprocessing.in_units(loss.link(np.asarray(outputs_of(network, x), np.float64))),
        preprocessing,
        says,
    )


def _kept(path: Path, says: dict[str, Any]) -> Preprocessing:
    if not isinstance(says.get("preprocessing"), str):
        raise ArchitectureError(f"{path} does not say how its data are read; export it again with nucleate.")
    preprocessing = Preprocessing.from_json(says["preprocessing"])
    try:
        deviations = _deviations(says)
        is_told = all(0 <= one < np.inf for one in deviations) and isinstance(says.get("certificate", ""), str)
        if not is_told or len(deviations) not in (0, 1, len(preprocessing.targets)):
            raise ValueError
    except (TypeError, ValueError):
        raise ArchitectureError(f"{path} has no readable certificate; export it again with nucleate.") from None
    return preprocessing
