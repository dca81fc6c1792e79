"""The recommended run of a study, reduced, and kept with it."""

from dataclasses import replace
from typing import Any

import polars as pl

from nucleate.errors import SpecError, StudyError
from nucleate.exports import has_onnx_form, time_inference
from nucleate.problems import Problem
from nucleate.reduction.layers import Method
from nucleate.reduction.reducing import reduce
from nucleate.reduction.reduction import BeforeAfter, Reduction
from nucleate.reduction.saved import save_reduction
from nucleate.studies import FAILED, Study, recommended_run

FOLDER = "reduction"


def reduce_study(
    study: Study,
    problem: Problem | None = None,
    tolerance: float = 0.01,
    method: str | Method = "select",
    *,
    run: int | None = None,
    **options: Any,
) -> Reduction:
    """Reduce a run of a study at its best validated step, and keep the result in the study's folder.

    By default it is the run that the page recommends, `nucleate.studies.recommended_run`. Kept are the
    `Reduction`, to be read by `load_reduction`, and ``network.onnx`` where the activation and the loss have an ONNX
    form.

    Parameters
    ----------
    study : Study or path
        Finished or not; what is finished counts.
    problem : Problem, optional
        The study's own; by default ``study.load_problem()``.
    tolerance, method
        As in `nucleate.reduce`.
    run : int, optional
        The number of another run.
    **options
        Of `nucleate.reduce`.

    Returns
    -------
    Reduction

    Raises
    ------
    StudyError
        If no run of the study, or not that one, has trained, or the problem is not the study's.
    SpecError, DataError
        As `nucleate.reduce`.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    problem = study.load_problem() if problem is None else problem
    if not isinstance(problem, Problem):
        raise SpecError(f"The problem is {problem!r:.60}; give the study's own, or leave it out.")
    if problem.data_hash != study.data_hash:
        raise StudyError(f"The data are not those of {study.path}; give those it was trained on, or leave them out.")
    run = recommended_run(study) if run is None else _trained_run(study, run)
    reduction = reduce(study.network(run, "best"), problem, tolerance, method, **options)
    exported = has_onnx_form(reduction.network, problem.loss)
    seconds = (
        BeforeAfter(*(time_inference(network, problem) for network in (reduction.original, reduction.network)))
        if exported
        else None
    )
    reduction = replace(reduction, run=run, inference=seconds)
    save_reduction(reduction, study.path / FOLDER)
    if exported:
        reduction.export(problem, study.path / FOLDER / "network.onnx")
    return reduction


def _trained_run(study: Study, run: int) -> int:
    trained = _trained(study)
    if trained.is_empty() or run not in trained["run"]:
        raise StudyError(
            f"No run {run} of {study.path} has trained to its end; its runs are 0 to {study.planned - 1}, and the "
            "results say how each ended."
        )
    return run


def _trained(study: Study) -> pl.DataFrame:
    results = study.results
    return results.filter(~FAILED) if len(results) else results
