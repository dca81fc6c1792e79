"""What readers take from a study's results: finished runs, measured layers, and seeds taken together."""

from pathlib import Path

import polars as pl

from nucleate.errors import StudyError
from nucleate.studies.folder import Study
from nucleate.training import TRAINED


def finished_runs(study: Study) -> pl.DataFrame:
    """The results of a study, of one run at least.

    Parameters
    ----------
    study : Study

    Returns
    -------
    polars DataFrame
        One row a finished run.

    Raises
    ------
    StudyError
        If none is finished.
    """
    results = study.results
    if results.is_empty():
        raise StudyError(f"{study.path} has no finished run yet; the same sweep command goes on.")
    return results


def measured_layers(study: Study) -> dict[str, int]:
    """The width of every measured layer, by its name, which columns of the tables carry.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict of str to int
        Of one layer at least: ``{"1": 50, "2": 50}``.

    Raises
    ------
    StudyError
        If the study's model has no measured layers.
    """
    if not study.layers:
        raise StudyError(
            f"The model of {study.path} has no measured layers, so nothing is known of its neurons; give its class a "
            "method layers(x) and sweep into a new folder."
        )
    return dict(zip(study.layers, study.widths, strict=True))


def summarize(study: Study | str | Path) -> pl.DataFrame:
    """Medians over the seeds that trained, and how many runs ended how.

    Parameters
    ----------
    study : Study or path
        A study, or its folder.

    Returns
    -------
    polars DataFrame
        One row an init scale and learning rate. Columns: the init scale's convention, ``lr``, ``effective_neurons_l``,
        ``fewest_effective_neurons_l``, ``directions_l``, ``best_validation_loss``, ``validation_<metric>``,
        ``test_<metric>``, ``plateau_end``, the commonest ``stage`` at the end, ``status``.

    Examples
    --------
    >>> import tempfile
    >>> from nucleate import sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grid = {"gains": [1, 0.1], "seeds": 2, "hidden": [6], "steps": 20}
    ...     summary = summarize(sweep("sine-5d", **grid, out=f"{folder}/study", progress=False))
    >>> summary.select("gain", "lr", "status").rows()
    [(1.0, 0.05, '2 finished'), (0.1, 0.05, '2 finished')]
    """
    study = study if isinstance(study, Study) else Study.load(study)
    results = study.results
    kept = ("effective_", "fewest_", "directions_", "best_validation_loss", "validation_", "test_", "plateau_end")
    measures = [name for name in results.columns if name.startswith(kept) and name != "validation_loss"]
    trained = pl.col("status").is_in(TRAINED)
    return (
        results.group_by(study.spec.convention, "lr", maintain_order=True)
        .agg(
            *(pl.col(name).filter(trained).median() for name in measures),
            pl.col("stage").filter(trained).mode().sort().first(),
            pl.col("status").sort().value_counts(sort=True),
        )
        .with_columns(status=pl.col("status").map_elements(_say_counts, return_dtype=pl.String))
    )


def _say_counts(counts: pl.Series) -> str:
    return ", ".join(f"{row['count']} {row['status']}" for row in counts)
