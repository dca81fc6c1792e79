"""The study folder as its readers see it: a spec, tables as Parquet, models as safetensors; readable without us.

Reading needs no lock and no runner, and what is read may be unfinished: a chunk's results file appears last of its
files, and whole.
"""

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from nucleate._arrays import is_whole
from nucleate._files import check_seal, parse_json, read_file, read_sealed, why_unreadable
from nucleate._wording import FROM_PYTHON, card
from nucleate.errors import ArchitectureError, StudyError
from nucleate.models import model_from_bytes
from nucleate.network import Network
from nucleate.observe import Snapshot
from nucleate.optimizers import Optimizer
from nucleate.problems import AT_RANDOM, METRICS, Division, Loss, Metric, Preprocessing, Problem
from nucleate.problems.division import PARTS
from nucleate.studies import tables
from nucleate.studies.fields import NameOnly
from nucleate.studies.formats import problem_from_bytes, snapshots_from_bytes, split_hash
from nucleate.studies.places import PROBLEM, SPEC, At, model_file, snapshots_file
from nucleate.studies.plan import Chunk, Plan
from nucleate.studies.spec import StudySpec
from nucleate.studies.stored import DamagedError, StoredTables, missing, unreadable
from nucleate.training.settings import READING

FORMAT = "nucleate study 2"
_FIRST_FORMAT = "nucleate study 1"


class _KeptMetric(BaseModel):
    name: str
    larger_is_better: bool
    is_share: bool


class _Kept(BaseModel):
    """What ``spec.json`` holds."""

    model_config = ConfigDict(extra="forbid")

    format: str
    spec: dict[str, Any]
    data_hash: str
    split_hash: str
    rows: dict[Literal["train", "validation", "test"], PositiveInt]
    layers: dict[str, PositiveInt]
    metric: _KeptMetric
    preprocessing: Preprocessing | None
    parameters: NonNegativeInt
    no_forecast: str | None
    definitions: dict[str, str]
    versions: dict[str, str]
    division: Division = AT_RANDOM
    weighted_by: str | None = None


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
    division : Division
        How the rows came into their parts.
    weighted_by : str or None
        The column that says what each row counts for; None where all count alike.

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
    division: Division = AT_RANDOM
    weighted_by: str | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            object.__setattr__(self, "layers", tuple(str(layer) for layer in range(1, len(self.widths) + 1)))

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """The study in a folder.

        Parameters
        ----------
        path : path

        Returns
        -------
        Study

        Raises
        ------
        StudyError
            If the folder is missing, holds no study, or its spec is damaged or of another format.
        """
        if not isinstance(path, str | os.PathLike):
            raise StudyError(f"{path!r:.60} is no study; give a nucleate.Study, or the folder a sweep wrote.")
        path = Path(path)
        try:
            content = read_file(path / SPEC)
            saved = parse_json(content)
            _refuse_other_format(path, saved.get("format"), content)
            check_seal(content, SPEC)
            return cls.from_json(path, saved)
        except (FileNotFoundError, NotADirectoryError):
            raise StudyError(f"{path} holds no study (there is no {SPEC}); give the folder a sweep wrote.") from None
        except OSError as error:
            raise StudyError(f"{path / SPEC} cannot be read ({why_unreadable(error)}); check its rights.") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            entry = ".".join(map(str, first["loc"])) or "spec"
            raise DamagedError(path / SPEC, f"its entry {entry} is {first['input']!r:.60}") from None
        except ValueError as error:
            raise DamagedError(path / SPEC, str(error)) from None

    @classmethod
    def from_json(cls, path: Path, saved: Mapping[str, Any]) -> "Study":
        """The study of what `to_json` gave, in a folder.

        Parameters
        ----------
        path : Path
        saved : mapping

        Returns
        -------
        Study

        Raises
        ------
        ValueError
            If it is not what `to_json` gives.
        """
        kept = _Kept.model_validate(saved)
        spec = StudySpec.model_validate(_own_by_name(kept.spec, kept.definitions), context=READING)
        widths = tuple(kept.layers.values())
        if spec.model is None and widths != spec.hidden:
            raise ValueError(f"its layers are {widths}, its hidden widths {spec.hidden}")
        if spec.model is None and kept.preprocessing is not None:
            inputs, outputs = _ends(kept.preprocessing)
            ends, plan = (inputs, *spec.hidden, outputs), Plan(spec)
            parameters = sum(m * (n + has) for n, m, has in zip(ends, ends[1:], plan.with_bias, strict=False))
            if kept.parameters != parameters:
                raise ValueError(f"its networks have {parameters} parameters, not {kept.parameters}")
        kinds = ("optimizer", "schedule", "loss", "activation", "model")
        named = {kind: getattr(spec, kind) for kind in kinds} | {"activation": spec.activation_in_use}
        possible = {f"{kind} {one.name!r}" for kind, one in named.items() if one is not None}
        if unknown := kept.definitions.keys() - possible - {f"measure {one.name!r}" for one in spec.measures}:
            raise ValueError(f"its definitions have a {min(unknown):.60}, which the spec has not")
        if len(kept.rows) < len(PARTS) or "python" not in kept.versions:
            raise ValueError("its rows or its versions are not all there")
        return cls(
            path=path,
            spec=spec,
            data_hash=kept.data_hash,
            split_hash=kept.split_hash,
            versions=kept.versions,
            rows=dict(kept.rows.items()),
            widths=widths,
            layers=tuple(kept.layers),
            metric=METRICS.get(kept.metric.name) or Metric(value=None, **kept.metric.model_dump()),
            preprocessing=kept.preprocessing,
            parameters=kept.parameters,
            no_forecast=kept.no_forecast,
            definitions=kept.definitions,
            division=kept.division,
            weighted_by=kept.weighted_by,
        )

    def to_json(self) -> dict[str, Any]:
        """What is kept of the study in ``spec.json``.

        Returns
        -------
        dict
        """
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
            **({} if self.division == AT_RANDOM else {"division": asdict(self.division)}),
            **({} if self.weighted_by is None else {"weighted_by": self.weighted_by}),
        }

    @cached_property
    def identity(self) -> str:
        """What tells this study's files from another's: of its spec, its data and the definitions of one's own."""
        told = "\n".join((self.spec.digest, self.split_hash, *sorted(map(str, self.definitions.items()))))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def place(self, file: str) -> str:
        """What a file in this folder is called in its checksum: its place and whose it is.

        Parameters
        ----------
        file : str
            Where in the folder it is.

        Returns
        -------
        str
        """
        return f"{file}@{self.identity}"

    @cached_property
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
        return self.stored.whole("results")

    @property
    def trajectories(self) -> pl.DataFrame:
        """One row an evaluation of a finished run.

        Raises
        ------
        StudyError
            If those of a chunk with results are missing, or some are damaged.
        """
        for chunk in sorted(self.stored.chunks("results") - self.stored.chunks("trajectories")):
            self.stored.require("trajectories", chunk)
        return self.stored.whole("trajectories")

    def trajectories_of(self, runs: Collection[int], columns: Collection[str] | None = None) -> pl.DataFrame:
        """The rows of `trajectories` of some runs; the files of others are not read.

        Parameters
        ----------
        runs : collection of int
            Their numbers.
        columns : collection of str, optional
            Which there shall be beside ``run`` and ``step``, the others being left unread; by default all.

        Returns
        -------
        polars DataFrame

        Raises
        ------
        StudyError
            As `trajectories`.
        """
        wanted = set(runs)
        chunks = [chunk for chunk in self.plan.chunks if any(run.number in wanted for run in chunk.runs)]
        for chunk in chunks:
            self.stored.require("trajectories", chunk.number)
        return self.stored.rows_of("trajectories", chunks, columns).filter(pl.col(tables.RUN).is_in(wanted))

    @property
    def forecasts(self) -> pl.DataFrame:
        """One row a run: what was forecast before it was trained; `no_forecast` says why it is empty.

        Raises
        ------
        StudyError
            If some of a finished study are missing, or some are damaged.
        """
        if self.no_forecast is None and not self.missing:
            for chunk in self.plan.chunks:
                self.stored.require("forecasts", chunk.number)
        return self.stored.whole("forecasts")

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
            For another moment, without ``like`` where it is needed, or if the file is damaged.
        """
        if at not in get_args(At):
            raise StudyError(f"There is no model at {at!r} of a run; choose one of {', '.join(get_args(At))}.")
        if not is_whole(run):
            raise ArchitectureError(f"The run is {run!r:.60}; give its number, 0 to {self.planned - 1}.")
        file, spec = model_file(run, at), self.spec
        if like is None and isinstance(spec.model, NameOnly):
            raise StudyError(
                f"The models of {self.path} are made by {spec.model.name!r}, of which only the name is kept; pass one "
                f"of the same architecture: network(run, like=model), {FROM_PYTHON}."
            )
        try:
            content = self.read(file)
        except FileNotFoundError:
            raise ArchitectureError(
                f"There is no network file {self.path / file}; the runs are 0 to {self.planned - 1}, and the same "
                "sweep makes what is missing of them."
            ) from None
        try:
            if spec.model is None:
                activation = like.activation if isinstance(like, Network) else spec.activation
                return self._fitting(Network.from_bytes(content, activation))
            return model_from_bytes(content, self._first if like is None else like)
        except ValueError as error:
            if like is not None:
                raise ArchitectureError(f"{self.path / file} is of no use ({error}); give a model like it.") from None
            raise DamagedError(self.path / file, str(error)) from None

    def _fitting(self, network: Network) -> Network:
        inputs, outputs = self._shape
        spec, expected = self.spec, (inputs, *self.spec.hidden, outputs)
        with_bias = [bias is not None for bias in network.biases]
        found = (network.widths, network.activation.name, with_bias, network.dtype)
        if found != (expected, spec.activation.name, self.plan.with_bias, spec.dtype):
            raise ValueError(f"it holds {network}, which is not of this study")
        return network

    @cached_property
    def _first(self) -> Any:
        """The model that the first run starts from."""
        return self.plan.start(self.plan.runs[0], *self._shape)

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
            If the problem that is kept is damaged, has another loss, or is missing where there is no other.
        SpecError, DataError
            As `StudySpec.load_problem`.
        """
        file = self.path / PROBLEM
        if not file.exists():
            return self.spec.load_problem(loss)
        try:
            content = self.read(PROBLEM, "pass the problem again, as at first")
            problem = problem_from_bytes(content, self.spec.loss if loss is None else loss)
            if split_hash(problem) != self.split_hash:
                raise ValueError("it is not the problem of this study")
        except ValueError as error:
            raise DamagedError(file, str(error), "pass the problem again, as at first") from None
        if problem.loss.value is not None:
            return problem
        return replace(problem, loss=replace(problem.loss, metric=self.metric))

    def snapshots(self, run: int) -> list[Snapshot]:
        """A run over time, in the order of the steps; kept of the first seed of every scale and learning rate.

        Parameters
        ----------
        run : int
            Its number.

        Returns
        -------
        list of Snapshot

        Raises
        ------
        StudyError
            If the file is damaged, or that of a finished run is missing.
        """
        try:
            return self._snapshots(run)
        except FileNotFoundError:
            if run in self.results[tables.RUN]:
                raise missing(self.path / snapshots_file(run)) from None
            return []

    def _snapshots(self, run: int) -> list[Snapshot]:
        if run not in self.plan.watched or not self.layers:
            return []
        file = snapshots_file(run)
        try:
            return snapshots_from_bytes(self.read(file), self.widths)
        except ValueError as error:
            raise DamagedError(self.path / file, str(error)) from None

    def check(self, chunk: Chunk) -> None:
        """Read everything that is kept of a finished chunk but its forecasts.

        Parameters
        ----------
        chunk : Chunk

        Raises
        ------
        DamagedError
            At the first file that is not what was written there.
        StudyError
            If there is something that cannot be read.
        FileNotFoundError, ArchitectureError
            If a file is missing.
        """
        for table in ("results", "trajectories"):
            self.stored.rows_of(table, [chunk])
        for run in chunk.runs:
            for at in get_args(At):
                self.network(run.number, at)
            self._snapshots(run.number)

    @property
    def layer_widths(self) -> dict[str, int]:
        """The width of every measured layer, by its name."""
        return dict(zip(self.layers, self.widths, strict=True))

    @cached_property
    def stored(self) -> StoredTables:
        """The tables as they lie in the folder, chunk by chunk."""
        axes, measures = self.spec.axis_types, [one.name for one in self.spec.measures]
        schemas = {
            "results": tables.results_schema(axes, self.layers, self.metric.name, measures),
            "trajectories": tables.trajectories_schema(self.layers, [one.name for one in self.plan.measures]),
            "forecasts": tables.forecasts_schema(axes),
        }
        return StoredTables(self.path, self.plan, schemas, self.layer_widths, self.read)

    @property
    def _shape(self) -> tuple[int, int]:
        """Inputs and outputs of the models."""
        if self.preprocessing is None:
            raise StudyError(f"{self.path} does not say how many inputs its models have; sweep again.")
        return _ends(self.preprocessing)

    def read(self, file: str, remedy: str | None = None) -> bytes:
        """A file of this study, checked.

        Parameters
        ----------
        file : str
            Where in the folder it is.
        remedy : str, optional
            What helps where it is damaged.

        Returns
        -------
        bytes

        Raises
        ------
        DamagedError
            If it is not what was written there.
        StudyError
            If it cannot be read.
        FileNotFoundError
            If there is none.
        """
        try:
            return read_sealed(self.path / file, self.place(file))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(self.path / file, error) from None
        except ValueError as error:
            raise DamagedError(self.path / file, str(error), *([remedy] if remedy else [])) from None

    def _repr_html_(self) -> str:
        spec = self.spec
        rows = {
            "runs": f"{self.planned - self.missing} of {self.planned} finished",
            spec.convention: ", ".join(f"{scale:g}" for scale in spec.scales),
            "learning rates": ", ".join(f"{rate:g}" for rate in spec.lrs),
            **({"weight decays": ", ".join(f"{one:g}" for one in spec.weight_decays)} if spec.decays else {}),
            "seeds": len(spec.seeds),
            "layers": " - ".join(map(str, self.widths)) or "none measured",
            "folder": self.path,
        }
        return card(f"Study of {spec.data}", rows)

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}, {self.planned - self.missing} of {self.planned} runs)"


def _ends(preprocessing: Preprocessing) -> tuple[int, int]:
    return len(preprocessing.encoded_inputs), len(preprocessing.units)


def _refuse_other_format(path: Path, written: Any, content: bytes) -> None:
    if not isinstance(written, str) or written == FORMAT:
        return
    if b"sha256:" in content:
        check_seal(content)
    if written == _FIRST_FORMAT:
        raise StudyError(f"{path} was written by nucleate 0.1, which this version does not read; sweep again.")
    raise StudyError(f"{path} was written in the format {written!r:.60}; this version reads {FORMAT!r}.")


def _own_by_name(fields: Mapping[str, Any], definitions: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a spec, with the loss and the optimizer that are one's own by name, whatever else has it."""
    loss, optimizer = fields.get("loss"), fields.get("optimizer")
    own: dict[str, Any] = {}
    if f"loss {loss!r}" in definitions:
        own["loss"] = Loss(str(loss), None)
    parameters: dict[str, Any] = dict(optimizer) if isinstance(optimizer, Mapping) else {"name": optimizer}
    name = parameters.pop("name", None)
    if f"optimizer {name!r}" in definitions:
        own["optimizer"] = Optimizer(str(name), None, **parameters)
    return {**fields, **own}
