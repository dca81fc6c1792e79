"""The checkpoints of a training run, inspected one at a time, in the order of their steps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from safetensors.numpy import save

from nucleate._files import make_folder, parse_tensors, read_sealed, seal_tensors, write_atomically
from nucleate._wording import card, count, first_line, plain
from nucleate.activations import Activation
from nucleate.errors import ArchitectureError, DataError
from nucleate.inspection.files import RECORD, step_of
from nucleate.inspection.inspection import Inspection, Place, first_lines, heads_in, inspect_source, layers_in
from nucleate.inspection.objects import open_files
from nucleate.inspection.sources import Source


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """What `inspect` found in the checkpoints of a run.

    Parameters
    ----------
    name : str
        The pattern that names them.
    table : polars DataFrame
        That of `Inspection`, and before it the columns ``step`` and ``checkpoint``. The relative distance is that from
        the first checkpoint, where no other reference is given.
    left_out : polars DataFrame
        ``parameter`` and ``reason``: everything that was not measured in one of them.
    notes : tuple of str
    steps : tuple of int
        Of each checkpoint: the last number in its name, or its place where the names do not tell them apart.
    maps : tuple of mappings
        For each checkpoint those of its `Inspection`.
    """

    name: str
    table: pl.DataFrame
    left_out: pl.DataFrame
    notes: tuple[str, ...]
    steps: tuple[int, ...]
    maps: tuple[Mapping[Place, Float[np.ndarray, "k k"]], ...] = field(repr=False)

    @property
    def layers(self) -> pl.DataFrame:
        """A row a layer, as it is in the last checkpoint."""
        return layers_in(self.table.filter(pl.col("step") == self.steps[-1]))

    @property
    def heads(self) -> int:
        """How many single heads of attention are in the table."""
        return heads_in(self.table)

    @property
    def _said(self) -> str:
        steps = f"{count(len(self.steps), 'checkpoint')}, steps {self.steps[0]:,} to {self.steps[-1]:,}"
        return f"{steps}, {count(len(self.layers), 'layer')}, {count(len(self.left_out), 'parameter')} left out"

    def __repr__(self) -> str:
        title = f"Inspection of {plain(self.name)}: {self._said}; at the last step"
        return "\n".join([title, *first_lines(self.layers)])

    def _repr_html_(self) -> str:
        return card(f"Inspection of {self.name}", {"in all": self._said})

    def save(self, folder: str | Path) -> None:
        """Write it into a folder, for `load` and ``nucleate report``: a table, the maps, and the rest as JSON.

        Parameters
        ----------
        folder : path

        Raises
        ------
        NucleateError
            If it cannot be written.
        """
        folder = Path(folder)
        make_folder(folder)
        for name, table in (("table", self.table), ("left_out", self.left_out)):
            buffer = BytesIO()
            table.write_parquet(buffer)
            write_atomically(folder / f"{name}.parquet", buffer.getvalue())
        tensors = {
            json.dumps([index, *place]): np.ascontiguousarray(cosine)
            for index, at in enumerate(self.maps)
            for place, cosine in at.items()
        }
        told = {"name": self.name, "notes": self.notes, "steps": self.steps}
        # Last, so that who finds it finds the others.
        write_atomically(folder / RECORD, seal_tensors(save(tensors, {"record": json.dumps(told)})))

    @classmethod
    def load(cls, folder: str | Path) -> "Checkpoints":
        """What `save` wrote.

        Parameters
        ----------
        folder : path

        Raises
        ------
        DataError
            If the folder holds none, or a damaged one.
        """
        folder = Path(folder)
        try:
            tensors, told = parse_tensors(read_sealed(folder / RECORD))
            record = json.loads(told["record"])
            table, left_out = (pl.read_parquet(folder / f"{name}.parquet") for name in ("table", "left_out"))
            maps: list[dict[Place, np.ndarray]] = [{} for _ in record["steps"]]
            for key, cosine in tensors.items():
                index, layer, kind = json.loads(key)
                maps[index][layer, kind] = cosine
        except (OSError, ValueError, KeyError, TypeError, IndexError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{folder} holds no readable record of checkpoints ({first_line(error)}); inspect or watch again."
            ) from None
        return cls(record["name"], table, left_out, tuple(record["notes"]), tuple(record["steps"]), tuple(maps))


def inspect_checkpoints(
    name: str, found: Sequence[Sequence[Path]], start: Source | None, activation: Activation | None, seed: int
) -> Checkpoints:
    """Each checkpoint by itself, so that no two are in memory but the first, from which the distance is measured.

    Parameters
    ----------
    name : str
    found : sequence of sequences of Path
        The files of each, in their order.
    start : Source or None
        Another reference than the first checkpoint.
    activation : Activation or None
    seed : int

    Returns
    -------
    Checkpoints

    Raises
    ------
    NucleateError
        As `inspect`, and if two checkpoints have other shapes or layers.
    """
    steps, tables, left_out, maps = _steps(found), [], [], []
    notes: dict[str, None] = {}
    first = open_files(found[0])
    for files, step in zip(found, steps, strict=True):
        source = first if files is found[0] else open_files(files)
        _compare(first, source)
        inspected = inspect_source(source, None, start or first, activation, seed)
        tables.append(rows_at(step, inspected))
        left_out.append(inspected.left_out)
        maps.append(inspected.maps)
        notes |= dict.fromkeys(inspected.notes)
    out = pl.concat(left_out).unique(maintain_order=True)
    return Checkpoints(name, pl.concat(tables), out, tuple(notes), steps, tuple(maps))


def rows_at(step: int, found: Inspection) -> pl.DataFrame:
    """An inspection's rows as `Checkpoints.table` has them."""
    return found.table.select(pl.lit(step, pl.Int64).alias("step"), pl.lit(found.name).alias("checkpoint"), pl.all())


def _steps(found: Sequence[Sequence[Path]]) -> tuple[int, ...]:
    """The steps in the names, where they tell the checkpoints apart and rise; otherwise their places."""
    told = [step_of(files) for files in found]
    known = tuple(step for step in told if step is not None)
    if len(known) == len(found) and all(one < two for one, two in pairwise(known)):
        return known
    return tuple(range(len(found)))


def _compare(first: Source, other: Source) -> None:
    ours, theirs = ({one.name: one.shape for one in source.parameters} for source in (first, other))
    # What both have first: another shape says more than another layer.
    for name in sorted({**ours, **theirs}, key=lambda name: name not in ours or name not in theirs):
        shapes = ours.get(name), theirs.get(name)
        if shapes[0] != shapes[1]:
            told = [f"shape {shape}" if shape is not None else "no place" for shape in shapes]
            raise ArchitectureError(
                f"{name} has {told[0]} in {first.name} and {told[1]} in {other.name}; name checkpoints of one model by "
                "the pattern."
            )
