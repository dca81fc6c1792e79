"""The verb: a grid of runs, trained and kept in a folder."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nucleate._files import check_folder
from nucleate._wording import for_whom, plain
from nucleate.architectures import Architecture, get_architecture
from nucleate.devices import check_device
from nucleate.errors import SpecError
from nucleate.problems import Problem, describe_data
from nucleate.problems.options import DATA_FIELDS
from nucleate.studies import Study, StudySpec, make_spec
from nucleate.studies.keeper import refuse_foreign
from nucleate.sweeping.executors import Executor
from nucleate.sweeping.progress import show_progress
from nucleate.sweeping.runner import check_when_owned, run_study
from nucleate.tables.files import name_of


def sweep(
    data: str | Path | Problem | StudySpec | Study,
    *,
    out: str | Path | None = None,
    progress: bool = True,
    executor: Executor | None = None,
    device: str = "auto",
    when_owned: str = "refuse",
    **fields: Any,
) -> Study:
    """Train every cell of a grid of init scales, learning rates and seeds, and keep it all in a study folder.

    Called again with the same arguments it finishes what is missing, whatever ended it before, and the rows are those
    of an uninterrupted study, bit for bit.

    Parameters
    ----------
    data : str, Path, Problem, StudySpec or Study
        The name of a bundled set, a path, a problem made in Python (whose split the folder then keeps), a whole spec,
        or a study to go on with.
    out : path, optional
        The study folder; by default one named after the data and the spec under ``nucleate-studies``.
    progress : bool
        Whether to show on standard error how far it is.
    executor : Executor, optional
        Where the chunks of 16 runs are computed, such as a `concurrent.futures.ProcessPoolExecutor` with the start
        method ``spawn``; by default here, one after another.
    device : {"auto", "cpu", "gpu"}
        Where they are computed, here or on the executor's workers; by default where JAX does.
    when_owned : {"refuse", "wait", "follow"}
        What to do where another process writes into the folder: raise; wait until it ends, and finish what it has left;
        or wait until it has finished the study, and train nothing. Who waits is shown its progress.
    **fields
        The fields of `StudySpec`, such as ``gains=[1, 0.1]``, ``lrs=[0.05]``, ``seeds=3``, ``optimizer="adam"``.

    Returns
    -------
    Study

    Raises
    ------
    SpecError
        For a field out of range, or a device that there is not.
    DataError
        For data that cannot be used.
    StudyError
        If the folder holds something else, or what was made by another definition of the same name; if another process
        is writing into it (`nucleate.studies.OwnedError`), or ends unfinished where it is followed; or if the executor
        fails at a chunk.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grid = {"gains": [1, 0.01], "seeds": 2, "hidden": [6, 6], "steps": 20}
    ...     study = sweep("sine-5d", **grid, out=folder, progress=False)
    ...     study.results["status"].to_list()
    ['finished', 'finished', 'finished', 'finished']
    """
    check_device(device, here=executor is None)
    check_when_owned(when_owned)
    if out is not None and not isinstance(out, str | os.PathLike):
        raise SpecError(f"The study's folder is {out!r:.60}; give a path.")
    if isinstance(data, Problem):
        spec, problem = _spec_of(data, fields), data
    elif isinstance(data, Study):
        spec, problem = data.spec.changed(**fields) if fields else data.spec, data.load_problem(fields.get("loss"))
        out = data.path if out is None else out
    else:
        if not isinstance(data, StudySpec | str | os.PathLike):
            raise SpecError(
                f"The data are {data!r:.60}; give the name of a bundled set, a path, a Problem (Problem.from_arrays or "
                "Problem.from_table make one), a Study or a StudySpec."
            )
        if not isinstance(data, StudySpec):
            spec = make_spec(data=str(data), **fields)
        else:
            spec = data.changed(**fields) if fields else data
        if spec.data == "-":
            raise SpecError("A study reads its data again, and standard input (-) is gone then; name a file.")
        problem = spec.load_problem()
    out = study_folder(spec) if out is None else out
    refuse_foreign(Path(out))
    check_folder(out)
    run = partial(
        run_study,
        *(spec, problem, out),
        executor=executor,
        with_problem=isinstance(data, Problem),
        device=device,
        when_owned=when_owned,
    )
    if not progress:
        return run()
    for line in describe_data(problem):
        print(plain(for_whom(line)), file=sys.stderr)
    with show_progress() as show:
        return run(on_progress=show)


def study_folder(spec: StudySpec) -> Path:
    """Where a study goes when nobody says: the same spec finds its folder again, another spec gets another."""
    # Options of a problem stand behind a colon, which not every file system takes.
    name = name_of(Path(spec.data)).replace(":", "-")
    return Path("nucleate-studies") / f"{name}-{spec.digest}"


def _spec_of(problem: Problem, fields: dict[str, Any]) -> StudySpec:
    """The spec of a study of a problem made in Python, which has decided already what is to be done with its data."""
    decided = [name for name in DATA_FIELDS if name in fields]
    if decided:
        raise SpecError(f"The problem {problem.name!r} has its split and its loss already; leave out {decided[0]}.")
    model = fields.get("model")
    if isinstance(model, str | Mapping | Architecture) and problem.row_shape is not None:
        fields = fields | {"model": get_architecture(model).on(*problem.row_shape)}
    return make_spec(data=problem.name, loss=problem.loss, **fields)
