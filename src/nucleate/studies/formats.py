"""Problems and snapshots as safetensors files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load, save

from nucleate.errors import DataError, StudyError
from nucleate.observe import Snapshot
from nucleate.problems import COLUMNS, Loss, Preprocessing, Problem, Split, get_loss
from nucleate.studies.tables import table_to_bytes

PARTS = ("train", "validation", "test")
_TEST_ROWS = "test_rows.parquet"
_FAMILIES = ("directions", "amplitudes", "singular_values")


def split_hash(problem: Problem) -> str:
    """The SHA-256 of the data as the networks see them."""
    digest = hashlib.sha256()
    for part in PARTS:
        split: Split = getattr(problem, part)
        digest.update(split.x.tobytes() + split.y.tobytes())
    return digest.hexdigest()


def problem_to_bytes(problem: Problem) -> bytes:
    """The split of a problem, and what is known of it beside its loss: tensors ``train.x``, ``train.y``, ...

    The test rows as they stood before the split are the bytes of a Parquet file.
    """
    tensors = {f"{part}.{side}": getattr(getattr(problem, part), side) for part in PARTS for side in ("x", "y")}
    told = {
        "name": problem.name,
        "loss": problem.loss.name,
        "preprocessing": problem.preprocessing.to_json(),
        "data_hash": problem.data_hash,
        "notes": problem.notes,
        "columns": problem.columns.to_dicts(),
    }
    if problem.test_rows is not None:
        tensors[_TEST_ROWS] = np.frombuffer(table_to_bytes(problem.test_rows), np.uint8)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save(contiguous, {"nucleate": json.dumps(told, ensure_ascii=False)})


def read_problem(file: Path, loss: Loss | None) -> Problem:
    """The problem that `problem_to_bytes` was given, under this loss or the one of the name that is kept.

    Raises
    ------
    StudyError
        If the file is damaged, or was kept under a loss of another name.
    """
    try:
        content = file.read_bytes()
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["nucleate"])
        loss = get_loss(told["loss"], known=False) if loss is None else loss
        if told["loss"] != loss.name:
            raise StudyError(f"{file} was kept under the loss {told['loss']!r}, not {loss.name!r}; give that one.")
        train, validation, test = (Split(tensors[f"{part}.x"], tensors[f"{part}.y"]) for part in PARTS)
        return Problem(
            name=told["name"],
            loss=loss,
            train=train,
            validation=validation,
            test=test,
            preprocessing=Preprocessing.from_json(told["preprocessing"]),
            data_hash=told["data_hash"],
            notes=tuple(told["notes"]),
            test_rows=pl.read_parquet(tensors[_TEST_ROWS].tobytes()) if _TEST_ROWS in tensors else None,
            columns=pl.DataFrame(told.get("columns", []), COLUMNS),
        )
    except (SafetensorError, OSError, ValueError, KeyError, DataError) as error:
        raise StudyError(f"{file} is damaged ({error}); pass the problem again, as at first.") from None


def snapshots_to_bytes(snapshots: Sequence[Snapshot]) -> bytes:
    """A safetensors file's bytes, with a tensor of all steps for each family and layer: ``directions.1``, ...

    Parameters
    ----------
    snapshots : sequence of Snapshot
        Of one run.
    """
    tensors = {"steps": np.stack([taken.step for taken in snapshots])}
    for family in _FAMILIES:
        for layer, values in enumerate(zip(*(getattr(taken, family) for taken in snapshots), strict=True), start=1):
            tensors[f"{family}.{layer}"] = np.stack(values)
    return save(tensors)


def snapshots_from(tensors: Mapping[str, np.ndarray]) -> list[Snapshot]:
    """The snapshots of these tensors, in the order of the steps."""
    layers = range(1, 1 + sum(name.startswith("directions.") for name in tensors))
    return [
        Snapshot(step, *(tuple(tensors[f"{family}.{layer}"][index] for layer in layers) for family in _FAMILIES))
        for index, step in enumerate(tensors["steps"])
    ]
