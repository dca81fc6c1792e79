"""The recommended run of a study, reduced, and kept with it."""

from dataclasses import replace
from typing import Any

from nucleate._arrays import is_whole
from nucleate._files import check_folder, read_json, why_unreadable, write_json
from nucleate.errors import SpecError, StudyError
from nucleate.exports import time_inference
from nucleate.exports.graph import has_onnx_form
from nucleate.problems import Problem
from nucleate.reduction.layers import Method
from nucleate.reduction.reducing import get_method, reduce
from nucleate.reduction.reduction import BeforeAfter, Reduction
from nucleate.reduction.saved import load_reduction, save_reduction
from nucleate.studies import FAILED, STUCK, Study, recommended_run

FOLDER = "reduction"
_MADE = "made.json"


_DEFAULTS = {"fine_tune": 0, "distill": 0, "seed": 0}


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
    form; and the settings of all reductions that were made of the study, whose number the certificate corrects for.

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
        If no run of the study, or not that one, has trained, the problem is not the study's, or it cannot be read how
        many reductions were made.
    SpecError, DataError
        As `nucleate.reduce`.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    check_folder(study.path / FOLDER)
    problem = study.load_problem() if problem is None else problem
    if not isinstance(problem, Problem):
        raise SpecError(f"The problem is {problem!r:.60}; give the study's own, or leave it out.")
    if problem.data_hash != study.data_hash:
        raise StudyError(f"The data are not those of {study.path}; give those it was trained on, or leave them out.")
    run = recommended_run(study) if run is None else _trained_run(study, run)
    asked = {"run": run, "tolerance": tolerance, "method": get_method(method).name}
    made = _made(study, asked | {name: value for name, value in options.items() if name != "baselines"})
    reduction = reduce(study.network(run, "best"), problem, tolerance, method, **options)
    exported = has_onnx_form(reduction.network, problem.loss)
    seconds = (
        BeforeAfter(*(time_inference(network, problem) for network in (reduction.original, reduction.network)))
        if exported
        else None
    )
    certificate = replace(reduction.certificate, among=len(made))
    stuck = run in study.results.filter(STUCK)["run"]
    # Such a run has learned nothing that could be compared.
    baselines = tuple(one.uncompared for one in reduction.baselines) if stuck else reduction.baselines
    reduction = replace(reduction, run=run, inference=seconds, certificate=certificate, baselines=baselines)
    save_reduction(reduction, study.path / FOLDER, study.identity)
    write_json(study.path / FOLDER / _MADE, {"made": made}, study.place(f"{FOLDER}/{_MADE}"))
    if exported:
        reduction.export(problem, study.path / FOLDER / "network.onnx")
    return reduction


def kept_reduction(study: Study) -> Reduction:
    """The reduction that `reduce_study` kept with the study; one of another study is refused."""
    return load_reduction(study.path / FOLDER, study.identity)


def _made(study: Study, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of every reduction made of a study, with those of one that is to be made."""
    file = study.path / FOLDER / _MADE
    settings = _DEFAULTS | settings
    try:
        made = read_json(file, study.place(f"{FOLDER}/{_MADE}")).get("made") if file.exists() else []
        if not (isinstance(made, list) and all(isinstance(entry, dict) for entry in made)):
            raise ValueError("it is no list of settings")
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{file} is damaged ({why_unreadable(error)}), so it is not known how many reductions were made of the "
            "study; put it back, or delete it if none of them was looked at."
        ) from None
    # The same once more is nothing new to choose from.
    return made if settings in made else [*made, settings]


def _trained_run(study: Study, run: int) -> int:
    if not is_whole(run) or run not in study.results.filter(~FAILED)["run"]:
        raise StudyError(
            f"No run {run!r:.60} of {study.path} has trained to its end; its runs are 0 to {study.planned - 1}, and "
            "the results say how each ended."
        )
    return run
