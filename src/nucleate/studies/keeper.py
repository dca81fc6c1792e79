"""The keeper of a study folder: the one process at a time that writes into it.

Files appear by atomic rename, a chunk's results last of its files. So a process may die at any moment: what the next
one finds is finished, or is done again from the chunk's checkpoint or its start; and so is what somebody deleted.
"""

import json
import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import polars as pl
from filelock import FileLock, Timeout

from nucleate._files import PARTIAL, write_atomically
from nucleate._fingerprints import VERSIONED
from nucleate.errors import StudyError
from nucleate.models import count_parameters
from nucleate.observe import layers_of
from nucleate.problems import Problem
from nucleate.studies.folder import (
    DATA,
    FOLDERS,
    PROBLEM,
    SPEC,
    At,
    Study,
    checkpoint_file,
    chunk_file,
    model_file,
)
from nucleate.studies.formats import PARTS, problem_to_bytes, split_hash
from nucleate.studies.plan import Chunk, Plan
from nucleate.studies.spec import StudySpec
from nucleate.studies.tables import table_to_bytes

_LOCK, _OWNER = ".lock", ".owner.json"


@dataclass(frozen=True)
class ChunkResult:
    """What came of the runs of a chunk, as values that can travel between processes.

    Parameters
    ----------
    results, trajectories : polars DataFrame
        The chunk's rows of these tables.
    files : mapping of str to bytes
        Models and snapshots, by their place in the study folder.
    """

    results: pl.DataFrame
    trajectories: pl.DataFrame
    files: Mapping[str, bytes]


class Keeper:
    """What writes into a study folder; `keep` gives one to the process that owns the folder.

    Its methods take a `Chunk` of the study's plan, and all of them but the questions write files whole or not at all.

    Parameters
    ----------
    study : Study
        It is replaced where the keeper learns why there are no forecasts.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def is_finished(self, chunk: Chunk) -> bool:
        """Whether all runs of a chunk are stored, with their trajectories and models."""
        tables = [chunk_file(table, chunk.number) for table in ("results", "trajectories")]
        models = [model_file(run.number, at) for run in chunk.runs for at in get_args(At)]
        return all((self.study.path / file).exists() for file in tables + models)

    def lacks_forecasts(self, chunk: Chunk) -> bool:
        """Whether a chunk's forecasts can be made and are not stored."""
        file = self.study.path / chunk_file("forecasts", chunk.number)
        return self.study.no_forecast is None and not file.exists()

    def keep_forecasts(self, chunk: Chunk, forecasts: pl.DataFrame | str) -> None:
        """Store the forecasts of a chunk, one row a run, or the sentence that says why the study can have none."""
        if not isinstance(forecasts, str):
            self._write(chunk_file("forecasts", chunk.number), table_to_bytes(forecasts))
        elif self.study.no_forecast is None:
            self.study = replace(self.study, no_forecast=forecasts)
            _write_spec(self.study)

    def checkpoint(self, chunk: Chunk) -> bytes | None:
        """An unfinished chunk's state, if one is stored."""
        try:
            return (self.study.path / checkpoint_file(chunk.number)).read_bytes()
        except FileNotFoundError:
            return None

    def keep_checkpoint(self, chunk: Chunk, checkpoint: bytes) -> None:
        """Store an unfinished chunk's state."""
        self._write(checkpoint_file(chunk.number), checkpoint)

    def keep_result(self, chunk: Chunk, result: ChunkResult) -> None:
        """Store what came of a chunk, its results last; its checkpoint is of no use then."""
        for file, content in result.files.items():
            self._write(file, content)
        self._write(chunk_file("trajectories", chunk.number), table_to_bytes(result.trajectories))
        self._write(chunk_file("results", chunk.number), table_to_bytes(result.results))
        (self.study.path / checkpoint_file(chunk.number)).unlink(missing_ok=True)

    def _write(self, file: str, content: bytes) -> None:
        write_atomically(self.study.path / file, content)


@contextmanager
def keep(path: str | Path, spec: StudySpec, problem: Problem, *, with_problem: bool = False) -> Iterator[Keeper]:
    """Own the folder of this spec's study for the length of a block, and begin the study if the folder is new or empty.

    Parameters
    ----------
    path : path
    spec : StudySpec
    problem : Problem
    with_problem : bool
        Whether the problem was made in Python, so that the folder must keep it.

    Yields
    ------
    Keeper

    Raises
    ------
    StudyError
        If the folder holds a study of another spec, other data or another definition of the same name, with the
        difference named, or other files; or if another process owns it, with its name.
    """
    path = Path(path)
    wanted = _study_of(path, spec, problem)
    _refuse_foreign(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"The folder {path} cannot be made ({error.strerror}); choose another with --out.") from None
    with _owned(path):
        study = wanted
        if (path / SPEC).exists():
            begun = Study.load(path)
            _refuse_another(begun, wanted)
            if _redefined(begun, wanted) and not _has_runs(path):
                # A definition was corrected before anything came of it.
                for file in [*(path / "forecasts").glob("*"), path / SPEC]:
                    file.unlink()
            else:
                _refuse_redefined(begun, wanted)
                # What is known of the spec and the metric here is more than their names.
                study = replace(begun, spec=spec, metric=wanted.metric)
        for folder in (path, *(path / folder for folder in FOLDERS)):
            folder.mkdir(exist_ok=True)
            for partial in folder.glob(f".*{PARTIAL}"):
                partial.unlink(missing_ok=True)
        if with_problem and not (path / PROBLEM).exists():
            write_atomically(path / PROBLEM, problem_to_bytes(problem))
        if not (path / DATA).exists():
            said = {"notes": problem.notes, "columns": problem.columns.to_dicts()}
            write_atomically(path / DATA, json.dumps(said, indent=1, ensure_ascii=False).encode())
        if not (path / SPEC).exists():
            _write_spec(study)
        yield Keeper(study)


def _study_of(path: Path, spec: StudySpec, problem: Problem) -> Study:
    """The study before it is begun."""
    plan = Plan(spec)
    model = plan.start(plan.runs[0], problem.inputs, problem.outputs)
    layers = layers_of(model, problem.train.x[:2])
    return Study(
        path=path,
        spec=spec,
        data_hash=problem.data_hash,
        split_hash=split_hash(problem),
        versions={"python": platform.python_version(), **{name: version(name) for name in VERSIONED}},
        rows={part: len(getattr(problem, part).x) for part in PARTS},
        widths=tuple(layer.width for layer in layers),
        layers=tuple(layer.name for layer in layers),
        metric=problem.loss.metric,
        preprocessing=problem.preprocessing,
        parameters=count_parameters(model),
        definitions=spec.definitions,
    )


def _write_spec(study: Study) -> None:
    write_atomically(study.path / SPEC, json.dumps(study.to_json(), indent=2, ensure_ascii=False).encode())


def _refuse_foreign(path: Path) -> None:
    if (path / SPEC).exists() or not path.exists():
        return
    ours = (*FOLDERS, PROBLEM, DATA, _LOCK, _OWNER)
    if not path.is_dir() or any(
        entry.name not in ours and not entry.name.endswith(PARTIAL) for entry in path.iterdir()
    ):
        raise StudyError(f"{path} exists and is not a study; choose another folder with --out.")
    if any(not file.name.endswith(PARTIAL) for folder in FOLDERS for file in (path / folder).glob("*")):
        raise StudyError(
            f"{path} holds files of a study, but no {SPEC} says which; put that back, or choose another folder "
            "with --out."
        )


def _refuse_another(begun: Study, wanted: Study) -> None:
    theirs, ours = (study.spec.model_dump(mode="json") for study in (begun, wanted))
    names = [*theirs, *(name for name in ours if name not in theirs)]
    different = [
        f"{name} {theirs.get(name)} there, {ours.get(name)} here"
        for name in names
        if theirs.get(name) != ours.get(name)
    ]
    if begun.data_hash != wanted.data_hash and not different:
        different = [f"the data of {begun.spec.data!r} have changed since"]
    elif begun.split_hash != wanted.split_hash and not different:
        different = [f"the data of {begun.spec.data!r} were split or standardized otherwise"]
    if different:
        raise StudyError(
            f"{begun.path} holds a study of another spec ({'; '.join(different)}). "
            "Choose another folder with --out, or give the spec of that one."
        )
    if begun.versions != wanted.versions and begun.missing:
        changed = [name for name in wanted.versions if wanted.versions[name] != begun.versions.get(name)]
        warnings.warn(
            f"{begun.path} was begun with other versions of {', '.join(changed)}; the runs still to do may differ "
            "in their last bits from what those would have given.",
            stacklevel=2,
        )


def _redefined(begun: Study, wanted: Study) -> list[str]:
    """The definitions of one's own that are others by now than those the folder was begun with."""
    return [name for name, ours in wanted.definitions.items() if begun.definitions.get(name) != ours]


def _has_runs(path: Path) -> bool:
    """Whether something of a run is stored, be it unfinished."""
    return any(next((path / folder).glob("*"), None) for folder in FOLDERS if folder != "forecasts")


def _refuse_redefined(begun: Study, wanted: Study) -> None:
    """Refuse a definition that does something else by now than the one by which the runs in the folder were made."""
    redefined = _redefined(begun, wanted)
    if not redefined:
        return
    if _minor(begun) != _minor(wanted):
        warnings.warn(
            f"{begun.path} was begun with Python {_minor(begun)}, and this is {_minor(wanted)}; so it cannot be seen "
            f"whether it was made by the same {' and '.join(redefined)}.",
            stacklevel=2,
        )
        return
    raise StudyError(
        f"{begun.path} was made by another definition of the {' and the '.join(redefined)} than the one given now; "
        "give the changed one another name, choose another folder with --out, or give the definition of that study."
    )


def _minor(study: Study) -> str:
    """The minor version of Python; another compiles functions to other code."""
    return ".".join(study.versions["python"].split(".")[:2])


@contextmanager
def _owned(path: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of when the process dies, and say in a file who holds it."""
    owner = path / _OWNER
    try:
        lock = FileLock(path / _LOCK, blocking=False).acquire()
    except Timeout:
        raise StudyError(
            f"{path} is being written by {_read_owner(owner)}; let that end, or choose another folder with --out."
        ) from None
    except OSError as error:
        raise StudyError(f"The folder {path} cannot be locked ({error.strerror}); choose another with --out.") from None
    with lock:
        known = {"host": platform.node(), "pid": os.getpid(), "since": datetime.now().isoformat(" ", "seconds")}
        write_atomically(owner, json.dumps(known).encode())
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)


def _read_owner(file: Path) -> str:
    try:
        known = json.loads(file.read_text("utf-8"))
        return f"process {known['pid']} on {known['host']} since {known['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
