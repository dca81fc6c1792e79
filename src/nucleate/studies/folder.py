"""The study folder: a spec, results and trajectories as Parquet, networks as safetensors; readable without us.

A chunk's results file appears last of its files, and whole. So a process may die at any moment: what the next one finds
is finished, or is done again from the chunk's checkpoint or its start; and so is what somebody deleted.
"""

import hashlib
import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from nucleate._files import PARTIAL, write_atomically
from nucleate._wording import card
from nucleate.errors import StudyError
from nucleate.network import Network
from nucleate.observe import Snapshot
from nucleate.problems import Problem
from nucleate.studies.plan import PlannedRun, plan_runs
from nucleate.studies.spec import StudySpec
from nucleate.studies.tables import read_tables, tabulate_results, write_table
from nucleate.training import Run


def versions() -> dict[str, str]:
    """The versions on which the bits of a run depend."""
    packages = ("nucleate", "jax", "jaxlib", "numpy", "optax", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def split_hash(problem: Problem) -> str:
    """The SHA-256 of the data as the networks see them."""
    digest = hashlib.sha256()
    for part in (problem.train, problem.validation, problem.test):
        digest.update(part.x.tobytes() + part.y.tobytes())
    return digest.hexdigest()


_FAMILIES = ("directions", "amplitudes", "singular_values")


def snapshots_to_bytes(snapshots: Sequence[Snapshot]) -> bytes:
    """A tensor of all steps for each family and layer: ``directions.1``, ``amplitudes.1``, ..."""
    tensors = {"steps": np.stack([taken.step for taken in snapshots])}
    for family in _FAMILIES:
        for layer, values in enumerate(zip(*(getattr(taken, family) for taken in snapshots), strict=True), start=1):
            tensors[f"{family}.{layer}"] = np.stack(values)
    return save(tensors)


def snapshots_from(tensors: Mapping[str, np.ndarray]) -> list[Snapshot]:
    """The snapshots of these tensors, in the order of the steps."""
    layers = range(1, 1 + sum(name.startswith("directions.") for name in tensors))
    return [
        Snapshot(step, *(tuple(tensors[f"{family}.{layer}"][index] for layer in layers) for family in _FAMILIES))
        for index, step in enumerate(tensors["steps"])
    ]


_FORMAT = "nucleate study 1"
_FOLDERS = ("results", "trajectories", "forecasts", "weights", "snapshots", "checkpoints")
Moment = Literal["initial", "final", "best"]


@dataclass(frozen=True)
class Study:
    """A study folder, finished or not.

    Parameters
    ----------
    path : Path
    spec : StudySpec
    data_hash : str
        Of the data as they were read, see `nucleate.problems.Problem`.
    split_hash : str
        Of the data as the networks see them: split and standardized.
    versions : dict of str to str
        Of what first wrote the folder.
    rows : dict of str to int
        How many rows are for training, validation and test.
    """

    path: Path
    spec: StudySpec
    data_hash: str
    split_hash: str
    versions: dict[str, str]
    rows: dict[str, int]

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """The study in a folder.

        Raises
        ------
        StudyError
            If the folder is missing, holds no study, or its spec is damaged.
        """
        path = Path(path)
        try:
            saved = json.loads((path / "spec.json").read_text("utf-8"))
            if saved["format"] != _FORMAT:
                raise StudyError(
                    f"{path} was written in the format {saved['format']!r}; this version reads {_FORMAT!r}."
                )
            spec = StudySpec(**saved["spec"])
            # Folders begun by the first version do not say how many rows there were.
            rows = saved.get("rows", {})
            return cls(path, spec, saved["data_hash"], saved["split_hash"], saved["versions"], rows)
        except (FileNotFoundError, NotADirectoryError):
            raise StudyError(f"{path} holds no study (there is no spec.json); give the folder a sweep wrote.") from None
        except OSError as error:
            raise StudyError(f"{path / 'spec.json'} cannot be read ({error.strerror}); check its rights.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValidationError) as error:
            raise StudyError(
                f"{path / 'spec.json'} is damaged ({type(error).__name__}); move the folder away and sweep again."
            ) from None

    @classmethod
    def open(cls, path: str | Path, spec: StudySpec, problem: Problem) -> "Study":
        """The study of this spec in a folder, begun there if the folder is new or empty.

        Raises
        ------
        StudyError
            If the folder holds a study of another spec or other data, with the difference named; or other files.
        """
        path = Path(path)
        rows = {part: len(getattr(problem, part).x) for part in ("train", "validation", "test")}
        wanted = study = cls(path, spec, problem.data_hash, split_hash(problem), versions(), rows)
        if (path / "spec.json").exists():
            study = cls.load(path)
            study._refuse_another(wanted)
        elif path.exists() and (not path.is_dir() or any(_foreign(entry) for entry in path.iterdir())):
            raise StudyError(f"{path} exists and is no study; choose another folder with --out.")
        elif any(not file.name.endswith(PARTIAL) for folder in _FOLDERS for file in (path / folder).glob("*")):
            raise StudyError(
                f"{path} holds files of a study, but no spec.json says which; put that back, or choose another folder "
                "with --out."
            )
        try:
            for folder in _FOLDERS:
                (path / folder).mkdir(parents=True, exist_ok=True)
                for partial in (path / folder).glob(f".*{PARTIAL}"):
                    partial.unlink(missing_ok=True)
        except OSError as error:
            raise StudyError(
                f"The folder {path} cannot be made ({error.strerror}); choose another with --out."
            ) from None
        if not (path / "spec.json").exists():
            saved = {"format": _FORMAT, "spec": spec.model_dump(mode="json", exclude_none=True)}
            saved |= {"data_hash": study.data_hash, "split_hash": study.split_hash, "rows": study.rows}
            saved |= {"versions": study.versions}
            write_atomically(path / "spec.json", json.dumps(saved, indent=2, ensure_ascii=False).encode())
        return study

    def _refuse_another(self, wanted: "Study") -> None:
        ours, theirs = self.spec.model_dump(mode="json"), wanted.spec.model_dump(mode="json")
        different = [f"{name} {ours[name]} there, {theirs[name]} here" for name in ours if ours[name] != theirs[name]]
        if self.data_hash != wanted.data_hash and not different:
            different = [f"the data of {self.spec.data!r} have changed since"]
        elif self.split_hash != wanted.split_hash and not different:
            different = [f"the data of {self.spec.data!r} were split or standardized otherwise"]
        if self.versions != wanted.versions and not different and self.missing:
            changed = [name for name in wanted.versions if wanted.versions[name] != self.versions.get(name)]
            warnings.warn(
                f"{self.path} was begun with other versions of {', '.join(changed)}; the runs still to do may differ "
                "in their last bits from what those would have given.",
                stacklevel=4,
            )
        if different:
            raise StudyError(
                f"{self.path} holds a study of another spec ({'; '.join(different)}). "
                "Choose another folder with --out, or give the spec of that one."
            )

    # -- writing -----------------------------------------------------------------------------------------------------

    def is_finished(self, chunk: int, planned: list[PlannedRun]) -> bool:
        """Whether all runs of a chunk are stored, with their courses and networks."""
        tables = [self._chunk_file(table, chunk) for table in ("results", "trajectories")]
        networks = [self._network_file(plan.number, moment) for plan in planned for moment in get_args(Moment)]
        return all(file.exists() for file in tables + networks)

    def is_forecast(self, chunk: int) -> bool:
        """Whether the forecasts of a chunk are stored."""
        return self._chunk_file("forecasts", chunk).exists()

    def write_forecasts(self, chunk: int, planned: list[PlannedRun], forecasts: pl.DataFrame) -> None:
        """Store the forecasts of a chunk, one row a run."""
        numbers = pl.Series("run", [plan.number for plan in planned], pl.Int64)
        write_table(self._chunk_file("forecasts", chunk), forecasts.insert_column(0, numbers))

    def write_checkpoint(self, chunk: int, checkpoint: bytes) -> None:
        """Keep an unfinished chunk's state."""
        write_atomically(self._checkpoint_file(chunk), checkpoint)

    def read_checkpoint(self, chunk: int) -> bytes | None:
        """An unfinished chunk's state, if one was kept."""
        try:
            return self._checkpoint_file(chunk).read_bytes()
        except FileNotFoundError:
            return None

    def write_chunk(self, chunk: int, planned: list[PlannedRun], runs: list[Run], problem: Problem) -> None:
        """Store the finished runs of a chunk, the results last."""
        metadata = {
            "preprocessing": problem.preprocessing.to_json(),
            "task": problem.task,
            "data": self.spec.data,
            "split_seed": str(self.spec.split_seed),
        }
        for plan, run in zip(planned, runs, strict=True):
            networks: dict[Moment, Network] = {"initial": run.initial, "final": run.final, "best": run.best}
            for moment, network in networks.items():
                network.save(self._network_file(plan.number, moment), metadata)
            if run.snapshots:
                write_atomically(self._snapshots_file(plan.number), snapshots_to_bytes(run.snapshots))
        trajectories = [
            run.trajectory.with_columns(run=pl.lit(plan.number)).select("run", pl.exclude("run"))
            for plan, run in zip(planned, runs, strict=True)
        ]
        write_table(self._chunk_file("trajectories", chunk), pl.concat(trajectories))
        write_table(self._chunk_file("results", chunk), tabulate_results(self.spec, planned, runs, problem))
        self._checkpoint_file(chunk).unlink(missing_ok=True)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def planned(self) -> int:
        """How many runs the spec asks for."""
        return len(plan_runs(self.spec))

    @property
    def results(self) -> pl.DataFrame:
        """One row a finished run, in the order of the plan."""
        return read_tables(self.path / "results")

    @property
    def trajectories(self) -> pl.DataFrame:
        """One row a recorded step of a finished run.

        Raises
        ------
        StudyError
            If those of a chunk with results are missing.
        """
        for results in (self.path / "results").glob("chunk-*.parquet"):
            file = self.path / "trajectories" / results.name
            if not file.exists():
                raise StudyError(f"{file} is missing; sweep again into the folder, and it is made again.")
        return read_tables(self.path / "trajectories")

    @property
    def forecasts(self) -> pl.DataFrame:
        """One row a run: what was forecast before it was trained; empty for mini-batches."""
        return read_tables(self.path / "forecasts")

    @property
    def missing(self) -> int:
        """How many runs are still to do."""
        return self.planned - len(self.results)

    def network(self, run: int, moment: Moment = "final") -> Network:
        """A run's network at its start, at its end, or where validation was best.

        Raises
        ------
        ArchitectureError
            If that run is not stored.
        """
        return Network.load(self._network_file(run, moment))

    def snapshots(self, run: int) -> list[Snapshot]:
        """A run over time, in the order of the steps; kept of the first seed of every scale and learning rate.

        Raises
        ------
        StudyError
            If the file is damaged.
        """
        file = self._snapshots_file(run)
        try:
            return snapshots_from(load_file(file)) if file.exists() else []
        except (SafetensorError, KeyError, OSError) as error:
            raise StudyError(f"{file} is damaged ({error}); delete it to do without it.") from None

    def _repr_html_(self) -> str:
        spec = self.spec
        rows = {
            "runs": f"{self.planned - self.missing} of {self.planned} finished",
            spec.convention: ", ".join(f"{scale:g}" for scale in spec.scales),
            "learning rates": ", ".join(f"{rate:g}" for rate in spec.lrs),
            "seeds": len(spec.seeds),
            "hidden": " - ".join(map(str, spec.hidden)),
            "folder": self.path,
        }
        return card(f"Study of {spec.data}", rows)

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}, {self.planned - self.missing} of {self.planned} runs)"

    def _chunk_file(self, table: str, chunk: int) -> Path:
        return self.path / table / f"chunk-{chunk:05d}.parquet"

    def _checkpoint_file(self, chunk: int) -> Path:
        return self.path / "checkpoints" / f"chunk-{chunk:05d}.safetensors"

    def _snapshots_file(self, run: int) -> Path:
        return self.path / "snapshots" / f"run-{run:05d}.safetensors"

    def _network_file(self, run: int, moment: Moment) -> Path:
        return self.path / "weights" / f"run-{run:05d}-{moment}.safetensors"


def _foreign(entry: Path) -> bool:
    return entry.name not in _FOLDERS and not entry.name.endswith(PARTIAL)
