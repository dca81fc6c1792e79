"""Where in the study folder everything lies.

A chunk's rows of a table are in a file of its own, until those of 64 consecutive chunks are put together in a *pack*.
That is written whole before the files go that it replaces, and a file of its own counts before a pack. So at any moment
each row is there, in the one or in the other.
"""

import re
from typing import Literal

TABLES = ("results", "trajectories", "forecasts")
FOLDERS = (*TABLES, "weights", "snapshots", "checkpoints")
SPEC, PROBLEM, DATA, JUDGEMENT = "spec.json", "problem.safetensors", "data.json", "judgement.json"
At = Literal["initial", "final", "best"]
"""When in a run: at its start, at its last evaluation, and at the one with the lowest validation loss."""

PACK = 64
"""Chunks in a pack; fixed, so that a study's files do not depend on when what was done."""
_TABLE_FILE = re.compile(r"chunk(?:-(\d{5,9})|s-(\d{5,9})-(\d{5,9}))\.parquet")


def chunk_file(table: str, chunk: int) -> str:
    """Where in the folder a chunk's rows of a table are."""
    return f"{table}/chunk-{chunk:05d}.parquet"


def pack_file(table: str, chunk: int) -> str:
    """Where in the folder the pack is that a chunk's rows of a table belong to.

    >>> pack_file("results", 70)
    'results/chunks-00064-00127.parquet'
    """
    first = chunk // PACK * PACK
    return f"{table}/chunks-{first:05d}-{first + PACK - 1:05d}.parquet"


def chunks_in(name: str) -> range | None:
    """The numbers of the chunks whose rows are in a file of this name; None of a name that no file has here.

    >>> chunks_in("chunk-00070.parquet"), chunks_in("chunks-00064-00127.parquet"), chunks_in("chunks-1-64.parquet")
    (range(70, 71), range(64, 128), None)
    """
    found = _TABLE_FILE.fullmatch(name)
    if found is None:
        return None
    chunk, first, last = found.groups()
    if chunk is not None:
        return range(int(chunk), int(chunk) + 1)
    held = range(int(first), int(last) + 1)
    return held if held.start % PACK == 0 and len(held) == PACK else None


def checkpoint_file(chunk: int) -> str:
    """Where in the folder the state of an unfinished chunk is."""
    return f"checkpoints/chunk-{chunk:05d}.safetensors"


def snapshots_file(run: int) -> str:
    """Where in the folder a run's snapshots are."""
    return f"snapshots/run-{run:05d}.safetensors"


def model_file(run: int, at: At) -> str:
    """Where in the folder a run's model is."""
    return f"weights/run-{run:05d}-{at}.safetensors"
