"""The verb: a grid of runs, trained and kept in a folder."""

import sys
from pathlib import Path
from typing import Any

from nucleate.problems import Problem
from nucleate.studies.folder import Study
from nucleate.studies.spec import StudySpec, make_spec
from nucleate.sweeping.progress import show_progress
from nucleate.sweeping.runner import run_study


def sweep(
    data: str | Path | Problem | StudySpec, *, out: str | Path | None = None, progress: bool = True, **fields: Any
) -> Study:
    """Train every cell of a grid of init scales, learning rates and seeds, and keep it all in a study folder.

    Called again with the same arguments it finishes what is missing, whatever ended it before, and the rows are those
    of an uninterrupted study, bit for bit.

    Parameters
    ----------
    data : str, Path, Problem or StudySpec
        The name of a bundled set, a path, a problem made in Python, or a whole spec.
    out : path, optional
        The study folder; by default one named after the data and the spec under ``nucleate-studies``.
    progress : bool
        Whether to show on standard error how far it is.
    **fields
        The fields of `StudySpec`, such as ``gains=[1, 0.1]``, ``lrs=[0.05]``, ``seeds=3``.

    Raises
    ------
    SpecError
        For a field out of range.
    DataError
        For data that cannot be used.
    StudyError
        If the folder holds something else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = sweep(
    ...         "sine-5d", gains=[1, 0.1], hidden=[10, 10], steps=20, records=4, out=folder, progress=False
    ...     )
    ...     study.results["status"].to_list()
    ['finished', 'finished']
    """
    if isinstance(data, StudySpec):
        spec = make_spec(**data.model_dump(exclude_none=True) | fields) if fields else data
    else:
        spec = make_spec(data=data.name if isinstance(data, Problem) else str(data), **fields)
    problem = data if isinstance(data, Problem) else spec.load_problem()
    out = study_folder(spec) if out is None else out
    if not progress:
        return run_study(spec, problem, out)
    for note in problem.notes:
        print(f"Note: {note}", file=sys.stderr)
    with show_progress() as show:
        return run_study(spec, problem, out, show)


def study_folder(spec: StudySpec) -> Path:
    """Where a study goes when nobody says: the same spec finds its folder again, another spec gets another."""
    return Path("nucleate-studies") / f"{Path(spec.data).stem}-{spec.digest}"
