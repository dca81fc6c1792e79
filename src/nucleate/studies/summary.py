"""What readers take from a study's results: finished runs, measured layers, and seeds taken together."""

from collections import Counter
from pathlib import Path

import polars as pl

from nucleate.errors import StudyError
from nucleate.studies.folder import Study
from nucleate.training import TRAINED

_ON_PLATEAU = pl.col("stage") == "initial plateau"
_RISEN = pl.col("stage") == "rise"
LEARNED = pl.col("status").is_in(TRAINED) & ~_ON_PLATEAU & ~_RISEN
"""Of the results: the runs that trained to their end, left their initial plateau and kept what they had learned."""
STUCK = pl.col("status").is_in(TRAINED) & _ON_PLATEAU
"""Of the results: the runs that took their steps and never left their initial plateau."""
FAILED = ~pl.col("status").is_in(TRAINED) | _RISEN
"""Of the results: the runs that ended without having trained: diverged, NaN, underflow, dead, or risen again."""


def finished_runs(study: Study) -> pl.DataFrame:
    """The results of a study, a row for each finished run; without one it is refused."""
    results = study.results
    if results.is_empty():
        raise StudyError(f"{study.path} has no finished run yet; the same sweep command goes on.")
    return results


def measured_layers(study: Study) -> dict[str, int]:
    """The width of every measured layer, by its name, which columns of the tables carry: ``{"1": 50, "2": 50}``.

    A study whose model has none is refused.
    """
    if not study.layers:
        raise StudyError(
            f"The model of {study.path} has no measured layers, so nothing is known of its neurons; give its class a "
            "method layers(x) and sweep into a new folder."
        )
    return study.layer_widths


def summarize(study: Study | str | Path) -> pl.DataFrame:
    """Medians over the seeds that left their plateau, and how many runs did so, are stuck on it, or failed.

    A run that never left its plateau has learned nothing, and one that rose again has lost most of what it had learned
    (it may end above its plateau), so neither has a part in the medians of those that learned. Where
    none of a cell did, the medians are of those stuck; where none trained, there are none.

    Parameters
    ----------
    study : Study or path
        A study, or its folder.

    Returns
    -------
    polars DataFrame
        One row an init scale and learning rate, and where there are several a weight decay. Columns: the init scale's
        convention, ``lr``, and where there are several ``weight_decay``; ``learned``, ``stuck`` and ``failed``, the
        numbers of runs; the medians ``effective_neurons_l``, ``fewest_effective_neurons_l``, ``directions_l``,
        ``best_validation_loss``, ``validation_<metric>``, ``test_<metric>``, ``plateau_end``; ``stage``, in which those
        that trained ended, and ``status``, both counted.

    Examples
    --------
    >>> import tempfile
    >>> from nucleate import sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grid = {"gains": [1, 0.01], "seeds": 2, "hidden": [6, 6], "steps": 20}
    ...     summary = summarize(sweep("sine-5d", **grid, out=f"{folder}/study", progress=False))
    >>> summary.select("gain", "lr", "learned", "stuck", "status").rows()
    [(1.0, 0.05, 2, 0, '2 finished'), (0.01, 0.05, 0, 2, '2 finished')]
    """
    study = study if isinstance(study, Study) else Study.load(study)
    results = study.results
    kept = ("effective_", "fewest_", "directions_", "best_validation_loss", "validation_", "test_", "plateau_end")
    measures = [name for name in results.columns if name.startswith(kept) and name != "validation_loss"]
    return (
        results.group_by(*study.spec.axes, maintain_order=True)
        .agg(
            learned=LEARNED.sum().cast(pl.Int64),
            stuck=STUCK.sum().cast(pl.Int64),
            failed=FAILED.sum().cast(pl.Int64),
            **{
                name: pl.when(LEARNED.any())
                .then(pl.col(name).filter(LEARNED).median())
                .otherwise(pl.col(name).filter(STUCK).median())
                for name in measures
            },
            stage=pl.col("stage").filter(~FAILED),
            status=pl.col("status"),
        )
        .with_columns(pl.col("stage", "status").map_elements(_say_counts, return_dtype=pl.String))
    )


def counted(values: pl.Series) -> list[tuple[str, int]]:
    """How often each comes: the commonest first, and of equals the first by the alphabet."""
    return sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))


def _say_counts(values: pl.Series) -> str:
    """``2 finished, 1 dead``, for all are told."""
    return ", ".join(f"{count} {value}" for value, count in counted(values))
