"""The keeper of a study folder: the one process at a time that writes into it.

Files appear by atomic rename, a chunk's results last of its files. So a process may die at any moment: what the next
one finds is finished, or is done again from the chunk's checkpoint or its start; and so is what somebody deleted.
"""

import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import polars as pl

from nucleate._files import PARTIAL, check_seal, make_folder, read_file, seal_tensors, write_atomically, write_json
from nucleate._fingerprints import VERSIONED
from nucleate.devices import spread
from nucleate.errors import ArchitectureError, StudyError
from nucleate.models import count_parameters
from nucleate.observe import layers_of
from nucleate.observe.measures import evaluation_rows
from nucleate.problems import Problem
from nucleate.problems.division import PARTS
from nucleate.studies.folder import Study
from nucleate.studies.formats import problem_to_bytes, split_hash
from nucleate.studies.judgement import load_judgement
from nucleate.studies.ownership import LOCK, OWNER, Owner, Ownership, owned, until_free
from nucleate.studies.places import (
    DATA,
    FOLDERS,
    JUDGEMENT,
    PACK,
    PROBLEM,
    SPEC,
    TABLES,
    At,
    checkpoint_file,
    chunk_file,
    chunks_in,
    model_file,
    pack_file,
    snapshots_file,
)
from nucleate.studies.plan import Chunk, Plan
from nucleate.studies.spec import StudySpec
from nucleate.studies.stored import DamagedError, unreadable
from nucleate.studies.tables import table_to_bytes

_OWN = (SPEC, PROBLEM, DATA, JUDGEMENT, LOCK, OWNER)


@dataclass(frozen=True)
class ChunkResult:
    """What came of the runs of a chunk, as values that can travel between processes: its rows of these tables.

    ``files`` are models and snapshots, by their place in the study folder.
    """

    results: pl.DataFrame
    trajectories: pl.DataFrame
    files: Mapping[str, bytes]


class Keeper:
    """What writes into a study folder; `keep` gives one to the process that owns the folder.

    Its methods take a `Chunk` of the study's plan, and all of them but the questions write files whole or not at all,
    with a checksum. The questions read all that is stored: what is damaged is to be made again, and a warning names it.
    The study is replaced where the keeper learns why there are no forecasts.
    """

    def __init__(self, study: Study, ownership: Ownership) -> None:
        self.study = study
        self._ownership = ownership
        self._said: set[Path] = set()

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Let processes that wait for the folder know how far this one is, in what JSON can hold."""
        self._ownership.tell(progress)

    def is_finished(self, chunk: Chunk) -> bool:
        """Whether all runs of a chunk are stored, with their trajectories and models."""
        files = [model_file(run.number, at) for run in chunk.runs for at in get_args(At)]
        if self.study.layers:
            files += [snapshots_file(run.number) for run in chunk.runs if run.number in self.study.plan.watched]
        stored = all(self.study.stored.has(table, chunk.number) for table in ("results", "trajectories"))
        if not (stored and all((self.study.path / file).exists() for file in files)):
            return False
        try:
            self.study.check(chunk)
        except DamagedError as error:
            self._say_again(error, chunk, "the runs {} to {} are trained again")
            return False
        except (FileNotFoundError, ArchitectureError):
            return False
        return True

    def lacks_forecasts(self, chunk: Chunk) -> bool:
        """Whether a chunk's forecasts can be made and are not stored."""
        if self.study.no_forecast is not None:
            return False
        try:
            self.study.stored.rows_of("forecasts", [chunk])
        except DamagedError as error:
            self._say_again(error, chunk, "it is made again")
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
            write_json(self.study.path / SPEC, self.study.to_json(), SPEC)

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
        """Store an unfinished chunk's state, a safetensors file's bytes."""
        self._write_tensors(checkpoint_file(chunk.number), checkpoint)

    def drop_checkpoint(self, chunk: Chunk) -> None:
        """Let go of a state that is of no use any more."""
        (self.study.path / checkpoint_file(chunk.number)).unlink(missing_ok=True)

    def keep_result(self, chunk: Chunk, result: ChunkResult) -> None:
        """Store what came of a chunk, its results last; its checkpoint is of no use then."""
        # Side by side, as each waits for the disk.
        spread(lambda file: self._write_tensors(*file), list(result.files.items()))
        self._write_table(chunk_file("trajectories", chunk.number), result.trajectories)
        self._write_table(chunk_file("results", chunk.number), result.results)
        self.drop_checkpoint(chunk)
        self._pack(chunk.number // PACK * PACK)

    def pack(self) -> None:
        """Put the tables of every 64 consecutive chunks together that are all stored, so that there are few files."""
        for first in range(0, len(self.study.plan.chunks), PACK):
            self._pack(first)

    def _pack(self, first: int) -> None:
        chunks = self.study.plan.chunks[first : first + PACK]
        for table in TABLES:
            # From the last on, as chunks are mostly stored in their order: the first one that is missing decides.
            if len(chunks) < PACK or not all(self.study.stored.has(table, chunk.number) for chunk in reversed(chunks)):
                continue
            files = [self.study.path / chunk_file(table, chunk.number) for chunk in chunks]
            own = [file for file in files if file.exists()]
            if not own:
                continue
            # In one piece, so that its bytes do not depend on those that it is made of.
            self._write_table(pack_file(table, first), self.study.stored.rows_of(table, chunks).rechunk())
            for file in own:
                file.unlink()

    def _say_again(self, error: DamagedError, chunk: Chunk, what: str) -> None:
        """Say, once for each file that is damaged, which runs are trained again."""
        if error.file in self._said:
            return
        self._said.add(error.file)
        chunks = self.study.plan.chunks
        held = [chunks[number] for number in chunks_in(error.file.name) or [chunk.number]]
        _say_again(error, what.format(held[0].runs[0].number, held[-1].runs[-1].number))

    def _write_table(self, file: str, table: pl.DataFrame) -> None:
        write_atomically(self.study.path / file, table_to_bytes(table, self.study.place(file)))

    def _write_tensors(self, file: str, content: bytes) -> None:
        write_atomically(self.study.path / file, seal_tensors(content, self.study.place(file)))


@contextmanager
def keep(
    path: str | Path,
    spec: StudySpec,
    problem: Problem,
    *,
    with_problem: bool = False,
    meanwhile: Callable[[Owner], None] | None = None,
) -> Iterator[Keeper]:
    """Own the folder of this spec's study for the length of a block, and begin the study if the folder is new or empty.

    ``with_problem`` says that the problem was made in Python, so that the folder must keep it. ``meanwhile`` is called
    again and again with the `Owner` while another process owns the folder; without it that is an OwnedError. A folder
    of another spec, other data, another definition of the same name or other files is a StudyError that names the
    difference.
    """
    path = Path(path)
    wanted = _study_of(path, spec, problem)
    refuse_foreign(path)
    make_folder(path)
    with owned(path, meanwhile and _watching(path, wanted, meanwhile)) as ownership:
        yield Keeper(_begin(path, wanted, problem, with_problem=with_problem), ownership)


def follow(path: str | Path, spec: StudySpec, problem: Problem, meanwhile: Callable[[Owner], None]) -> Study:
    """The study of this spec once another process, which owns its folder, has finished it; nothing is written.

    Refused as by `keep`, and where that process ends before the study is finished.
    """
    path = Path(path)
    wanted, last = _study_of(path, spec, problem), Owner()

    def heard(owner: Owner) -> None:
        nonlocal last
        last = owner
        meanwhile(owner)

    until_free(path, _watching(path, wanted, heard))
    study = _of_another(path, wanted)
    if study is not None and not study.missing and load_judgement(study) is not None:
        return study
    done = 0 if study is None else study.planned - study.missing
    raise StudyError(
        f"{path} was written by {last.name}, which has ended with {done} of {wanted.planned} runs finished; sweep "
        "again, and this process goes on from there."
    )


def _watching(path: Path, wanted: Study, meanwhile: Callable[[Owner], None]) -> Callable[[Owner], None]:
    """Refuse at once, and not when the wait is over, to wait for another study than the one wanted."""
    known = False

    def watch(owner: Owner) -> None:
        nonlocal known
        known = known or _of_another(path, wanted) is not None
        meanwhile(owner)

    return watch


def _of_another(path: Path, wanted: Study) -> Study | None:
    """The study as another process has begun it; None before that has."""
    if not (path / SPEC).exists():
        return None
    begun = Study.load(path)
    _refuse_another(begun, wanted)
    _refuse_redefined(begun, wanted)
    return replace(begun, spec=wanted.spec, metric=wanted.metric)


def _begin(path: Path, wanted: Study, problem: Problem, *, with_problem: bool) -> Study:
    """The study as the folder's owner finds it, begun if it is not."""
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
            study = replace(begun, spec=wanted.spec, metric=wanted.metric)
    for folder in (path, *(path / folder for folder in FOLDERS)):
        make_folder(folder)
        for partial in folder.glob(f".*{PARTIAL}"):
            # Beside our own files somebody may be writing a page.
            if folder != path or partial.name.startswith(tuple(f".{name}" for name in _OWN)):
                partial.unlink(missing_ok=True)
    _refuse_what_is_in_the_way(study)
    if with_problem and not _has_problem(study):
        write_atomically(path / PROBLEM, seal_tensors(problem_to_bytes(problem), study.place(PROBLEM)))
    if not (path / DATA).exists():
        write_json(path / DATA, {"notes": problem.notes, "columns": problem.columns.to_dicts()}, study.place(DATA))
    if begun is None or not (path / SPEC).exists():
        write_json(path / SPEC, study.to_json(), SPEC)
    return study


def _study_of(path: Path, spec: StudySpec, problem: Problem) -> Study:
    """The study before it is begun."""
    plan = Plan(spec)
    model = plan.start(plan.runs[0], problem.inputs, problem.outputs)
    # On the rows on which its runs are measured, so that a program is compiled once for both.
    layers = layers_of(model, evaluation_rows(problem.train.x))
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
        weighted_by=problem.weighted_by,
    )


def _say_again(error: DamagedError, what: str) -> None:
    warnings.warn(f"{error.file} is damaged ({error.why}); {what}.", stacklevel=3)


def _begun(path: Path, wanted: Study) -> Study | None:
    """The study that the folder holds; None of one whose spec is damaged, if all that is there is of the one wanted."""
    if not os.path.lexists(path / SPEC):
        return None
    try:
        begun = Study.load(path)
        if begun.identity == wanted.identity:
            theirs, ours = _told(begun), _told(wanted)
            for name in ours:
                if theirs[name] != ours[name]:
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


def _told(study: Study) -> dict[str, Any]:
    """What is kept of a study that its data and its spec decide."""
    names = ("data_hash", "rows", "division", "weighted_by", "widths", "layers", "parameters")
    told = {name: getattr(study, name) for name in names} | {"metric": study.metric.name}
    # Spans decide nothing, and a study that was begun before they were kept has none.
    return told | {"preprocessing": study.preprocessing and study.preprocessing.without_spans()}


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
    for folder in FOLDERS:
        with os.scandir(study.path / folder) as entries:
            for entry in entries:
                if entry.name.startswith(("chunk", "run-")) and not os.path.isfile(entry):
                    raise StudyError(f"{entry.path} is in the way, for it is not a file; move it away.")
                held = chunks_in(entry.name)
                planned = held is not None and held.stop <= len(study.plan.chunks)
                if folder in TABLES and entry.name.startswith("chunk") and not planned:
                    raise StudyError(f"{entry.path} is in the way, for the study has no such chunk; move it away.")


def refuse_foreign(path: Path) -> None:
    """Refuse what cannot be, or become, a study's folder, before any work: other files, or a study without its spec."""
    if (path / SPEC).exists() or not path.exists():
        return
    ours = (*FOLDERS, *_OWN)
    if not path.is_dir() or any(
        entry.name not in ours and not entry.name.endswith(PARTIAL) for entry in path.iterdir()
    ):
        raise StudyError(f"{path} exists and is not a study; choose another folder with --out.")
    orphans = any(not file.name.endswith(PARTIAL) for folder in FOLDERS for file in (path / folder).glob("*"))
    # Asked again, for another process may have begun the study just now.
    if orphans and not (path / SPEC).exists():
        raise StudyError(
            f"{path} holds files of a study, but no {SPEC} says which; put that back, or choose another folder "
            "with --out."
        )


def _refuse_another(begun: Study, wanted: Study) -> None:
    theirs, ours = (study.spec.model_dump(mode="json") for study in (begun, wanted))
    different = [
        f"{name} {theirs.get(name)} there, {ours.get(name)} here"
        for name in theirs | ours
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
    spec = wanted.spec
    given: dict[str, str | None] = {} if spec.optimizer.make is None else {f"optimizer {spec.optimizer.name!r}": None}
    if spec.loss is not None and spec.loss.value is not None:
        given[f"loss {spec.loss.name!r}"] = None
    # One of the package has no fingerprint, and is another than one's own of its name.
    given |= wanted.definitions
    return [name for name, ours in given.items() if begun.definitions.get(name) != ours]


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
