"""The keeper of a study folder: the one process at a time that writes into it.

Files appear by atomic rename, a chunk's results last of its files. So a process may die at any moment: what the next
one finds is finished, or is done again from the chunk's checkpoint or its start; and so is what somebody deleted.
"""

import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import polars as pl
from filelock import FileLock, Timeout

from nucleate._files import (
    PARTIAL,
    check_seal,
    make_folder,
    parse_json,
    read_file,
    seal_tensors,
    write_atomically,
    write_json,
)
from nucleate._fingerprints import VERSIONED
from nucleate.errors import ArchitectureError, StudyError
from nucleate.models import count_parameters
from nucleate.observe import layers_of
from nucleate.problems import Problem
from nucleate.studies.folder import DamagedError, Study, unreadable
from nucleate.studies.formats import PARTS, problem_to_bytes, split_hash
from nucleate.studies.places import (
    DATA,
    FOLDERS,
    JUDGEMENT,
    PROBLEM,
    SPEC,
    TABLES,
    At,
    checkpoint_file,
    chunk_file,
    model_file,
    snapshots_file,
)
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

    Its methods take a `Chunk` of the study's plan, and all of them but the questions write files whole or not at all,
    with a checksum. The questions read all that is stored: what is damaged is to be made again, and a warning names it.

    Parameters
    ----------
    study : Study
        It is replaced where the keeper learns why there are no forecasts.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def is_finished(self, chunk: Chunk) -> bool:
        """Whether all runs of a chunk are stored, with their trajectories and models."""
        files = [chunk_file(table, chunk.number) for table in ("results", "trajectories")]
        files += [model_file(run.number, at) for run in chunk.runs for at in get_args(At)]
        if self.study.layers:
            files += [snapshots_file(run.number) for run in chunk.runs if run.number in self.study.plan.watched]
        if not all((self.study.path / file).exists() for file in files):
            return False
        try:
            self.study.check(chunk)
        except DamagedError as error:
            first, last = chunk.runs[0].number, chunk.runs[-1].number
            _say_again(error, f"the runs {first} to {last} are trained again")
            return False
        except (FileNotFoundError, ArchitectureError):
            return False
        return True

    def lacks_forecasts(self, chunk: Chunk) -> bool:
        """Whether a chunk's forecasts can be made and are not stored."""
        if self.study.no_forecast is not None:
            return False
        try:
            self.study.rows_of("forecasts", [chunk])
        except DamagedError as error:
            _say_again(error, "it is made again")
            return True
        except FileNotFoundError:
            return True
        return False

    def keep_forecasts(self, chunk: Chunk, forecasts: pl.DataFrame | str) -> None:
        """Store the forecasts of a chunk, one row a run, or the sentence that says why the study can have none."""
        if not isinstance(forecasts, str):
            self._write_table(chunk_file("forecasts", chunk.number), forecasts)
        elif self.study.no_forecast is None:
            self.study = replace(self.study, no_forecast=forecasts)
            _write_spec(self.study)

    def checkpoint(self, chunk: Chunk) -> bytes | None:
        """An unfinished chunk's state, if one is stored."""
        try:
            return self.study.read(checkpoint_file(chunk.number))
        except FileNotFoundError:
            return None
        except DamagedError as error:
            _say_again(error, "its runs start again")
            return None

    def keep_checkpoint(self, chunk: Chunk, checkpoint: bytes) -> None:
        """Store an unfinished chunk's state."""
        self._write_tensors(checkpoint_file(chunk.number), checkpoint)

    def drop_checkpoint(self, chunk: Chunk) -> None:
        """Let go of a state that is of no use any more."""
        (self.study.path / checkpoint_file(chunk.number)).unlink(missing_ok=True)

    def keep_result(self, chunk: Chunk, result: ChunkResult) -> None:
        """Store what came of a chunk, its results last; its checkpoint is of no use then."""
        for file, content in result.files.items():
            self._write_tensors(file, content)
        self._write_table(chunk_file("trajectories", chunk.number), result.trajectories)
        self._write_table(chunk_file("results", chunk.number), result.results)
        self.drop_checkpoint(chunk)

    def _write_table(self, file: str, table: pl.DataFrame) -> None:
        write_atomically(self.study.path / file, table_to_bytes(table, self.study.place(file)))

    def _write_tensors(self, file: str, content: bytes) -> None:
        write_atomically(self.study.path / file, seal_tensors(content, self.study.place(file)))


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
    refuse_foreign(path)
    make_folder(path)
    with _owned(path):
        study, begun = wanted, _begun(path, wanted)
        if begun is not None:
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
            make_folder(folder)
            for partial in folder.glob(f".*{PARTIAL}"):
                partial.unlink(missing_ok=True)
        _refuse_what_is_in_the_way(study)
        if with_problem and not _has_problem(study):
            write_atomically(path / PROBLEM, seal_tensors(problem_to_bytes(problem), study.place(PROBLEM)))
        if not (path / DATA).exists():
            write_json(path / DATA, {"notes": problem.notes, "columns": problem.columns.to_dicts()}, study.place(DATA))
        if begun is None or not (path / SPEC).exists():
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
        division=problem.division,
    )


def _write_spec(study: Study) -> None:
    write_json(study.path / SPEC, study.to_json(), SPEC)


def _say_again(error: DamagedError, what: str) -> None:
    warnings.warn(f"{error.file} is damaged ({error.why}); {what}.", stacklevel=3)


def _begun(path: Path, wanted: Study) -> Study | None:
    """The study that the folder holds; None of one whose spec is damaged, if all that is there is of the one wanted."""
    if not os.path.lexists(path / SPEC):
        return None
    try:
        begun = Study.load(path)
        if begun.identity == wanted.identity:
            for name in ("data_hash", "rows", "division", "widths", "layers", "preprocessing", "parameters", "metric"):
                if _told(begun, name) != _told(wanted, name):
                    raise DamagedError(path / SPEC, f"its {name} is not that of the data and the spec")
        return begun
    except DamagedError as error:
        for file in _files_in(path):
            if not _is_of(file, wanted):
                raise StudyError(
                    f"{error.file} is damaged ({error.why}), and {file} is not of this sweep; put that spec back, or "
                    "choose another folder with --out."
                ) from None
        _say_again(error, "all else there is of this sweep, so it is written again")
        return None


def _told(study: Study, name: str) -> Any:
    return study.metric.name if name == "metric" else getattr(study, name)


def _files_in(path: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (file for file in sorted((path / folder).glob("*")) if not file.name.endswith(PARTIAL))


def _is_of(file: Path, study: Study) -> bool:
    """Whether a file is of this study, or too damaged to say."""
    try:
        content = read_file(file)
        check_seal(content)
    except OSError as error:
        raise unreadable(file, error) from None
    except ValueError:
        return True
    try:
        check_seal(content, study.place(f"{file.parent.name}/{file.name}"))
    except ValueError:
        return False
    return True


def _has_problem(study: Study) -> bool:
    if not (study.path / PROBLEM).exists():
        return False
    try:
        study.load_problem()
    except DamagedError as error:
        _say_again(error, "it is written again")
        return False
    return True


def _refuse_what_is_in_the_way(study: Study) -> None:
    """Refuse, before anything is trained, folders, devices and the like where a file is to be written."""
    chunks = {chunk_file("", chunk.number).removeprefix("/") for chunk in study.plan.chunks}
    for folder in FOLDERS:
        with os.scandir(study.path / folder) as entries:
            for entry in entries:
                if entry.name.startswith(("chunk-", "run-")) and not os.path.isfile(entry):
                    raise StudyError(f"{entry.path} is in the way, for it is not a file; move it away.")
                if folder in TABLES and entry.name.startswith("chunk-") and entry.name not in chunks:
                    raise StudyError(f"{entry.path} is in the way, for the study has no such chunk; move it away.")


def refuse_foreign(path: Path) -> None:
    """Refuse what cannot be, or become, a study's folder, before any work is done.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StudyError
        If other files are there, or files of a study without its spec.
    """
    if (path / SPEC).exists() or not path.exists():
        return
    ours = (*FOLDERS, PROBLEM, DATA, JUDGEMENT, _LOCK, _OWNER)
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
        write_json(owner, known)
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)


def _read_owner(file: Path) -> str:
    try:
        known = parse_json(read_file(file))
        return f"process {known['pid']} on {known['host']} since {known['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
