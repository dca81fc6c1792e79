"""What there is to draw of a study that may not be finished."""

import polars as pl

from nucleate.errors import StudyError
from nucleate.sweep import Study


def finished_runs(study: Study) -> pl.DataFrame:
    """The results of a study, of one run at least.

    Raises
    ------
    StudyError
        If none is finished.
    """
    results = study.results
    if results.is_empty():
        raise StudyError(f"{study.path} has no finished run yet; the same sweep command goes on.")
    return results
