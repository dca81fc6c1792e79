"""The Parquet files of one table of a study, a file a chunk."""

from io import BytesIO
from pathlib import Path

import polars as pl

from nucleate._files import write_atomically
from nucleate.errors import StudyError


def write_table(file: Path, rows: pl.DataFrame) -> None:
    """Store a chunk's rows, whole or not at all."""
    buffer = BytesIO()
    rows.write_parquet(buffer)
    write_atomically(file, buffer.getvalue())


def read_tables(folder: Path) -> pl.DataFrame:
    """The rows of all chunks in their order.

    Raises
    ------
    StudyError
        If a file is damaged.
    """
    frames = []
    for file in sorted(folder.glob("chunk-*.parquet")):
        try:
            frames.append(pl.read_parquet(file))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise StudyError(f"{file} is damaged ({error}); delete it and sweep again into the folder.") from None
    # Folders of the first version have columns without a type where a chunk had no value.
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
