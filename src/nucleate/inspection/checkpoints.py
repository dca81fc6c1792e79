"""What was found in the checkpoints of a training run, in the order of their steps, and the record that keeps it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import polars as pl

from nucleate._files import make_folder, pack_tensors, parse_tensors, read_sealed, seal_tensors, write_atomically
from nucleate._wording import card, count, first_line, plain
from nucleate.errors import DataError
from nucleate.inspection.events import Event
from nucleate.inspection.inspection import Inspection, Place, first_lines, heads_in, layers_in
from nucleate.inspection.measuring import Picture
from nucleate.sources.files import RECORD

PIECES = "pieces"
"""The folder of what was added to a record."""
UNREADABLE = ValueError, KeyError, TypeError, IndexError, pl.exceptions.PolarsError
"""What `unpacked` raises for anything but a record."""


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
    pictures : tuple of mappings
        For each checkpoint those of its `Inspection`.
    losses : mapping of int to float
        Of a watch the loss of steps, by their number from 1 on.
    events : tuple of Event
        Of a watch.
    watched : bool
        Whether it is the record of a watch, and no files were inspected.
    """

    name: str
    table: pl.DataFrame
    left_out: pl.DataFrame
    notes: tuple[str, ...]
    steps: tuple[int, ...]
    pictures: tuple[Mapping[Place, Picture], ...] = field(repr=False)
    losses: Mapping[int, float] = field(default_factory=dict, repr=False)
    events: tuple[Event, ...] = ()
    watched: bool = False

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

    def save(self, folder: str | Path) -> str:
        """Write it into a folder, for `load` and ``nucleate report``; of inspected files the table is there too.

        Parameters
        ----------
        folder : path

        Returns
        -------
        str
            By which the pieces that are added are known as this record's.

        Raises
        ------
        NucleateError
            If it cannot be written.
        """
        folder, run = Path(folder), token_hex(8)
        make_folder(folder)
        if self.watched:
            # One that an earlier record left would be of that.
            (folder / "table.parquet").unlink(missing_ok=True)
        else:
            write_atomically(folder / "table.parquet", _parquet(self.table))
        write_atomically(folder / RECORD, packed(self, run))
        for piece in (folder / PIECES).glob("*.safetensors"):
            # What is left of another record is known by its name and not read.
            with suppress(OSError):
                piece.unlink()
        return run

    def add_to(self, folder: str | Path, run: str) -> None:
        """Write it beside the record that `save` wrote, as what comes after it.

        Parameters
        ----------
        folder : path
        run : str
            What `save` returned.

        Raises
        ------
        NucleateError
            If it cannot be written.
        """
        make_folder(Path(folder) / PIECES)
        write_atomically(Path(folder) / PIECES / f"{self.steps[0]:015d}.safetensors", packed(self, run))

    @classmethod
    def load(cls, folder: str | Path) -> "Checkpoints":
        """What `save` wrote, and what was added.

        Parameters
        ----------
        folder : path

        Returns
        -------
        Checkpoints

        Raises
        ------
        DataError
            If the folder holds none, or a damaged one.
        """
        folder = Path(folder)
        try:
            first, run = unpacked(read_sealed(folder / RECORD))
            pieces = [unpacked(read_sealed(piece)) for piece in sorted((folder / PIECES).glob("*.safetensors"))]
        except (OSError, *UNREADABLE) as error:
            raise DataError(
                f"{folder} holds no readable record of checkpoints ({first_line(error)}); inspect or watch again."
            ) from None
        return joined([first, *(piece for piece, of in pieces if of == run and piece.steps[0] > first.steps[-1])])


def joined(parts: Sequence[Checkpoints]) -> Checkpoints:
    """Parts of a record, one after another, as one."""
    return replace(
        parts[-1],
        table=pl.concat([part.table for part in parts]),
        steps=tuple(step for part in parts for step in part.steps),
        pictures=tuple(pictures for part in parts for pictures in part.pictures),
        losses={step: loss for part in parts for step, loss in part.losses.items()},
        events=tuple(event for part in parts for event in part.events),
    )


def packed(found: Checkpoints, run: str = "") -> bytes:
    """All of it in one file, so that it is whole or not there."""
    tensors = {
        json.dumps([index, *place, name]): np.ascontiguousarray(array)
        for index, at in enumerate(found.pictures)
        for place, picture in at.items()
        for name, array in picture._asdict().items()
    }
    for name in ("table", "left_out"):
        tensors[name] = np.frombuffer(_parquet(getattr(found, name)), np.uint8)
    told = {
        "name": found.name,
        "notes": found.notes,
        "steps": found.steps,
        "losses": list(found.losses.items()),
        "events": list(map(asdict, found.events)),
        "watched": found.watched,
        "run": run,
    }
    return seal_tensors(pack_tensors(tensors, {"record": json.dumps(told)}))


def unpacked(content: bytes) -> tuple[Checkpoints, str]:
    """What was packed, and its run."""
    tensors, about = parse_tensors(content)
    told: dict[str, Any] = json.loads(about["record"])
    table, left_out = (pl.read_parquet(BytesIO(tensors.pop(name).tobytes())) for name in ("table", "left_out"))
    # Files of tensors have an order of their own; the table has that of the model.
    places = table.select("layer", "kind").unique(maintain_order=True).rows()
    pictures = tuple(
        {
            place: Picture(*(tensors[json.dumps([index, *place, name])] for name in Picture._fields))
            for place in places
            if json.dumps([index, *place, "cosine"]) in tensors
        }
        for index in range(len(told["steps"]))
    )
    return Checkpoints(
        told["name"],
        table,
        left_out,
        tuple(told["notes"]),
        tuple(told["steps"]),
        pictures,
        dict(told["losses"]),
        tuple(Event(**event) for event in told["events"]),
        told["watched"],
    ), told["run"]


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def rows_at(step: int, found: Inspection) -> pl.DataFrame:
    """An inspection's rows as `Checkpoints.table` has them."""
    return found.table.select(pl.lit(step, pl.Int64).alias("step"), pl.lit(found.name).alias("checkpoint"), pl.all())


def inspections_in(found: Checkpoints) -> list[Inspection]:
    """That of each checkpoint, with what was left out of the last."""
    tables = found.table.drop("checkpoint").partition_by("step", as_dict=True, include_key=False)
    return [
        Inspection(found.name, tables[step,], found.left_out, found.notes, pictures)
        for step, pictures in zip(found.steps, found.pictures, strict=True)
    ]
