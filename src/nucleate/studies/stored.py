"""The tables of a study as they lie in its folder: a file a chunk, or a pack of many, each checked when it is read."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from nucleate._files import why_unreadable
from nucleate.errors import StudyError
from nucleate.studies import tables
from nucleate.studies.places import PACK, chunk_file, chunks_in, pack_file
from nucleate.studies.plan import Chunk, Plan
from nucleate.studies.table_checks import check_table
from nucleate.training import evaluation_steps

_TRIES = 3
_Stamp = tuple[str, int, int]
"""What tells a file from what it was before: its name, when it was changed, and its size."""


class DamagedError(StudyError):
    """A file of a study is not what was written there.

    Parameters
    ----------
    file : Path
    why : str
        What is wrong with it.
    remedy : str
    """

    def __init__(
        self, file: Path, why: str, remedy: str = "run the same sweep again into the folder, and it is made again"
    ) -> None:
        super().__init__(f"{file} is damaged ({why}); {remedy}.")
        self.file, self.why = file, why


def unreadable(file: Path, error: OSError) -> StudyError:
    """What is raised for a file of a study that cannot be read."""
    return StudyError(f"{file} cannot be read ({why_unreadable(error)}); check its rights, or move it away.")


def missing(file: Path) -> StudyError:
    """What is raised for a file of a study that is not there."""
    return StudyError(f"{file} is missing; run the same sweep again into the folder, and it is made again.")


class StoredTables:
    """The tables of one study, read again only where their files have changed.

    ``schemas`` are those of each table, ``widths`` those of the measured layers; ``read`` gives the bytes of a file by
    its place in the folder, checked.
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        schemas: Mapping[str, pl.Schema],
        widths: Mapping[str, int],
        read: Callable[[str], bytes],
    ) -> None:
        self._path, self._plan, self._schemas, self._widths, self._read = path, plan, schemas, widths, read
        self._whole: dict[str, tuple[Any, pl.DataFrame]] = {}
        self._packs: dict[str, tuple[Any, pl.DataFrame]] = {}

    def rows_of(self, table: str, chunks: Sequence[Chunk], columns: Collection[str] | None = None) -> pl.DataFrame:
        """The rows of a table that these chunks, each of one run at least, have, checked.

        Of trajectories there may be asked for some columns beside ``run`` and ``step``, by default all. A file that is
        not what was written there is a `DamagedError`; where there is none, a FileNotFoundError is raised.
        """
        for _ in range(_TRIES):
            # What is gone by the time it is read has been put into a pack.
            with suppress(FileNotFoundError):
                return self._rows_of(table, chunks, self._chosen(table, columns))
        return self._rows_of(table, chunks, self._chosen(table, columns))

    def _chosen(self, table: str, columns: Collection[str] | None) -> tuple[str, ...]:
        kept = None if columns is None else {tables.RUN, tables.STEP, *columns}
        return tuple(name for name in self._schemas[table] if kept is None or name in kept)

    def _rows_of(self, table: str, chunks: Sequence[Chunk], columns: tuple[str, ...]) -> pl.DataFrame:
        own = [chunk for chunk in chunks if (self._path / chunk_file(table, chunk.number)).exists()]
        files = {chunk_file(table, chunk.number): chunk for chunk in own}
        parts = [self._checked(table, files, columns)] if own else []
        alone = {chunk.number for chunk in own}
        packed: dict[str, list[Chunk]] = {}
        for chunk in chunks:
            if chunk.number not in alone:
                packed.setdefault(pack_file(table, chunk.number), []).append(chunk)
        for file, wanted in packed.items():
            rows = self._packed(table, file, wanted[0].number // PACK * PACK, columns)
            if len(wanted) < PACK:
                rows = rows.filter(pl.col(tables.RUN).is_in([run.number for chunk in wanted for run in chunk.runs]))
            parts.append(rows)
        rows = pl.concat(parts) if parts else pl.DataFrame(schema=self._schemas[table]).select(columns)
        return rows.sort(tables.RUN, maintain_order=True) if own and packed else rows

    def _packed(self, table: str, file: str, first: int, columns: tuple[str, ...]) -> pl.DataFrame:
        """All rows of a pack; of each table the last one is kept, for those who ask for one chunk after the other."""
        stamp = _stamp_of(self._path / file), columns
        if stamp[0] is None:
            raise FileNotFoundError(self._path / file)
        if table not in self._packs or self._packs[table][0] != stamp:
            # To the checks it is one large chunk.
            runs = tuple(run for chunk in self._plan.chunks[first : first + PACK] for run in chunk.runs)
            self._packs[table] = stamp, self._checked(table, {file: Chunk(first, runs)}, columns)
        return self._packs[table][1]

    def _checked(self, table: str, files: Mapping[str, Chunk], columns: tuple[str, ...]) -> pl.DataFrame:
        """The rows of these files, each with those of one chunk."""
        schema, frames = self._schemas[table], []
        most = (
            1 if table != "trajectories" else len(evaluation_steps(self._plan.spec.steps, self._plan.spec.evaluations))
        )
        for file, chunk in files.items():
            try:
                frames.append(tables.table_from_bytes(self._read(file), schema, most * len(chunk.runs), columns))
            except ValueError as error:
                raise DamagedError(self._path / file, str(error)) from None
        rows, heights = pl.concat(frames), [len(frame) for frame in frames]
        wrong = check_table(table, rows, heights, self._plan, list(files.values()), self._widths)
        if wrong is not None:
            place, why = wrong
            raise DamagedError(self._path / list(files)[place], why)
        return rows

    def has(self, table: str, chunk: int) -> bool:
        """Whether a chunk's rows of a table are stored."""
        # In this order, as a pack is there before the file goes.
        return any((self._path / file(table, chunk)).exists() for file in (chunk_file, pack_file))

    def whole(self, name: str) -> pl.DataFrame:
        """All rows of a table that are stored, read again only where its files have changed."""
        stamp, stored = self._files(name)
        if name not in self._whole or self._whole[name][0] != stamp:
            self._whole[name] = stamp, self.rows_of(name, [self._plan.chunks[chunk] for chunk in sorted(stored)])
        return self._whole[name][1].clone()

    def chunks(self, table: str) -> set[int]:
        """The numbers of the chunks whose rows of a table are stored."""
        return self._files(table)[1]

    def _files(self, table: str) -> tuple[set[_Stamp], set[int]]:
        """The files of a table, and the numbers of the chunks whose rows they have."""
        count = len(self._plan.chunks)
        stamps: set[_Stamp] = set()
        stored: set[int] = set()
        for entry in _entries(self._path / table):
            if not (entry.name.startswith("chunk") and entry.name.endswith(".parquet")):
                continue
            held = chunks_in(entry.name)
            if held is None or held.stop > count:
                raise DamagedError(Path(entry.path), f"the study has the chunks 0 to {count - 1}", "move it away")
            if (stamp := _stamp_of(entry)) is not None:
                stamps.add(stamp)
                stored.update(held)
        for first in range(0, count - PACK + 1, PACK):
            # While the folder was listed, files may have gone into a pack.
            if not stored.issuperset(range(first, first + PACK)):
                stamp = _stamp_of(self._path / pack_file(table, first))
                if stamp is not None:
                    stamps.add(stamp)
                    stored.update(range(first, first + PACK))
        return stamps, stored

    def require(self, table: str, chunk: int) -> None:
        """Raise a `StudyError` if a chunk's rows of a table are not stored."""
        if not self.has(table, chunk):
            raise missing(self._path / chunk_file(table, chunk))


def _stamp_of(file: Path | os.DirEntry[str]) -> _Stamp | None:
    """None of a file that is not there."""
    try:
        there = file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(Path(file), error) from None
    return file.name, there.st_mtime_ns, there.st_size


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    # In a large study a hundred times as fast as a glob and a stat for each.
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        return list(found)
