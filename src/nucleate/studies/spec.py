"""What a study is: everything that decides its numbers, checked at the door."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from nucleate.activations import get_activation
from nucleate.errors import ArchitectureError, SpecError
from nucleate.init_scale import Convention, InitScale
from nucleate.problems import Problem, Task, load_problem
from nucleate.training import Settings, spec_error

_SCALES: dict[Convention, str] = {"gain": "gains", "epsilon": "epsilons", "gamma": "gammas"}


class StudySpec(Settings):
    """A grid of init scales, learning rates and seeds for one architecture on one data set.

    The names are those of the command line's flags and of a TOML spec; exactly one of ``gains``, ``epsilons`` and
    ``gammas`` is given. The fields of `Settings` belong to it too. A single value may stand for a tuple of one, and for
    the target a text with commas.

    Parameters
    ----------
    data : str
        The name of a bundled set, or a path.
    target : tuple of str
        Target columns of one's own file; empty takes the column named ``target`` or ``y``, else the last.
    task : {"regression", "classification"} or None
        None infers it from the target.
    hidden : tuple of int
    activation : str
    bias : {"none", "first", "all"}
        Which layers have biases.
    lrs : tuple of float
    seeds : tuple of int
        A single number N stands for seeds 0 to N-1. A seed draws the initial parameters and orders mini-batches.
    split_seed : int
        Draws the train / validation / test split, the same for all runs.

    Examples
    --------
    >>> spec = StudySpec(data="diabetes", gains=[1.0, 0.1], lrs=[0.05], seeds=3)
    >>> spec.convention, spec.scales, spec.seeds
    ('gain', (1.0, 0.1), (0, 1, 2))
    """

    data: str
    target: tuple[str, ...] = ()
    task: Task | None = None
    drop_missing: bool = False
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "tanh"
    bias: Literal["none", "first", "all"] = "first"
    gains: tuple[float, ...] | None = None
    epsilons: tuple[float, ...] | None = None
    gammas: tuple[float, ...] | None = None
    lrs: tuple[float, ...] = (0.05,)
    seeds: tuple[int, ...] = (0,)
    split_seed: int = Field(default=0, ge=0)
    dtype: Literal["float32", "float64"] = "float32"

    @field_validator("hidden", "gains", "epsilons", "gammas", "lrs", mode="before")
    @classmethod
    def _one_number(cls, given: Any) -> Any:
        return (given,) if isinstance(given, (int, float)) else given

    @field_validator("target", mode="before")
    @classmethod
    def _names_with_commas(cls, given: Any) -> Any:
        return tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else given

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, given: Any) -> Any:
        if isinstance(given, int):
            if not 1 <= given <= 100_000:
                raise ValueError("the number of seeds must be from 1 to 100000")
            return tuple(range(given))
        return given

    @field_validator("hidden", "gains", "epsilons", "gammas", "lrs", "seeds")
    @classmethod
    def _some_and_no_doubles(cls, given: Any) -> Any:
        if given is not None and not given:
            raise ValueError("at least one value is needed")
        return given

    @field_validator("hidden")
    @classmethod
    def _positive_widths(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if min(given) < 1:
            raise ValueError("every width must be 1 or more")
        return given

    @field_validator("gains", "epsilons", "gammas", "lrs", "seeds")
    @classmethod
    def _distinct(cls, given: Any) -> Any:
        if given is not None and len(set(given)) < len(given):
            raise ValueError("no value may stand there twice")
        return given

    @field_validator("seeds")
    @classmethod
    def _natural_seeds(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if not all(0 <= seed < 2**31 for seed in given):
            raise ValueError("seeds must be from 0 to 2147483647")
        return given

    @field_validator("lrs")
    @classmethod
    def _positive_rates(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < rate < 1e6 for rate in given):
            raise ValueError("learning rates must be positive and below 1e6")
        return given

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, given: str) -> str:
        try:
            return get_activation(given).name
        except ArchitectureError as error:
            raise ValueError(f"{error}".rstrip(".")) from None

    @model_validator(mode="after")
    def _one_convention(self) -> Self:
        given = [name for name in _SCALES.values() if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) if given else "none of them"
            raise ValueError(f"give exactly one of gains, epsilons and gammas; there is {said}")
        try:
            for value in self.scales:
                InitScale(self.convention, value)
        except ArchitectureError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    @property
    def convention(self) -> Convention:
        """Which of the three init scale conventions the study sweeps."""
        return next(convention for convention, name in _SCALES.items() if getattr(self, name) is not None)

    @property
    def scales(self) -> tuple[float, ...]:
        """The init scales, in that convention."""
        values: tuple[float, ...] = getattr(self, _SCALES[self.convention])
        return values

    @property
    def settings(self) -> Settings:
        """The part that training reads."""
        return Settings(**{name: getattr(self, name) for name in Settings.model_fields})

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that tell this spec from others."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:8]

    def load_problem(self) -> Problem:
        """The data as the spec asks for them; raises `DataError` as `nucleate.problems.load_problem` does."""
        return load_problem(
            self.data,
            target=list(self.target) or None,
            task=self.task,
            split_seed=self.split_seed,
            drop_missing=self.drop_missing,
        )


def make_spec(**fields: Any) -> StudySpec:
    """A checked `StudySpec`.

    Raises
    ------
    SpecError
        One sentence on the first field that is wrong.
    """
    try:
        return StudySpec(**fields)
    except ValidationError as error:
        raise spec_error(error) from None


def read_spec(path: str | Path, **changes: Any) -> StudySpec:
    """The spec in a TOML file whose keys are the names of `StudySpec`, with some fields changed.

    Raises
    ------
    SpecError
        If the file is missing, no TOML, or holds a wrong field.
    """
    try:
        fields = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SpecError(f"The spec {path} cannot be read ({error.strerror}); check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"The spec {path} is no TOML ({error}); mend it there.") from None
    if any(name in changes for name in _SCALES.values()):
        fields = {name: value for name, value in fields.items() if name not in _SCALES.values()}
    return make_spec(**fields | changes)
