"""The study folder as its readers see it: a spec, tables as Parquet, models as safetensors; readable without us.

Reading needs no lock and no runner, and what is read may be unfinished: a chunk's results file appears last of its
files, and whole.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from nucleate._wording import card
from nucleate.errors import DataError, StudyError
from nucleate.models import load_model
from nucleate.network import Network
from nucleate.observe import Snapshot
from nucleate.problems import METRICS, Loss, Metric, Preprocessing, Problem
from nucleate.studies import tables
from nucleate.studies.formats import read_problem, snapshots_from
from nucleate.studies.plan import Plan
from nucleate.studies.spec import NameOnly, StudySpec
from nucleate.training import READING

FORMAT = "nucleate study 2"
_FIRST_FORMAT = "nucleate study 1"
FOLDERS = ("results", "trajectories", "forecasts", "weights", "snapshots", "checkpoints")
SPEC, PROBLEM, DATA = "spec.json", "problem.safetensors", "data.json"
At = Literal["initial", "final", "best"]
"""When in a run: at its start, at its last evaluation, and at the one with the lowest validation loss."""


@dataclass(frozen=True)
class Study:
    """A study folder, finished or not.

    Parameters
    ----------
    path : Path
    spec : StudySpec
        Of definitions of one's own, a study that was loaded knows the names.
    data_hash : str
        Of the data as they were read, see `nucleate.problems.Problem`.
    split_hash : str
        Of the data as the networks see them: split and standardized.
    versions : dict of str to str
        Of what first wrote the folder.
    rows : dict of str to int
        How many rows are for training, validation and test.
    widths : tuple of int
        Of the measured layers; empty for models that have none.
    layers : tuple of str
        The names of these layers, which columns of tables carry; 1, 2, ... where none are given.
    metric : Metric
        What predictions are judged by; of a study that was loaded its value is None.
    preprocessing : Preprocessing or None
        From raw columns to inputs, and from outputs to the target's units or labels.
    parameters : int
        How many numbers a model learns.
    no_forecast : str or None
        Why there are no forecasts, if there are none.
    definitions : dict of str to str
        A fingerprint of each definition of one's own that the runs were trained by, see `StudySpec.definitions`.

    Examples
    --------
    >>> import tempfile
    >>> from nucleate import sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = sweep("sine-5d", gains=[0.1], hidden=[6], steps=20, out=f"{folder}/study", progress=False).path
    ...     study = Study.load(path)
    ...     study.metric.name, study.widths, study.results["status"].to_list(), study.network(0)
    ('rmse', (6,), ['finished'], Network(5-6-1, tanh, biases in layers 1, float32))
    """

    path: Path
    spec: StudySpec
    data_hash: str
    split_hash: str
    versions: dict[str, str]
    rows: dict[str, int]
    widths: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()
    metric: Metric = field(default=Metric("rmse", None), compare=False)
    preprocessing: Preprocessing | None = None
    parameters: int = 0
    no_forecast: str | None = None
    definitions: dict[str, str] = field(default_factory=dict)
    _read: dict[str, tuple[Any, pl.DataFrame]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.layers:
            object.__setattr__(self, "layers", tuple(str(layer) for layer in range(1, len(self.widths) + 1)))

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """The study in a folder.

        Parameters
        ----------
        path : path

        Raises
        ------
        StudyError
            If the folder is missing, holds no study, or its spec is damaged.
        """
        path = Path(path)
        try:
            return cls.from_json(path, json.loads((path / SPEC).read_text("utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            raise StudyError(f"{path} holds no study (there is no {SPEC}); give the folder a sweep wrote.") from None
        except OSError as error:
            raise StudyError(f"{path / SPEC} cannot be read ({error.strerror}); check its rights.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError, ValidationError, DataError) as error:
            raise StudyError(
                f"{path / SPEC} is damaged ({type(error).__name__}); move the folder away and sweep again."
            ) from None

    @classmethod
    def from_json(cls, path: Path, saved: Mapping[str, Any]) -> "Study":
        """The study of what `to_json` gave, in a folder.

        Parameters
        ----------
        path : Path
        saved : mapping

        Raises
        ------
        StudyError
            If it has another format.
        """
        if saved["format"] == _FIRST_FORMAT:
            raise StudyError(f"{path} was written by nucleate 0.1, which this version does not read; sweep again.")
        if saved["format"] != FORMAT:
            raise StudyError(f"{path} was written in the format {saved['format']!r}; this version reads {FORMAT!r}.")
        return cls(
            path=path,
            spec=StudySpec.model_validate(saved["spec"], context=READING),
            data_hash=saved["data_hash"],
            split_hash=saved["split_hash"],
            versions=saved["versions"],
            rows=saved["rows"],
            widths=tuple(saved["layers"].values()),
            layers=tuple(saved["layers"]),
            metric=METRICS.get(saved["metric"]["name"]) or Metric(value=None, **saved["metric"]),
            preprocessing=Preprocessing.model_validate(saved["preprocessing"]),
            parameters=saved["parameters"],
            no_forecast=saved["no_forecast"],
            definitions=saved.get("definitions", {}),
        )

    def to_json(self) -> dict[str, Any]:
        """What is kept of the study in ``spec.json``."""
        preprocessing = self.preprocessing
        return {
            "format": FORMAT,
            "spec": self.spec.model_dump(mode="json", exclude_none=True),
            "data_hash": self.data_hash,
            "split_hash": self.split_hash,
            "rows": self.rows,
            "layers": dict(zip(self.layers, self.widths, strict=True)),
            "metric": {name: getattr(self.metric, name) for name in ("name", "larger_is_better", "is_share")},
            "preprocessing": None if preprocessing is None else preprocessing.model_dump(mode="json"),
            "parameters": self.parameters,
            "no_forecast": self.no_forecast,
            "definitions": self.definitions,
            "versions": self.versions,
        }

    @property
    def plan(self) -> Plan:
        """The runs the spec asks for, and their chunks."""
        return Plan(self.spec)

    @property
    def planned(self) -> int:
        """How many runs the spec asks for."""
        return len(self.plan.runs)

    @property
    def missing(self) -> int:
        """How many runs are still to do."""
        return self.planned - len(self.results)

    @property
    def results(self) -> pl.DataFrame:
        """One row a finished run, in the order of the plan; see `nucleate.studies.tables` for the columns."""
        measures = [one.name for one in self.spec.measures]
        schema = tables.results_schema(self.spec.convention, self.layers, self.metric.name, measures)
        return self._table("results", schema)

    @property
    def trajectories(self) -> pl.DataFrame:
        """One row an evaluation of a finished run.

        Raises
        ------
        StudyError
            If those of a chunk with results are missing.
        """
        for results in (self.path / "results").glob("chunk-*.parquet"):
            file = self.path / "trajectories" / results.name
            if not file.exists():
                raise StudyError(f"{file} is missing; sweep again into the folder, and it is made again.")
        schema = tables.trajectories_schema(self.layers, [one.name for one in self.plan.measures])
        return self._table("trajectories", schema)

    @property
    def forecasts(self) -> pl.DataFrame:
        """One row a run: what was forecast before it was trained; `no_forecast` says why it is empty."""
        return self._table("forecasts", tables.forecasts_schema(self.spec.convention))

    def network(self, run: int, at: At = "best", *, like: Any = None) -> Any:
        """A run's network, or other model.

        Parameters
        ----------
        run : int
            Its number.
        at : {"best", "initial", "final"}
            At the evaluation with the lowest validation loss, at the start, or at the last evaluation.
        like : model, optional
            One of the same architecture. It is needed for models that are no `nucleate.Network`, of a study that was
            loaded: files hold parameters and no code.

        Returns
        -------
        Network or other model

        Raises
        ------
        ArchitectureError
            If that run is not stored, or ``like`` has another architecture.
        StudyError
            For another moment, or without ``like`` where it is needed.
        """
        if at not in get_args(At):
            raise StudyError(f"There is no model at {at!r} of a run; choose one of {', '.join(get_args(At))}.")
        file, spec = self.path / model_file(run, at), self.spec
        if like is None and spec.model is None:
            return Network.load(file, spec.activation)
        if like is None and isinstance(spec.model, NameOnly):
            raise StudyError(
                f"The models of {self.path} are made by {spec.model.name!r}, of which only the name is kept; pass one "
                "of the same architecture: network(run, like=model)."
            )
        if like is None:
            inputs, outputs = self._shape
            like = self.plan.start(self.plan.runs[0], inputs, outputs)
        return load_model(file, like)

    def load_problem(self, loss: Loss | None = None) -> Problem:
        """The data that the study is about, split as it was.

        Parameters
        ----------
        loss : Loss, optional
            The study's, which is needed where it is one of your own and the study was loaded.

        Returns
        -------
        Problem
            From the folder, where it was made in Python and so is kept there, or else as the spec says.

        Raises
        ------
        StudyError
            If the problem that is kept is damaged or has another loss.
        SpecError, DataError
            As `StudySpec.load_problem`.
        """
        file = self.path / PROBLEM
        if not file.exists():
            return self.spec.load_problem(loss)
        problem = read_problem(file, self.spec.loss if loss is None else loss)
        if problem.loss.value is not None:
            return problem
        return replace(problem, loss=replace(problem.loss, metric=self.metric))

    def snapshots(self, run: int) -> list[Snapshot]:
        """A run over time, in the order of the steps; kept of the first seed of every scale and learning rate.

        Parameters
        ----------
        run : int
            Its number.

        Raises
        ------
        StudyError
            If the file is damaged.
        """
        file = self.path / snapshots_file(run)
        try:
            return snapshots_from(load_file(file)) if file.exists() else []
        except (SafetensorError, KeyError, OSError) as error:
            raise StudyError(f"{file} is damaged ({error}); delete it to do without it.") from None

    @property
    def _shape(self) -> tuple[int, int]:
        """Inputs and outputs of the models."""
        if self.preprocessing is None:
            raise StudyError(f"{self.path} does not say how many inputs its models have; sweep again.")
        return len(self.preprocessing.encoded_inputs), len(self.preprocessing.units)

    def _table(self, name: str, schema: pl.Schema) -> pl.DataFrame:
        """A table, read again only where its files have changed."""
        files = sorted((self.path / name).glob("chunk-*.parquet"))
        if not files:
            return pl.DataFrame(schema=schema)
        stamp = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        if name not in self._read or self._read[name][0] != stamp:
            self._read[name] = stamp, tables.read_tables(files)
        return self._read[name][1].clone()

    def _repr_html_(self) -> str:
        spec = self.spec
        rows = {
            "runs": f"{self.planned - self.missing} of {self.planned} finished",
            spec.convention: ", ".join(f"{scale:g}" for scale in spec.scales),
            "learning rates": ", ".join(f"{rate:g}" for rate in spec.lrs),
            "seeds": len(spec.seeds),
            "layers": " - ".join(map(str, self.widths)) or "none measured",
            "folder": self.path,
        }
        return card(f"Study of {spec.data}", rows)

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}, {self.planned - self.missing} of {self.planned} runs)"


def chunk_file(table: str, chunk: int) -> str:
    """Where in the folder a chunk's rows of a table are."""
    return f"{table}/chunk-{chunk:05d}.parquet"


def checkpoint_file(chunk: int) -> str:
    """Where in the folder the state of an unfinished chunk is."""
    return f"checkpoints/chunk-{chunk:05d}.safetensors"


def snapshots_file(run: int) -> str:
    """Where in the folder a run's snapshots are."""
    return f"snapshots/run-{run:05d}.safetensors"


def model_file(run: int, at: At) -> str:
    """Where in the folder a run's model is."""
    return f"weights/run-{run:05d}-{at}.safetensors"
