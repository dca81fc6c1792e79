"""A study's results, seeds taken together."""

import polars as pl

from nucleate.studies.folder import Study


def summarize(study: Study) -> pl.DataFrame:
    """One row a (scale, learning rate): medians over the seeds that trained, and how many ended how.

    Columns: the init scale's convention, ``lr``, ``effective_neurons_l``, ``fewest_effective_neurons_l``,
    ``directions_l``, ``best_validation_loss``, ``validation_<metric>``, ``test_<metric>``, ``plateau_end``, the
    commonest ``stage`` at the end, ``status``.
    """
    results = study.results
    kept = ("effective_", "fewest_", "directions_", "best_validation_loss", "validation_", "test_", "plateau_end")
    measures = [name for name in results.columns if name.startswith(kept) and name != "validation_loss"]
    trained = pl.col("status").is_in(["finished", "early_stopped"])
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
