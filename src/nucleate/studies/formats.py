"""Problems and snapshots as safetensors files."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import polars as pl

from nucleate._files import pack_tensors, parse_json, parse_tensors
from nucleate.errors import StudyError
from nucleate.observe import Snapshot
from nucleate.problems import AT_RANDOM, COLUMNS, Division, Loss, Preprocessing, Problem, Split, get_loss
from nucleate.problems.division import PARTS
from nucleate.studies.tables import table_to_bytes

_TEST_ROWS = "test_rows.parquet"
_SIDES = ("groups", "weights")
_FAMILIES = ("directions", "amplitudes", "singular_values")


def split_hash(problem: Problem) -> str:
    """The SHA-256 of the data as the networks see them."""
    digest = hashlib.sha256()
    for part in PARTS:
        split: Split = getattr(problem, part)
        digest.update(split.x.tobytes() + split.y.tobytes())
        for more in (split.groups, split.weights):
            if more is not None:
                digest.update(more.tobytes())
    return digest.hexdigest()


def problem_to_bytes(problem: Problem) -> bytes:
    """The split of a problem, and what is known of it beside its loss: tensors ``train.x``, ``train.y``, ...

    The test rows as they stood before the split are the bytes of a Parquet file.
    """
    splits: dict[str, Split] = {part: getattr(problem, part) for part in PARTS}
    tensors = {
        f"{part}.{side.name}": getattr(split, side.name)
        for part, split in splits.items()
        for side in fields(split)
        if getattr(split, side.name) is not None
    }
    told = {
        "name": problem.name,
        "loss": problem.loss.name,
        "preprocessing": problem.preprocessing.to_json(),
        "data_hash": problem.data_hash,
        "notes": problem.notes,
        "columns": problem.columns.to_dicts(),
        **({} if problem.division == AT_RANDOM else {"division": asdict(problem.division)}),
        **({} if problem.weighted_by is None else {"weighted_by": problem.weighted_by}),
    }
    if problem.test_rows is not None:
        tensors[_TEST_ROWS] = np.frombuffer(table_to_bytes(problem.test_rows), np.uint8)
    return pack_tensors(tensors, {"nucleate": json.dumps(told, ensure_ascii=False)})


def problem_from_bytes(content: bytes, loss: Loss | None) -> Problem:
    """The problem that `problem_to_bytes` was given, under this loss or the one of the name that is kept.

    A ValueError says what is wrong with other bytes, and a `StudyError` that it was kept under another loss.
    """
    tensors, metadata = parse_tensors(content)
    told = parse_json(metadata.get("nucleate", "{}").encode())
    try:
        loss = get_loss(told["loss"], known=False) if loss is None else loss
        if told["loss"] != loss.name:
            raise StudyError(f"The problem was kept under the loss {told['loss']!r}, not {loss.name!r}; give that one.")
        train, validation, test = (
            Split(*(tensors[f"{part}.{side}"] for side in "xy"), *(tensors.get(f"{part}.{side}") for side in _SIDES))
            for part in PARTS
        )
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
            division=Division(**told.get("division", {})),
            weighted_by=told.get("weighted_by"),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"what is told of the problem lacks {error}") from None


def snapshots_to_bytes(snapshots: Sequence[Snapshot]) -> bytes:
    """A safetensors file of one run, with a tensor of all steps for each family and layer: ``directions.1``, ..."""
    tensors = {"steps": np.stack([taken.step for taken in snapshots])}
    for family in _FAMILIES:
        for layer, values in enumerate(zip(*(getattr(taken, family) for taken in snapshots), strict=True), start=1):
            tensors[f"{family}.{layer}"] = np.stack(values)
    return pack_tensors(tensors)


def snapshots_from_bytes(content: bytes, widths: Sequence[int]) -> list[Snapshot]:
    """The snapshots that `snapshots_to_bytes` was given, in the order of the steps, of layers of these widths.

    A ValueError says what is wrong with other bytes.
    """
    tensors = parse_tensors(content)[0]
    layers = range(1, len(widths) + 1)
    expected = {"steps": ("int64", 1), **{f"directions.{layer}": ("float16", 3) for layer in layers}}
    expected |= {f"{family}.{layer}": ("float32", 2) for family in _FAMILIES[1:] for layer in layers}
    found = {name: (str(tensor.dtype), tensor.ndim) for name, tensor in tensors.items()}
    if found != expected:
        raise ValueError("it holds other tensors than the snapshots of this study")
    steps = tensors["steps"]
    if not len(steps) or (steps < 0).any() or (np.diff(steps) <= 0).any():
        raise ValueError("its steps do not ascend")
    for layer, width in enumerate(widths, start=1):
        shapes = [tensors[f"{family}.{layer}"].shape for family in _FAMILIES]
        shown, values = shapes[1][1], shapes[2][1]
        rows = [shape[:2] for shape in shapes]
        if rows != [(len(steps), shown), (len(steps), shown), (len(steps), values)] or shown > width:
            raise ValueError(f"its shapes are {shapes} for a layer of width {width}")
        if not (shown and values and shapes[0][2]):
            raise ValueError(f"its layer {layer} is empty")
    return [
        Snapshot(step, *(tuple(tensors[f"{family}.{layer}"][index] for layer in layers) for family in _FAMILIES))
        for index, step in enumerate(tensors["steps"])
    ]
