"""Where in the study folder everything lies."""

from typing import Literal

TABLES = ("results", "trajectories", "forecasts")
FOLDERS = (*TABLES, "weights", "snapshots", "checkpoints")
SPEC, PROBLEM, DATA, JUDGEMENT = "spec.json", "problem.safetensors", "data.json", "judgement.json"
At = Literal["initial", "final", "best"]
"""When in a run: at its start, at its last evaluation, and at the one with the lowest validation loss."""


def chunk_file(table: str, chunk: int) -> str:
    """Where in the folder a chunk's rows of a table are."""
    return f"{table}/chunk-{chunk:05d}.parquet"


def checkpoint_file(chunk: int) -> str:
    """Where in the folder the state of an unfinished chunk is.

    Parameters
    ----------
    chunk : int

    Returns
    -------
    str
    """
    return f"checkpoints/chunk-{chunk:05d}.safetensors"


def snapshots_file(run: int) -> str:
    """Where in the folder a run's snapshots are.

    Parameters
    ----------
    run : int

    Returns
    -------
    str
    """
    return f"snapshots/run-{run:05d}.safetensors"


def model_file(run: int, at: At) -> str:
    """Where in the folder a run's model is.

    Parameters
    ----------
    run : int
    at : {"initial", "final", "best"}

    Returns
    -------
    str
    """
    return f"weights/run-{run:05d}-{at}.safetensors"
