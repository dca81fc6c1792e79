"""How runs are trained, checked at the door."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numpy as np
from jaxtyping import Int
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nucleate._arrays import is_truth
from nucleate._wording import did_you_mean, name_parameter, say_error, say_invalid
from nucleate.errors import NucleateError, SpecError
from nucleate.optimizers import GD, Optimizer, get_optimizer
from nucleate.schedules import CONSTANT, Schedule, get_schedule
from nucleate.training.rule import Rule


def as_pydantic_says(check: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """What a check returns; what it refuses is said as pydantic wants to hear it."""
    try:
        return check(*given, **options)
    except NucleateError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _optimizer(given: Any, info: ValidationInfo) -> Optimizer:
    """Reading what was kept, an optimizer of one's own is known by its name."""
    try:
        optimizer: Optimizer = as_pydantic_says(get_optimizer, given, known=info.context != READING)
        if optimizer.make is not None:
            as_pydantic_says(optimizer.transformation, 0.1)
    except TypeError as error:
        raise ValueError(f"it cannot be made ({say_error(error)}); correct its parameters") from None
    return optimizer


def _schedule(given: Any, info: ValidationInfo) -> Schedule:
    return as_pydantic_says(get_schedule, given, known=info.context != READING)


READING = "reading"
"""The context in which settings are validated that were kept, not given."""


def _no_text(kind: Literal["float", "int"]) -> BeforeValidator:
    """Refuse a text that holds a number as one that holds none."""

    def check(given: Any) -> Any:
        if isinstance(given, str):
            raise PydanticCustomError(f"{kind}_type", "a text")
        return given

    return BeforeValidator(check)


Number = Annotated[float, _no_text("float")]
Whole = Annotated[int, _no_text("int")]

AnySchedule = Annotated[
    InstanceOf[Schedule], BeforeValidator(_schedule), PlainSerializer(lambda schedule: schedule.name, return_type=str)
]
AnyOptimizer = Annotated[Optimizer, BeforeValidator(_optimizer), PlainSerializer(Optimizer.to_json)]


class Settings(BaseModel):
    """What all runs of a batch have in common.

    Parameters
    ----------
    optimizer : Optimizer, or its name
        One of `nucleate.optimizers.OPTIMIZERS` by name, a mapping of a name and parameters, or an `Optimizer`.
    steps : int
        The most steps a run may take, for which schedules are made.
    schedule : Schedule, its name, or a function
        How the learning rate goes on from its peak: one of `nucleate.schedules.SCHEDULES` by name, or any optax
        schedule whose largest value is 1, of which files keep the ``__name__``.
    warmup : int
        The steps in which the learning rate rises evenly to its peak, before the schedule.
    clip : float or None
        The largest norm of the gradient, over all parameters; None clips nothing.
    batch_size : int or None
        Rows a step; None takes all of them.
    dropout : float
        The chance at which a hidden neuron is left out of a step, for each row anew; what is kept is made larger by as
        much (inverted dropout). Losses, measures and results are of the network without it.
    evaluations : int
        About how many times a run is evaluated.
    early_stopping : bool
        Whether a run ends once validation has got no better for as long as the stage of its loss curve asks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    optimizer: AnyOptimizer = GD
    steps: Whole = Field(default=5000, ge=1, le=2**31 - 2)
    schedule: AnySchedule = CONSTANT
    warmup: Whole = Field(default=0, ge=0)
    clip: Number | None = Field(default=None, gt=0, allow_inf_nan=False)
    batch_size: Whole | None = Field(default=None, ge=1, lt=2**31)
    dropout: Number = Field(default=0.0, ge=0, lt=1)
    evaluations: Whole = Field(default=80, ge=4, le=100_000)
    early_stopping: bool = False

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        """Python counts True as 1, but nobody who writes it means so."""
        one_of = given if isinstance(given, (list, tuple)) else (given,)
        if any(map(is_truth, one_of)) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are no values of it; give another")
        return given

    @model_validator(mode="after")
    def _schedule_that_fits(self) -> Self:
        if self.warmup >= self.steps:
            raise ValueError(
                f"{name_parameter('warmup')} is {self.warmup} steps, and the run has {self.steps}; make it shorter, or "
                "the run longer"
            )
        if self.schedule.make is not None:
            as_pydantic_says(self.schedule.check, self.steps, self.warmup)
        return self

    def rule(self, *, decays: bool = False) -> Rule:
        """How runs step.

        Parameters
        ----------
        decays : bool
            Whether they have a weight decay.

        Returns
        -------
        Rule
        """
        return Rule(self.optimizer, self.schedule, self.warmup, self.clip, self.steps, decays)


def make_settings(**fields: Any) -> Settings:
    """Checked `Settings`.

    Parameters
    ----------
    **fields
        Those of `Settings`.

    Returns
    -------
    Settings

    Raises
    ------
    SpecError
        One sentence on the first field that is wrong.
    """
    try:
        return Settings(**fields)
    except ValidationError as error:
        raise spec_error(error) from None


class Sentence(ValueError):
    """What is wrong with a setting, in a sentence that needs no name of the setting before it."""


def spec_error(
    error: ValidationError, settings: type[Settings] = Settings, name: Callable[[str], str] = name_parameter
) -> SpecError:
    """The first thing wrong with a setting, as one sentence in which it has the name that a function gives it.

    ``settings`` is what was to be made, and ``name`` goes from a field to what the person calls it.
    """
    # A misspelt name is the cause where another is missing.
    errors = error.errors(include_url=False)
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    if not first["loc"]:
        what = str(first["ctx"]["error"]).rstrip(".")
        return SpecError(f"{what[:1].upper()}{what[1:]}.")
    setting = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        fields = ", ".join(settings.model_fields)
        close = did_you_mean(setting, settings.model_fields) or f"; there are {fields}."
        return SpecError(f"{name(setting)} is not a setting{close}")
    if first["type"] == "missing":
        return SpecError(f"{name(setting)} is missing; give it a value.")
    cause = first.get("ctx", {}).get("error")
    return SpecError(str(cause) if isinstance(cause, Sentence) else say_invalid(first, name(setting)))


SNAPSHOTS = 22
"""Of how many evaluated steps a watched run keeps a snapshot."""


def snapshot_evaluations(evaluations: int) -> frozenset[int]:
    """Which of the evaluations of a run are kept as snapshots: evenly spaced ones, the first and the last among them.

    >>> sorted(snapshot_evaluations(5)), len(snapshot_evaluations(80))
    ([0, 1, 2, 3, 4], 22)
    """
    return frozenset(np.linspace(0, evaluations - 1, min(evaluations, SNAPSHOTS)).round().astype(int).tolist())


def evaluation_steps(steps: int, evaluations: int) -> Int[np.ndarray, " evaluations"]:
    """About ``evaluations`` steps from 0 to ``steps``, half of them evenly spaced and half evenly in the logarithm.

    Plateaus last from a few steps to nearly all of them, so neither spacing alone would show every run.

    Parameters
    ----------
    steps, evaluations : int

    Returns
    -------
    array of int

    Examples
    --------
    >>> evaluation_steps(100, 10)
    array([  0,   1,   3,  10,  25,  32,  50,  75, 100])
    """
    even = np.linspace(0, steps, max(evaluations // 2, 2))
    logarithmic = np.geomspace(1, max(steps, 1), max(evaluations - even.size, 2))
    return np.unique(np.concatenate([even, logarithmic]).round().astype(np.int64))
