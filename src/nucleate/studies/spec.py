"""What a study is: everything that decides its numbers, checked at the door."""

import hashlib
import json
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import polars as pl
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from nucleate._arrays import is_whole
from nucleate._fingerprints import fingerprint
from nucleate._wording import FROM_PYTHON, name_parameter, say_error
from nucleate.activations import Activation, get_activation
from nucleate.architectures import Architecture
from nucleate.errors import NucleateError, SpecError
from nucleate.init_scale import CONVENTIONS, Convention, InitScale, PerLayer, read_value
from nucleate.observe import MEASURES, Measure
from nucleate.optimizers import OPTIMIZERS
from nucleate.problems import Loss, Problem, load_problem
from nucleate.problems.options import DATA_FIELDS
from nucleate.schedules import SCHEDULES
from nucleate.studies import tables
from nucleate.studies.fields import (
    AnyActivation,
    AnyLoss,
    AnyMeasure,
    AnyModel,
    AnyScale,
    NameOnly,
    NameOrFile,
    ShareOrFile,
    name_of,
)
from nucleate.studies.places import SPEC
from nucleate.training import Settings
from nucleate.training.checks import undecided_decay
from nucleate.training.settings import Number, Whole, as_pydantic_says, spec_error

_SCALES: dict[Convention, str] = {convention: f"{convention}s" for convention in CONVENTIONS}
_OF_NETWORKS = ("hidden", "activation", "bias", "dtype")
"""The fields that make networks, and that another model does without."""

_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "hidden": (lambda width: 1 <= width < 2**31, "every width must be from 1 to 2147483647"),
    "seeds": (lambda seed: 0 <= seed < 2**31, "seeds must be from 0 to 2147483647"),
    "lrs": (lambda rate: 0 < rate < 1e6, "learning rates must be positive and below 1e6"),
    "weight_decays": (lambda decay: 0 <= decay < 1e6, "a weight decay must be 0 or more, and below 1e6"),
}


class StudySpec(Settings):
    """A grid of init scales, learning rates, weight decays and seeds for one architecture on one data set.

    The names are those of the command line's flags and of a TOML spec; exactly one of ``gains``, ``epsilons``,
    ``gammas`` and ``fan_in_gammas`` is given. The fields of `nucleate.training.Settings` belong to it too. A single
    value may stand for a tuple of one, and for the target a text with commas.

    Parameters
    ----------
    data : str
        The name of a bundled set, or a path.
    target : tuple of str
        Target columns of one's own file; empty takes the column named ``target`` or ``y``, else the last.
    task : {"regression", "classification"} or None
        None infers it from the target.
    loss : Loss, its name, or None
        None takes the task's own. A parameter stands behind a colon of the name, as in ``quantile:0.9``.
    without : tuple of str
        Columns that are left out.
    drop_missing : bool
        Whether rows with missing values are left out.
    impute : {"median", "mean", "most_frequent"} or None
        What missing inputs count as; None refuses them.
    decimal, thousands, missing, dates, encoding, sheet
        How the file is read, where that is not told from it: `nucleate.tables.Form`.
    hidden : tuple of int
    activation : Activation, or its name
        One of one's own need not be registered.
    bias : {"none", "first", "all"}
        Which layers have biases.
    model : Architecture, its name, callable or None
        None trains networks made of ``hidden``, ``activation``, ``bias`` and ``dtype``. A `nucleate.Architecture`, its
        name, or a mapping of that and its options makes convolutional networks or transformers. Otherwise
        ``model(inputs, outputs, scale, seed)``, with ``scale`` a `nucleate.InitScale`, makes the model that a run
        starts from: any JAX pytree, see `nucleate.models`. Files keep its ``__name__``.
    gains, epsilons, gammas, fan_in_gammas : tuple of float or PerLayer, or None
        The init scales, in one of the conventions of `nucleate.InitScale`. In the place of a number may stand one for
        each layer, ``"1x0.1x1"`` or ``(1, 0.1, 1)``.
    lrs : tuple of float
        The peaks, where there is a schedule.
    weight_decays : tuple of float
        Coupled (added to the gradient, as an L2 penalty is) or, as with ``adamw``, decoupled; see
        `nucleate.training.Rule`.
    seeds : tuple of int
        A single number N stands for seeds 0 to N-1. A seed draws the initial parameters and orders mini-batches.
    split_seed : int
        Draws the train / validation / test split, the same for all runs.
    validation, test : float or str
        The shares of the rows for these parts, or the paths of files that have rows of one's own for them.
    split, split_by, split_by_time : str or None
        Columns of one's own file that decide the parts: of each row's part, of its group, of its time, as in
        `nucleate.problems.Problem.from_table`.
    weights : str or None
        A column of one's own file that says what each row counts for, likewise.
    dtype : {"float32", "float64"}
    measures : tuple of Measure
        What is measured of every layer beside `nucleate.observe.MEASURES`.

    Examples
    --------
    >>> spec = StudySpec(data="diabetes", gains=[1.0, 0.1], lrs=[0.05], seeds=3)
    >>> spec.convention, spec.scales, spec.seeds
    ('gain', (1.0, 0.1), (0, 1, 2))
    """

    data: NameOrFile
    target: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    task: Literal["regression", "classification"] | None = None
    loss: AnyLoss | None = None
    drop_missing: bool = False
    impute: Literal["median", "mean", "most_frequent"] | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    missing: tuple[str, ...] = ()
    dates: Literal["day-first", "month-first"] | None = None
    encoding: str | None = None
    sheet: str | None = None
    hidden: tuple[Whole, ...] = (128, 128)
    activation: AnyActivation = get_activation("tanh")
    bias: Literal["none", "first", "all"] = "first"
    model: AnyModel = None
    gains: tuple[AnyScale, ...] | None = None
    epsilons: tuple[AnyScale, ...] | None = None
    gammas: tuple[AnyScale, ...] | None = None
    fan_in_gammas: tuple[AnyScale, ...] | None = None
    lrs: tuple[Number, ...] = (0.05,)
    weight_decays: tuple[Number, ...] = (0.0,)
    seeds: tuple[Whole, ...] = (0,)
    split_seed: Whole = Field(default=0, ge=0, lt=2**63)
    validation: ShareOrFile = 0.2
    test: ShareOrFile = 0.2
    split: str | None = None
    split_by: str | None = None
    split_by_time: str | None = None
    weights: str | None = None
    dtype: Literal["float32", "float64"] = "float32"
    measures: tuple[AnyMeasure, ...] = ()

    @field_validator("hidden", *_SCALES.values(), "lrs", "weight_decays", mode="before")
    @classmethod
    def _one_number(cls, given: Any) -> Any:
        return (given,) if isinstance(given, (int, float, PerLayer)) else given

    @field_validator(*_SCALES.values(), mode="before")
    @classmethod
    def _one_of_layers(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) and re.search(r"\dx", given) else given

    @field_validator("target", "without", mode="before")
    @classmethod
    def _names_with_commas(cls, given: Any) -> Any:
        return tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else given

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, given: Any) -> Any:
        if is_whole(given):
            if not 1 <= given <= 100_000:
                raise ValueError("the number of seeds must be from 1 to 100000")
            return tuple(range(given))
        return given

    @field_validator("hidden", *_SCALES.values(), "lrs", "weight_decays", "seeds")
    @classmethod
    def _some(cls, given: Any) -> Any:
        if given is not None and not given:
            raise ValueError("it needs at least one value")
        return given

    @field_validator(*_SCALES.values(), "lrs", "weight_decays", "seeds")
    @classmethod
    def _distinct(cls, given: Any) -> Any:
        # The same number for each layer is that number.
        plain = [one[0] if isinstance(one, PerLayer) and len(set(one)) == 1 else one for one in given or ()]
        if len(set(plain)) < len(plain):
            raise ValueError("no value may stand there twice; leave the second one out")
        return given

    @field_validator(*_RANGES)
    @classmethod
    def _in_range(cls, given: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        allowed, must = _RANGES[str(info.field_name)]
        if not all(map(allowed, given)):
            raise ValueError(must)
        return given

    @field_validator("measures")
    @classmethod
    def _more_measures(cls, given: tuple[Measure, ...]) -> tuple[Measure, ...]:
        more = tuple(one for one in given if one not in MEASURES)
        names = [one.name for one in (*MEASURES, *more)]
        if len(set(names)) < len(names):
            raise ValueError("no name may stand there twice, nor be that of one of nucleate.observe.MEASURES")
        return more

    @model_validator(mode="after")
    def _one_architecture(self) -> Self:
        given = [name for name in _OF_NETWORKS if name in self.model_fields_set]
        if self.model is not None and self.dropout:
            raise ValueError(
                f"{name_parameter('dropout')} is {self.dropout:g}, but it drops hidden neurons of fully connected "
                f"networks, and the model {name_of(self.model)!r} has to drop by itself; leave it out"
            )
        if self.model is not None and given:
            raise ValueError(
                f"the model {name_of(self.model)!r} makes its own architecture; leave out {name_parameter(given[0])}"
            )
        return self

    @model_validator(mode="after")
    def _decay_of_known_size(self) -> Self:
        if self.optimizer.decoupled and "weight_decays" not in self.model_fields_set:
            raise ValueError(undecided_decay(self.optimizer))
        return self

    @model_validator(mode="after")
    def _one_convention(self) -> Self:
        given = [name for name in _SCALES.values() if getattr(self, name) is not None]
        if len(given) != 1:
            *others, last = map(name_parameter, _SCALES.values())
            said = " and ".join(map(name_parameter, given)) if given else "none of them"
            raise ValueError(f"give exactly one of {', '.join(others)} and {last}; there is {said}")
        for value in self.scales:
            scale = as_pydantic_says(InitScale, self.convention, value)
            if self.model is None:
                as_pydantic_says(scale.layers, len(self.hidden) + 1)
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = () if self.model is None else _OF_NETWORKS
        return {name: value for name, value in dump(self).items() if name not in unused}

    @property
    def convention(self) -> Convention:
        """Which of the init scale conventions the study sweeps."""
        return next(convention for convention, name in _SCALES.items() if getattr(self, name) is not None)

    @property
    def scales(self) -> tuple[float | PerLayer, ...]:
        """The init scales, in that convention."""
        return getattr(self, _SCALES[self.convention])

    @property
    def ordered_scales(self) -> tuple[float | PerLayer, ...]:
        """The init scales by their number, or where there is one for each layer, by what that counts as."""
        return tuple(sorted(self.scales, key=lambda scale: (InitScale(self.convention, scale).overall, str(scale))))

    @property
    def has_scales_by_layer(self) -> bool:
        """Whether some init scale has a number for each layer; then the tables name all scales by text."""
        return any(isinstance(scale, PerLayer) for scale in self.scales)

    def in_tables(self, scale: float | PerLayer) -> float | str:
        """What the tables hold for an init scale of the study.

        Parameters
        ----------
        scale : float or PerLayer

        Returns
        -------
        float or str
        """
        if isinstance(scale, PerLayer) or self.has_scales_by_layer:
            return InitScale(self.convention, scale).name
        return scale

    def from_tables(self, held: float | str) -> float | PerLayer:
        """The init scale for which the tables hold this.

        Parameters
        ----------
        held : float or str

        Returns
        -------
        float or PerLayer
        """
        return read_value(held) if isinstance(held, str) else held

    @property
    def axes(self) -> dict[str, tuple[float | str, ...]]:
        """What a cell of the grid is told by, seeds apart: the tables' columns, and their values there."""
        several = {tables.WEIGHT_DECAY: self.weight_decays} if len(self.weight_decays) > 1 else {}
        return {self.convention: tuple(map(self.in_tables, self.scales)), tables.LR: self.lrs, **several}

    @property
    def axis_types(self) -> dict[str, pl.DataType]:
        """The types of those columns: an init scale with a number for each layer is a text."""
        by_number = dict.fromkeys(self.axes, pl.Float64())
        return by_number | {self.convention: pl.String() if self.has_scales_by_layer else pl.Float64()}

    @property
    def decays(self) -> bool:
        """Whether weight decay is a part of how the study's runs step."""
        return self.weight_decays != (0.0,)

    @property
    def activation_in_use(self) -> Activation:
        """That of the study's networks; of an architecture its own."""
        return self.model.activation if isinstance(self.model, Architecture) else self.activation

    @property
    def settings(self) -> Settings:
        """The part that training reads."""
        return Settings(**{name: getattr(self, name) for name in Settings.model_fields})

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that tell this spec from others; a field that has its default does not count."""
        told = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:8]

    @property
    def definitions(self) -> dict[str, str]:
        """A fingerprint of every definition of one's own, by what it is and its name: ``{"loss 'huber'": ...}``.

        Files keep these definitions by name, and the fingerprint tells whether a name still means the same. What is
        known by its name alone has none.
        """
        loss, optimizer, activation = self.loss, self.optimizer, self.activation_in_use
        own: dict[str, tuple[Any, ...]] = {}
        if loss is not None and loss.value is not None and not loss.is_built_in:
            link, metric = loss.link, loss.metric
            of_link = (link.function, link.target_kind, link.standardized, *([True] if link.relative else []))
            of_metric = (metric.value, metric.larger_is_better)
            own[f"loss {loss.name!r}"] = (loss.value, loss.is_quadratic, loss.best_constant, of_link, of_metric)
        known = OPTIMIZERS.get(optimizer.name)
        if optimizer.make is not None and (known is None or known.make is not optimizer.make):
            own[f"optimizer {optimizer.name!r}"] = (optimizer.make, *(["decoupled"] if optimizer.decoupled else []))
        if self.schedule.make is not None and SCHEDULES.get(self.schedule.name) != self.schedule:
            own[f"schedule {self.schedule.name!r}"] = (self.schedule.make,)
        of_package = self.model is None or isinstance(self.model, Architecture)
        if of_package and not activation.is_built_in and not isinstance(activation.function, NameOnly):
            leading = (activation.multiplicity, activation.right, activation.left, activation.value, activation.parity)
            own[f"activation {activation.name!r}"] = (activation.function, leading)
        if self.model is not None and not isinstance(self.model, NameOnly | Architecture):
            own[f"model {name_of(self.model)!r}"] = (self.model,)
        for measure in self.measures:
            if not isinstance(measure.value, NameOnly):
                own[f"measure {measure.name!r}"] = (measure.value,)
        return {name: fingerprint(*parts) for name, parts in own.items()}

    def make_model(self, inputs: int, outputs: int, scale: InitScale, seed: int) -> Any:
        """What the spec's own function ``model`` makes.

        Parameters
        ----------
        inputs, outputs : int
        scale : InitScale
        seed : int

        Returns
        -------
        model

        Raises
        ------
        SpecError
            If that function raises, or makes what cannot be called with inputs, or is known by its name alone.
        """
        called = f"The model {name_of(self.model)!r}"
        try:
            model = self.model(inputs, outputs, scale, seed)
        except NucleateError:
            raise
        except Exception as error:
            raise SpecError(
                f"{called} could not be made of {inputs} inputs, {outputs} outputs, {scale} and the seed {seed} "
                f"({say_error(error)}); correct the function make(inputs, outputs, scale, seed)."
            ) from error
        if not callable(model):
            raise SpecError(
                f"{called} makes {type(model).__name__}, which cannot be called; return a JAX pytree that gives "
                "outputs for inputs, model(x)."
            )
        return model

    def changed(self, **changes: Any) -> "StudySpec":
        """This spec with some fields changed, checked again; new init scales replace those there were.

        Parameters
        ----------
        **changes
            Fields by name.

        Returns
        -------
        StudySpec

        Raises
        ------
        SpecError
            One sentence on the first field that is wrong.

        Examples
        --------
        >>> StudySpec(data="diabetes", gains=[1.0]).changed(epsilons=[0.1]).scales
        (0.1,)
        """
        return make_spec(**_replaced({name: getattr(self, name) for name in self.model_fields_set}, changes))

    def load_problem(self, loss: Loss | None = None) -> Problem:
        """The data as the spec asks for them.

        Parameters
        ----------
        loss : Loss, optional
            In the place of the spec's.

        Returns
        -------
        Problem

        Raises
        ------
        SpecError
            If the spec's loss is known by its name alone: what a loss needs of the data is not known then.
        DataError
            As `nucleate.problems.load_problem`.
        """
        if (Path(self.data) / SPEC).is_file():
            raise SpecError(
                f"{self.data} is the folder of a study, not data; the command that made it goes on with it, in Python "
                f"sweep(Study.load({self.data!r})), and there Study.load({self.data!r}).load_problem() gives its data."
            )
        loss = self.loss if loss is None else loss
        if loss is not None and loss.value is None:
            raise SpecError(
                f"The loss {loss.name!r} is known by its name alone; pass it: load_problem(loss=...), {FROM_PYTHON}."
            )
        given = {name: getattr(self, name) for name in DATA_FIELDS}
        return load_problem(self.data, **given | {"loss": loss, "target": self.target or None})


def make_spec(**fields: Any) -> StudySpec:
    """A checked `StudySpec`.

    Parameters
    ----------
    **fields
        Those of `StudySpec`.

    Returns
    -------
    StudySpec

    Raises
    ------
    SpecError
        One sentence on the first field that is wrong.
    """
    try:
        return StudySpec(**fields)
    except ValidationError as error:
        raise spec_error(error, StudySpec) from None


def read_spec(path: str | Path, **changes: Any) -> StudySpec:
    """The spec in a TOML file whose keys are the names of `StudySpec`, with some fields changed.

    Parameters
    ----------
    path : path
    **changes
        Fields by name; new init scales replace those of the file.

    Returns
    -------
    StudySpec

    Raises
    ------
    SpecError
        If the file is missing, is not valid TOML, or holds a wrong field.
    """
    try:
        text = _read_text(Path(path))
    except OSError as error:
        raise SpecError(f"The spec {path} cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"The spec {path} is not UTF-8 text (at byte {error.start + 1}); save it as UTF-8.") from None
    try:
        fields = tomllib.loads(text)
    except RecursionError:
        raise SpecError(f"The spec {path} nests brackets too deep; write its values as plain lists.") from None
    except ValueError as error:
        raise SpecError(f"The spec {path} is not valid TOML ({str(error).split(';')[0]}); correct it there.") from None

    def name(setting: str) -> str:
        return name_parameter(setting) if setting in changes else f"The key {setting!r} of {path}"

    try:
        return StudySpec(**_replaced(fields, changes))
    except ValidationError as error:
        raise spec_error(error, StudySpec, name) from None


def _read_text(path: Path) -> str:
    """A whole UTF-8 file; a device, which need not have an end, is an OSError."""
    if "\0" in str(path):
        raise OSError(0, "a path holds no NUL character")
    kind = path.stat().st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        raise OSError(0, "it is a device")
    return path.read_text("utf-8")


def _replaced(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    scales = _SCALES.values() if any(name in changes for name in _SCALES.values()) else ()
    return {name: value for name, value in fields.items() if name not in scales} | dict(changes)
